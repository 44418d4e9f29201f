/**
 * The one loop that every layer shares: it pulls to capacity, enqueues, acknowledges on enqueue where the policy says
 * so, renews leases, and sees to it that each verdict reaches the broker (I2, I3, I5, I7).
 *
 * A broker is a `Port`: pull n, settle a batch, extend a batch. The port calls back `deliver`, `confirmed`, `returned`,
 * `connected` and `disconnected`. All of these are synchronous and cost no Effect, Promise or closure per message.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as AckPolicy from "../AckPolicy.ts"
import type { Delivery } from "../Message.ts"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import type { Inlet, Ledger, Verdict } from "../Transport.ts"
import { invalid, type TransportError } from "../TransportError.ts"
import { Credit } from "./credit.ts"
import { type Entry, InFlight } from "./inflight.ts"
import { Leases } from "./leases.ts"
import { type Options, type Port, validate } from "./port.ts"
import { Verdicts } from "./verdicts.ts"

const CLOSE_WITHIN_MS = 2_000
const RETURN_MARGIN_MS = 100

/** Opens an intake and runs its timers in the scope; closing the scope hands back what was not settled. */
export const open = (options: Options): Effect.Effect<Intake, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    yield* validate(options)
    const clock = yield* Clock.Clock
    const intake = new Intake(options, clock)
    yield* Effect.addFinalizer(() => intake.close)
    const cadence = Math.min(250, Math.max(20, options.leaseMs / 6))
    yield* Effect.sync(() => intake.tick()).pipe(
      Effect.andThen(Effect.sleep(cadence)),
      Effect.forever,
      Effect.forkScoped
    )
    return intake
  })

export class Intake {
  readonly inlet: Inlet
  readonly table: InFlight
  readonly #flow: Options["flow"]
  readonly #port: Port
  readonly #clock: Clock.Clock
  readonly #queue: Queue.Queue<Entry>
  readonly #acksEarly: (subject: string) => boolean
  readonly #arrived = Latch.makeUnsafe(false)
  readonly #verdicts: Verdicts
  readonly #leases: Leases
  readonly #credit: Credit
  #connected = false
  #stopped = false
  #failure: TransportError | undefined
  #highest = 0
  readonly counts = { delivered: 0, settled: 0, displaced: 0, returned: 0, lost: 0, swallowed: 0 }

