/**
 * Verdicts on their way to the broker: collected per turn, written together, confirmed together, sent again until they
 * are (I4, I7).
 */
import * as Latch from "effect/Latch"
import type { Settlement } from "../Settlement.ts"
import type { Entry, InFlight } from "./inflight.ts"
import type { Answer } from "./remembered.ts"
import type { Unseen } from "./unseen.ts"

/** Verdicts that go out together. The broker confirms them together, by naming `id`. */
export interface Batch {
  readonly id: number
  /** What is written to the broker. */
  readonly entries: ReadonlyArray<Answer>
}

interface Sent extends Batch {
  readonly entries: ReadonlyArray<Entry>
  /** What the confirmation settles: the same, except under `upTo`, where one ack covers a prefix. */
  readonly covers: ReadonlyArray<Entry>
  readonly sentAt: number
  readonly attempt: number
}

/** Names a batch whose confirmation nobody waits for. */
const NOBODY = 0

export interface Options {
  readonly table: InFlight
  /** For `upTo`: one ack covers a prefix, once everything unanswered has been seen. */
  readonly unseen: Unseen | undefined
  readonly now: () => number
  readonly write: (batch: Batch) => void
  /** Runs a function at the end of the current turn. */
  readonly defer: (run: () => void) => void
  /** Whether what would be given back was taken away before. It is looked after there; nothing is written for it. */
  readonly isTaken: (entry: Entry) => boolean
  /** A verdict has arrived for certain, or was given up. */
  readonly finished: (entry: Entry, settlement: Settlement, sentAt: number, now: number) => void
}

const CONFIRM_WITHIN_MS = 2_000
const ATTEMPTS_MAX = 5

export class Verdicts {
  /** Open while the broker has confirmed everything. */
  readonly idle = Latch.makeUnsafe(true)
  /** Verdicts given up without the broker's word. */
  unconfirmed = 0
  readonly #options: Options
  /** Few at a time, the oldest first. A map that batches come to and leave keeps V8 from collecting them (`sequences.ts`). */
  #sent: Array<Sent> = []
  #outbox: Array<Entry> = []
  #connected = false
  #deferred = false
  #lastId = 0

  constructor(options: Options) {
    this.#options = options
  }

  /** Whether the broker owes its word on something that went out. */
  get isOwed(): boolean {
    return this.#sent.length > 0
  }

  /** Numbers what the broker confirms. */
  nextId(): number {
    return ++this.#lastId
  }

