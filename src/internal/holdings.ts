/**
 * What is held between the broker and the reader, and what becomes of each delivery: queued, taken, displaced, handed
 * back, settled, lost. Every delivery is counted under exactly one end (I4).
 */
import type * as Clock from "effect/Clock"
import * as AckPolicy from "../AckPolicy.ts"
import type { Delivery } from "../Message.ts"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import type { Ledger } from "../Transport.ts"
import { type Entry, InFlight } from "./inflight.ts"
import { Leases } from "./leases.ts"
import type { Options } from "./port.ts"
import { type Standing, Unseen } from "./unseen.ts"
import { Verdicts } from "./verdicts.ts"

/** A delayed return keeps its room for so long after it is due, so that the pull that it makes room for gets it. */
const RETURN_MARGIN_MS = 100
const REMEMBERED_MIN = 8_192
const GONE_MIN_MS = 60_000

export class Holdings {
  readonly table: InFlight
  readonly queue: Queue.Queue<Entry>
  readonly leases: Leases
  readonly verdicts: Verdicts
  /** What `upTo` must not acknowledge, because it never came here. */
  readonly unseen: Unseen | undefined
  /** Whether deliveries on a subject are acknowledged when they are enqueued. */
  readonly acksEarly: (subject: string) => boolean
  readonly counts = { delivered: 0, settled: 0, displaced: 0, returned: 0, lost: 0, swallowed: 0 }
  /** The highest stream sequence seen. */
  highest = 0
  /** What still arrives goes back at once. */
  closing = false
  /** Something came again whose lease holds: the broker may wait for less than it did. */
  doubts = false
  /** Up to here everything was answered when the broker last said so, by whomever. */
  #answered = Number.POSITIVE_INFINITY
  readonly #options: Options
  readonly #clock: Clock.Clock

  constructor(options: Options, clock: Clock.Clock) {
    const { flow, leaseMs, port } = options
    this.#options = options
    this.#clock = clock
    this.queue = Queue.makeUnsafe(flow.queue)
    this.acksEarly = AckPolicy.acksOnEnqueue(flow.ack)
    this.table = new InFlight(Math.max(REMEMBERED_MIN, flow.queue.messages * 4))
    this.unseen = flow.ack._tag === "upTo" ? new Unseen(leaseMs) : undefined
    this.leases = new Leases({
      table: this.table,
      lengthMs: leaseMs,
      budgetMs: flow.timeBudgetMs,
      upTo: this.unseen !== undefined,
      nextId: () => this.verdicts.nextId(),
      extend: (due, id) => port.extend(due, id)
    })
    this.verdicts = new Verdicts({
      table: this.table,
      unseen: this.unseen,
      now: () => this.now(),
      write: (batch) => port.settle(batch),
      defer: options.defer,
      isTaken: (entry) => this.#isTaken(entry),
      finished: (entry, settlement, sentAt, now) => this.#finished(entry, settlement, sentAt, now)
    })
  }

  now(): number {
    return this.#clock.currentTimeMillisUnsafe()
  }

  /** Takes a delivery in: one step with the ack on enqueue, and with settling what it displaces (I2). */
  admit(delivery: Delivery, token: string, now: number): void {
    this.#admit(delivery, token, now)
    if (this.unseen?.saw(delivery.streamSequence, now) === true) {
      this.#growPrefix()
    }
    if (this.table.counted > this.#options.flow.queue.messages) {
      this.unseen?.overfull(delivery.deliveryCount, now)
    }
  }

  /** The broker has said how the consumer stands. */
  learned(standing: Standing): void {
    // Before 2.11 a server reports no ack floor for a consumer of which nothing is unanswered.
    this.#answered = standing.ackPending === 0 ? standing.delivered : standing.ackFloor
    this.leases.adopt(standing.leaseMs ?? this.leases.lengthMs, this.now())
    if (this.unseen?.learned(standing, this.table.sequences) === true) {
      this.#growPrefix()
    }
  }

  /** Whether room is taken up by what is done already, and waits for what is not here, or not here again. */
  get hasSpare(): boolean {
    const { queue, table, unseen } = this
    if (unseen?.isSpare(this.now()) !== true || queue.size + table.running >= this.#options.flow.queue.messages) {
      return false
    }
    return unseen.waits || table.entries.all.some(({ counted, phase }) => phase === "returning" && !counted)
  }

  /** Up to `max` deliveries for the reader. One whose lease ran out is not among them: it belongs to somebody else. */
  take(max: number): Array<Delivery> {
    const now = this.now()
    const deliveries: Array<Delivery> = []
    while (deliveries.length < max && this.queue.size > 0) {
      for (const entry of this.queue.take(max - deliveries.length)) {
        if (entry.ackedEarly) {
          this.#finishEarly(entry, now)
        } else if (this.leases.expired(entry, now)) {
          this.lose(entry)
          continue
        } else {
          this.table.move(entry, "running", now)
        }
        deliveries.push(entry.delivery)
      }
    }
    return deliveries
  }