  constructor(options: Options, clock: Clock.Clock) {
    this.#flow = options.flow
    this.#port = options.port
    this.#clock = clock
    this.#queue = Queue.makeUnsafe(options.flow.queue)
    this.#acksEarly = AckPolicy.acksOnEnqueue(options.flow.ack)
    this.table = new InFlight(Math.max(8_192, options.flow.queue.messages * 4))
    this.#credit = new Credit(options.flow.queue, options.pullBytesMin)
    this.#leases = new Leases(this.table, options.leaseMs, options.flow.timeBudgetMs, (due) => this.#port.extend(due))
    this.#verdicts = new Verdicts({
      table: this.table,
      upTo: options.flow.ack._tag === "upTo",
      now: () => this.#now(),
      write: (batch) => this.#port.settle(batch),
      defer: options.defer,
      finished: (entry, settlement, sentAt) => this.#finish(entry, settlement, sentAt)
    })
    this.inlet = {
      take: this.#take,
      settle: this.#settle,
      holds: (delivery) => this.#holds(delivery),
      stop: Effect.suspend(() => this.#stop),
      ledger: () => this.#ledger()
    }
  }

  // the broker's side

  /** A delivery arrived; `token` is where its verdict goes. */
  deliver(delivery: Delivery, token: string): void {
    const now = this.#now()
    this.#credit.spend(delivery.bytes)
    if (this.#isRepeat(delivery, token, now)) {
      return
    }
    this.counts.delivered++
    this.#highest = Math.max(this.#highest, delivery.streamSequence)
    const ackedEarly = this.#acksEarly(delivery.subject)
    const entry = this.table.add(delivery, token, now, ackedEarly)
    if (this.#stopped) {
      this.#handBack(entry)
      return
    }
    const displaced = this.#queue.offer(entry, this.table.running, this.table.bytes - entry.bytes - this.#queue.bytes)
    if (ackedEarly) {
      this.counts.settled++
      this.#send(entry, Settlement.ack)
    }
    for (const out of displaced) {
      this.#displace(out)
    }
    if (this.#queue.size > 0) {
      this.#arrived.openUnsafe()
    }
  }

  /** The broker has processed every verdict of this batch. */
  confirmed(id: number): void {
    if (this.#verdicts.confirmed(id)) {
      this.pullMore()
    }
  }

  /** So much of what was asked for will not come. */
  returned(messages: number, bytes: number): void {
    this.#credit.returned(messages, bytes)
  }

  /** The connection is there (again): what was asked for is void, verdicts without confirmation go out once more. */
  connected(): void {
    this.#connected = true
    this.#credit.void()
    this.table.reconnected(this.#now())
    this.#leases.renewAll(this.#now())
    this.#verdicts.connected()
    this.pullMore()
  }

  disconnected(): void {
    this.#connected = false
    this.#verdicts.disconnected()
  }

  /** The source is gone for good. */
  fail(error: TransportError): void {
    this.#failure ??= error
    this.#arrived.openUnsafe()
  }

  /** The sequences of this stream no longer mean the same messages: everything held is lost. */
  reset(): void {
    this.counts.lost += this.#held
    this.#highest = 0
    this.table.reset()
    this.#queue.clear()
    this.#verdicts.reset()
  }

  /** Where a consumer that has to be made anew must begin: at the lowest message that is not settled. */
  resumeAt(): number {
    let lowest = this.#highest + 1
    for (const entry of this.table.entries.values()) {
      if (entry.settlement === undefined || entry.settlement._tag === "Nak") {
        lowest = Math.min(lowest, entry.delivery.streamSequence)
      }
    }
    return lowest
  }

  /** Asks for as much as there is room for. */
  pullMore(): void {
    if (!this.#connected || this.#stopped || this.#failure !== undefined) {
      return
    }
    const ask = this.#credit.take(this.table)
    if (ask !== undefined) {
      this.#port.pull(ask.messages, ask.bytes)
    }
  }

  /** The loop's timers: leases, lost confirmations, delayed returns that are due. */
  tick(): void {
    const now = this.#now()
    for (const entry of this.table.entries.values()) {
      if (entry.phase === "returning" && now >= entry.since) {
        this.table.delete(entry)
      }
    }
    if (this.#connected) {
      this.table.ended.forget(now)
      this.#leases.renew(now)
      this.#verdicts.sendAgain(now)
    }
    this.pullMore()
  }

  // the reader's side

  readonly #take = (max: number): Pull.Pull<NonEmptyReadonlyArray<Delivery>, TransportError> =>
    Effect.suspend(() => {
      if (this.#failure !== undefined) {
        return Effect.fail(this.#failure)
      }
      const taken = this.#takeNow(max)
      if (taken.length > 0) {
        return Effect.succeed(taken as unknown as NonEmptyReadonlyArray<Delivery>)
      }
      return this.#stopped ? Cause.done() : Effect.andThen(opened(this.#arrived), this.#take(max))
    })

  #takeNow(max: number): Array<Delivery> {
    const now = this.#now()
    const deliveries: Array<Delivery> = []
    while (deliveries.length < max && this.#queue.size > 0) {
      for (const entry of this.#queue.take(max - deliveries.length)) {
        if (entry.ackedEarly) {
          this.#finishEarly(entry, now)
        } else if (this.#leases.expired(entry, now)) {
          this.#lose(entry)
          continue
        } else {
          this.table.move(entry, "running", now)
        }
        deliveries.push(entry.delivery)
      }
    }
    if (this.#queue.size === 0 && !this.#stopped && this.#failure === undefined) {
      this.#arrived.closeUnsafe()
    }
    return deliveries
  }

  readonly #settle = (verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const waits = this.#flow.ack._tag === "confirmed" ? Latch.makeUnsafe(false) : undefined
      let open = 0
      for (const { delivery, settlement } of verdicts) {
        const entry = this.table.get(delivery.streamSequence)
        if (entry?.delivery !== delivery || entry.phase !== "running") {
          continue
        }
        this.counts.settled++
        if (waits !== undefined) {
          open++
          entry.onConfirmed = () => {
            if (--open === 0) {
              waits.openUnsafe()
            }
          }
        }
        this.#send(entry, settlement)
      }
      return waits === undefined || open === 0 ? Effect.void : opened(waits)
    })

  #holds(delivery: Delivery): boolean {
    const entry = this.table.get(delivery.streamSequence)
    if (entry?.delivery !== delivery) {
      return this.#acksEarly(delivery.subject)
    }
    if (entry.phase !== "running") {
      return entry.ackedEarly
    }
    if (this.#leases.expired(entry, this.#now())) {
      this.#lose(entry)
      return false
    }
    return true
  }

  get #stop(): Effect.Effect<void> {
    if (this.#stopped) {
      return Effect.void
    }
    this.#stopped = true
    for (const entry of this.#queue.clear()) {
      if (entry.ackedEarly) {
        this.#queue.offer(entry, 0, 0)
      } else {
        this.#handBack(entry)
      }
    }
    this.#arrived.openUnsafe()
    return this.#port.stop
  }

  /** Hands back what was not settled, and waits for the broker to confirm all verdicts, for a while. */
  get close(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      yield* this.#stop
      for (const entry of this.table.entries.values()) {
        if (entry.phase === "running") {
          this.#handBack(entry)
        }
      }
      this.#verdicts.flush()
      // When the source is gone, nobody is left to confirm anything.
      const within = this.#failure === undefined ? CLOSE_WITHIN_MS : 0
      yield* Effect.timeoutOption(opened(this.#verdicts.idle), within)
      this.#verdicts.giveUp()
      this.#failure ??= invalid("inlet", "it is closed", "Keep its scope open while it is used.")
    })
  }

  // internals

  #now(): number {
    return this.#clock.currentTimeMillisUnsafe()
  }

  /** Whether the message is held or done already. Then the broker learns it again, and nothing runs twice. */
  #isRepeat(delivery: Delivery, token: string, now: number): boolean {
    const entry = this.table.get(delivery.streamSequence)
    if (entry !== undefined && entry.delivery.timestamp === delivery.timestamp && entry.phase !== "returning") {
      this.counts.swallowed++
      entry.token = token
      entry.leasedAt = now
      if (entry.settlement !== undefined) {
        this.#verdicts.post(entry)
      }
      return true
    }
    if (entry !== undefined) {
      if (isUndecided(entry)) {
        this.counts.lost++
      }
      this.#queue.remove(entry)
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
    this.#verdicts.post(repeat)
    return true
  }

  #displace(entry: Entry): void {
    this.counts.displaced++
    if (entry.ackedEarly) {
      this.counts.settled--
      this.#finishEarly(entry, this.#now())
    } else {
      this.#send(entry, this.#flow.queue.onDrop)
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

  #handBack(entry: Entry): void {
    this.counts.returned++
    this.#send(entry, Settlement.nak())
  }

  #lose(entry: Entry): void {
    this.counts.lost++
    this.table.delete(entry)
  }

  /** Decides an entry's fate and puts it with the verdicts of this turn. */
  #send(entry: Entry, settlement: Settlement.Settlement): void {
    entry.settlement = settlement
    if (!entry.ackedEarly) {
      this.table.move(entry, "settled", this.#now())
    }
    this.#verdicts.post(entry)
  }

  #finish(entry: Entry, settlement: Settlement.Settlement, sentAt: number): void {
    entry.onConfirmed?.()
    if (settlement._tag !== "Nak") {
      this.table.ended.add(entry.delivery, entry.token, settlement, this.#now())
    }
    if (entry.ackedEarly && entry.phase !== "settled") {
      entry.settlement = undefined
    } else if (settlement._tag === "Nak" && settlement.delayMs > 0 && !this.#stopped) {
      // The broker counts it as unanswered until it comes back, and so does the capacity.
      this.table.move(entry, "returning", sentAt + settlement.delayMs + RETURN_MARGIN_MS)
    } else if (entry.phase !== "returning" || this.#stopped) {
      this.table.delete(entry)
    }
  }

  #ledger(): Ledger {
    const { delivered, displaced, lost, returned, settled, swallowed } = this.counts
    const unconfirmed = this.#verdicts.unconfirmed
    return { delivered, settled, displaced, returned, lost, swallowed, unconfirmed, held: this.#held }
  }

  /** Deliveries without a verdict. */
  get #held(): number {
    const { delivered, displaced, lost, returned, settled } = this.counts
    return delivered - settled - displaced - returned - lost
  }
}

// internals

const isUndecided = (entry: Entry): boolean => entry.settlement === undefined && !entry.ackedEarly

/**
 * Waits until the latch opens. A latch resumes whoever waits for it inside the very call that opens it, and that is the
 * broker's I/O: what comes next must begin in a turn of its own (I1).
 */
const opened = (latch: Latch.Latch): Effect.Effect<void> => Effect.andThen(latch.await, Effect.yieldNow)