  /** Puts a verdict with the others of this turn. */
  post(entry: Entry): void {
    this.idle.closeUnsafe()
    this.#outbox.push(entry)
    if (!this.#deferred) {
      this.#deferred = true
      this.#options.defer(() => {
        this.#deferred = false
        this.flush()
      })
    }
  }

  flush(attempt = 1): void {
    if (!this.#connected) {
      return
    }
    const posted = this.#timely()
    this.#outbox = []
    if (posted.length === 0) {
      this.#settleIdle()
      return
    }
    const [entries, covers] = this.#options.unseen === undefined ? [posted, posted] : this.#upTo(posted)
    if (entries.length === 0) {
      this.#settleIdle()
      return
    }
    const batch: Sent = { id: this.nextId(), entries, covers, sentAt: this.#options.now(), attempt }
    const before = new Set<number>()
    for (const entry of covers) {
      if (entry.batch !== 0) {
        before.add(entry.batch)
      }
      entry.batch = batch.id
    }
    for (const id of before) {
      this.#supersede(id)
    }
    this.#sent.push(batch)
    this.#options.write(batch)
  }

  /** The broker has processed every verdict of this batch. Whether the batch was known. */
  confirmed(id: number): boolean {
    const at = this.#sent.findIndex((batch) => batch.id === id)
    const batch = this.#sent[at]
    if (batch === undefined) {
      return false
    }
    this.#sent.splice(at, 1)
    this.#release(batch)
    return true
  }

  /**
   * What was not confirmed on the old connection goes out again on the new one. So does what ended lately: a server that
   * was killed has forgotten the last acks that it confirmed.
   */
  connected(): void {
    this.#connected = true
    const recent = this.#options.table.ended.answers
    if (recent.length > 0) {
      this.#options.write({ id: NOBODY, entries: recent })
    }
    // Not as the arguments of one call: there can be more than a call takes.
    for (const batch of this.#sent) {
      this.#outbox = this.#outbox.concat(stillOwed(batch))
    }
    this.#sent = []
    this.flush()
  }

  disconnected(): void {
    this.#connected = false
  }

  /** A confirmation that does not come is asked for again; in the end the verdict counts as unconfirmed. */
  sendAgain(now: number): void {
    for (const batch of [...this.#sent]) {
      if (!this.#connected || now - batch.sentAt < CONFIRM_WITHIN_MS) {
        continue
      }
      this.#sent.splice(this.#sent.indexOf(batch), 1)
      if (batch.attempt >= ATTEMPTS_MAX) {
        this.unconfirmed += batch.covers.length
        this.#release(batch)
      } else {
        this.#outbox = stillOwed(batch).concat(this.#outbox)
        this.flush(batch.attempt + 1)
      }
    }
  }

  /** Waits no longer: what the broker has not confirmed stays unconfirmed. */
  giveUp(): void {
    this.unconfirmed += this.reset()
  }

  /** Forgets what is under way, and lets go whoever waits for the broker's word on it. How many verdicts that were. */
  reset(): number {
    const open = new Set(this.#outbox)
    for (const { covers } of this.#sent) {
      for (const entry of covers) {
        open.add(entry)
      }
    }
    this.#sent = []
    this.#outbox = []
    this.idle.openUnsafe()
    for (const entry of open) {
      entry.onConfirmed?.()
    }
    return open.size
  }

  /** What has waited for its turn, for a connection or for its confirmation, as far as it is not too late by now. */
  #timely(): Array<Entry> {
    const timely = this.#outbox.filter((entry) => !this.#options.isTaken(entry))
    this.unconfirmed += this.#outbox.length - timely.length
    return timely
  }

  /**
   * One answer for the whole prefix; naks still go out for themselves, and keep the prefix from growing. A term waits for
   * its turn like an ack: under `ack_policy: all` a server takes it for one, and it would cover what is not done.
   */
  #upTo(posted: ReadonlyArray<Entry>): readonly [ReadonlyArray<Entry>, ReadonlyArray<Entry>] {
    const single = posted.filter((entry) => entry.settlement?._tag === "Nak")
    for (const entry of single) {
      if (entry.settlement?._tag === "Nak") {
        this.#options.table.move(entry, "returning", this.#options.now() + entry.settlement.delayMs)
      }
    }
    const prefix = this.#options.unseen?.waits === true
      ? []
      : this.#options.table.prefix().filter((entry) => entry.settlement?._tag !== "Nak")
    const last = prefix.at(-1)
    return last === undefined ? [single, single] : [[...single, last], [...single, ...prefix]]
  }

  /** A batch of which everything has gone out again is waited for no more: the consumer it was for may not be there. */
  #supersede(id: number): void {
    this.#sent = this.#sent.filter((batch) => batch.id !== id || batch.covers.some((entry) => entry.batch === id))
  }

  #release(batch: Sent): void {
    // Read once: asking what time it is costs as much as all the rest that is done here for one entry.
    const now = this.#options.now()
    for (const entry of batch.covers) {
      if (entry.batch === batch.id && entry.settlement !== undefined) {
        this.#options.finished(entry, entry.settlement, batch.sentAt, now)
      }
    }
    this.#settleIdle()
  }

  #settleIdle(): void {
    if (this.#sent.length === 0 && this.#outbox.length === 0) {
      this.idle.openUnsafe()
    }
  }
}

// internals

/** Not what went out with a later batch, nor what has come back before the confirmation: that is another delivery. */
const stillOwed = ({ entries, id }: Sent): Array<Entry> => entries.filter(({ batch }) => batch === id)