  /** Decides an entry's fate, and puts it with the verdicts of this turn. */
  decide(entry: Entry, settlement: Settlement.Settlement, now = this.now()): void {
    entry.settlement = settlement
    if (!entry.ackedEarly) {
      this.table.move(entry, "settled", now)
      if (entry.stale) {
        this.table.uncount(entry)
      }
    }
    this.verdicts.post(entry)
  }

  handBack(entry: Entry): void {
    this.counts.returned++
    this.decide(entry, Settlement.nak())
  }

  lose(entry: Entry): void {
    this.counts.lost++
    this.#awaitReturn(entry, this.now())
  }

  /** For the end: whatever has no verdict goes back. */
  handBackAll(): void {
    this.queue.clear()
    for (const entry of this.table.inOrder) {
      if (isUndecided(entry)) {
        this.handBack(entry)
      }
    }
  }

  /** For the end, under `upTo`: what is done and cannot be acknowledged comes back anyhow. Better at once. */
  handBackHeldUp(): void {
    if (this.unseen === undefined) {
      return
    }
    for (const entry of this.table.inOrder) {
      if (entry.phase === "settled" && entry.batch === 0) {
        this.verdicts.unconfirmed++
        this.decide(entry, Settlement.nak())
      }
    }
  }

  /**
   * Delayed returns that are due give up their room: the broker delivers them again. One that does not come for long is
   * gone from the stream, and must not keep a prefix from growing.
   */
  releaseDue(now: number): void {
    if (this.unseen?.givesUp(now) === true) {
      this.#growPrefix()
    }
    for (const entry of this.table.entries.all) {
      const isMissed = entry.phase === "settled" && entry.stale
      if ((entry.phase !== "returning" && !isMissed) || now < entry.since) {
        continue
      }
      if (entry.counted && !isMissed) {
        this.#awaitReturn(entry, now)
      } else if (now - entry.since >= Math.max(GONE_MIN_MS, 2 * this.#options.leaseMs)) {
        this.table.delete(entry)
        this.#growPrefix()
      }
    }
  }

  /**
   * The consumer was made anew. Under `upTo` an old token is worse than none: what it acknowledges there has not even been
   * delivered. What is done up to where the new one begins is done; all else waits until it delivers it again.
   */
  replaced(): void {
    if (this.unseen === undefined) {
      return
    }
    this.verdicts.reset()
    const now = this.now()
    const done = this.table.prefix()
    for (const entry of done) {
      this.#finished(entry, entry.settlement as Settlement.Settlement, now, now)
    }
    // Also of those that have just ended.
    this.table.ended.forgetTokens()
    for (const entry of this.table.entries.all) {
      entry.stale = true
      entry.batch = 0
    }
  }

  /** The sequences of this stream no longer mean the same messages: everything held is lost. */
  reset(): void {
    this.counts.lost += this.#held
    this.highest = 0
    this.#answered = Number.POSITIVE_INFINITY
    this.table.reset()
    this.queue.clear()
    this.verdicts.reset()
  }

  /**
   * Where a consumer that has to be made anew must begin: at the lowest message that is not settled, here or, as far as is
   * known, elsewhere. What others hold, and what nobody holds any more, is known only to the consumer that is gone.
   */
  resumeAt(): number {
    let lowest = Math.min(this.highest, this.#answered) + 1
    for (const entry of this.table.entries.all) {
      if (entry.settlement === undefined || entry.settlement._tag === "Nak") {
        lowest = Math.min(lowest, entry.delivery.streamSequence)
      }
    }
    return lowest
  }

  ledger(): Ledger {
    return { ...this.counts, unconfirmed: this.verdicts.unconfirmed, held: this.#held }
  }

  // internals

  #admit(delivery: Delivery, token: string, now: number): void {
    if (this.#isRepeat(delivery, token, now)) {
      return
    }
    this.counts.delivered++
    this.highest = Math.max(this.highest, delivery.streamSequence)
    const ackedEarly = this.acksEarly(delivery.subject)
    const entry = this.table.add(delivery, token, now, ackedEarly)
    if (this.closing) {
      this.handBack(entry)
      return
    }
    const { bytes, running } = this.table
    const displaced = this.queue.offer(entry, running, bytes - entry.bytes - this.queue.bytes)
    if (ackedEarly) {
      this.counts.settled++
      this.decide(entry, Settlement.ack)
    }
    for (const out of displaced) {
      this.#displace(out)
    }
  }

  /** Under `upTo`: what stood in the way is gone, and what is settled behind it can be acknowledged. */
  #growPrefix(): void {
    for (const entry of this.table.entries.all) {
      if (entry.phase === "settled") {
        this.verdicts.post(entry)
        return
      }
    }
  }

  get #held(): number {
    const { delivered, displaced, lost, returned, settled } = this.counts
    return delivered - settled - displaced - returned - lost
  }

  /**
   * The broker will deliver it again, and it takes up no room until then. Under `upTo` its place is remembered: one ack
   * for later messages would cover it unseen.
   */
  #awaitReturn(entry: Entry, now: number): void {
    if (this.unseen !== undefined) {
      this.table.move(entry, "returning", now)
      this.table.uncount(entry)
      this.unseen.due()
    } else {
      this.table.delete(entry)
    }
  }

  /** Whether the message is held or done already. Then the broker learns it again, and nothing runs twice (I7). */
  #isRepeat(delivery: Delivery, token: string, now: number): boolean {
    const entry = this.table.get(delivery.streamSequence)
    const isSame = entry !== undefined && entry.delivery.timestamp === delivery.timestamp
    if (isSame && this.#hasReturned(entry, now)) {
      // The broker heard it, which is all that its confirmation would say; and that is on its way behind this delivery.
      entry.batch = 0
      entry.onConfirmed?.()
    } else if (isSame && entry.phase !== "returning") {
      this.counts.swallowed++
      this.doubts ||= delivery.deliveryCount > 1 && isUndecided(entry) && !this.leases.expired(entry, now)
      entry.token = token
      entry.consumerSequence = delivery.consumerSequence
      entry.stale = false
      this.leases.begin(entry, now)
      if (entry.ackedEarly) {
        this.decide(entry, Settlement.ack)
      } else if (entry.settlement !== undefined) {
        this.verdicts.post(entry)
      }
      return true
    }
    if (entry !== undefined) {
      if (isUndecided(entry)) {
        this.counts.lost++
      }
      this.queue.remove(entry)
      this.table.delete(entry)
    }
    const ended = this.table.ended.recall(delivery)
    if (ended === undefined) {
      return false
    }
    this.counts.swallowed++
    const repeat = this.table.add(delivery, token, now, false)
    repeat.phase = "settled"
    repeat.settlement = ended
    this.verdicts.post(repeat)
    return true
  }

  /** Whether it was given back, and what arrives is what had to follow: a delivery as good as the first. */
  #hasReturned({ batch, phase, settlement, since }: Entry, now: number): boolean {
    return phase === "settled" && batch !== 0 && settlement?._tag === "Nak" && now - since >= settlement.delayMs
  }

  /**
   * Whether a delivery that goes back was taken away before: its lease ran out while the verdict had to wait. The broker
   * gives it to somebody else, and a nak would take it from them: a server asks which message it is for, not which delivery.
   */
  #isTaken(entry: Entry): boolean {
    const { batch, phase, settlement, since } = entry
    if (settlement?._tag !== "Nak" || !this.leases.expired(entry, this.now())) {
      return false
    }
    entry.onConfirmed?.()
    if (batch !== 0 && settlement.delayMs > 0) {
      // It went out before, and may have been heard: then the broker counts it until it is due.
      this.table.move(entry, "returning", phase === "returning" ? since : since + settlement.delayMs + RETURN_MARGIN_MS)
    } else {
      this.#awaitReturn(entry, this.now())
    }
    return true
  }

  #displace(entry: Entry): void {
    this.counts.displaced++
    if (entry.ackedEarly) {
      this.counts.settled--
      this.#finishEarly(entry, this.now())
    } else {
      this.decide(entry, this.#options.flow.queue.onDrop)
    }
  }

  /** What was acked on enqueue needs no verdict; it stays counted until the broker has confirmed that ack. */
  #finishEarly(entry: Entry, now: number): void {
    if (entry.settlement === undefined) {
      this.table.delete(entry)
    } else {
      this.table.move(entry, "settled", now)
    }
  }

  #finished(entry: Entry, settlement: Settlement.Settlement, sentAt: number, now: number): void {
    entry.onConfirmed?.()
    if (settlement._tag !== "Nak") {
      this.table.ended.add(entry.delivery, entry.token, settlement, now)
    }
    if (entry.ackedEarly && entry.phase !== "settled") {
      entry.settlement = undefined
    } else if (settlement._tag === "Nak" && settlement.delayMs > 0 && !this.closing) {
      // The broker counts it as unanswered until it comes back, and so does the capacity.
      this.table.move(entry, "returning", sentAt + settlement.delayMs + RETURN_MARGIN_MS)
    } else if (entry.phase !== "returning" || this.closing) {
      this.table.delete(entry)
    }
  }
}

const isUndecided = (entry: Entry): boolean =>
  entry.settlement === undefined && !entry.ackedEarly && entry.phase !== "returning"
