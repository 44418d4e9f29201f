/**
 * Keeps the broker from giving a delivery to somebody else while it waits here or is worked on (I5).
 *
 * A lease starts anew with each delivery and each renewal. It is renewed after a third of its length, for as long as the
 * handler's time budget lasts. One that ran out is not renewed: the broker may have given the message away already.
 *
 * A renewal counts once the broker says that it has heard it. It may have been written into a connection that is about
 * to break, or while nobody leads the consumer: then the lease has run since the last renewal that was heard.
 */
import type { Asked, Entry, InFlight, Renewal } from "./inflight.ts"

export interface Options {
  readonly table: InFlight
  readonly lengthMs: number
  readonly budgetMs: number
  /** Whether what is done may have to wait for what is not, before it can be acknowledged. */
  readonly upTo: boolean
  /** Numbers a renewal. */
  readonly nextId: () => number
  readonly extend: (entries: ReadonlyArray<Entry>, id: number) => void
}

/** Asked in the hope that it is in time: whatever the broker says, nothing begins on that. */
const HOPE: Asked = { id: 0, isHeard: false }
/** One that was not heard when so many more have been asked is lost. */
const ASKED_MAX = 16

export class Leases {
  /** How many were renewed so far. */
  renewed = 0
  readonly #options: Options
  #lengthMs: number
  /** What the broker has not confirmed. */
  #asked: Array<Asked> = []

  constructor(options: Options) {
    this.#options = options
    this.#lengthMs = options.lengthMs
  }

  /** Whether it has run out, or may have. */
  expired(entry: Entry, now: number): boolean {
    return now - this.#since(entry) >= this.#lengthMs
  }

  get lengthMs(): number {
    return this.#lengthMs
  }

  /** It was delivered again. */
  begin(entry: Entry, now: number): void {
    entry.leasedAt = now
    entry.renewal = undefined
  }

  /**
   * The broker has heard this renewal. Nothing is known of others: while nobody led the consumer, they were written to
   * nobody, and confirmations of what was written before come first.
   */
  confirmed(id: number): boolean {
    const at = this.#asked.findIndex((asked) => asked.id === id)
    for (const asked of this.#asked.splice(0, at + 1)) {
      asked.isHeard = asked.id === id
    }
    return at >= 0
  }

  /**
   * Somebody has changed how long the broker waits. What runs is renewed as if it had not run out: that saves it, unless
   * the broker was faster. What waits here may be with somebody else by now.
   */
  adopt(lengthMs: number, now: number): void {
    const before = this.#lengthMs
    if (lengthMs !== before) {
      this.#lengthMs = lengthMs
      this.#renewOlder(now, 0, before)
    }
  }

  /** Renews what is due. */
  renew(now: number): void {
    this.#renewOlder(now, this.#lengthMs / 3)
  }

  /** Renews everything that still holds, after a time in which nothing could be renewed. */
  renewAll(now: number): void {
    this.#renewOlder(now, 0)
  }

  // internals

  #isOpen(renewal: Renewal | undefined): renewal is Renewal {
    return renewal !== undefined && !renewal.asked.isHeard
  }

  /** When the lease started for certain. */
  #since({ leasedAt, renewal }: Entry): number {
    let at = leasedAt
    for (let open = renewal; this.#isOpen(open); open = open.earlier) {
      at = open.before
    }
    return at
  }

  #renewOlder(now: number, thanMs: number, runningMs = this.#lengthMs): void {
    if (!Number.isFinite(this.#lengthMs)) {
      return
    }
    const { budgetMs, extend, nextId, table, upTo } = this.#options
    const due: Array<Entry> = []
    for (const entry of table.entries.all) {
      const runs = entry.phase === "running" && now - entry.since < budgetMs
      const waits = entry.phase === "queued" && !entry.ackedEarly
      const isHeldUp = upTo && entry.phase === "settled" && entry.batch === 0
      const age = now - entry.leasedAt
      if ((runs || waits || isHeldUp) && age >= thanMs && (runs ? age < runningMs : !this.expired(entry, now))) {
        due.push(entry)
      }
    }
    if (due.length > 0) {
      this.renewed += due.length
      const asked: Asked = { id: nextId(), isHeard: false }
      for (const entry of due) {
        this.#note(entry, asked, now)
      }
      this.#asked = [...this.#asked.slice(1 - ASKED_MAX), asked]
      extend(due, asked.id)
    }
  }

  /** What may have run out before is renewed in the hope that it has not. */
  #note(entry: Entry, asked: Asked, now: number): void {
    const earlier = this.#isOpen(entry.renewal) ? entry.renewal : undefined
    entry.renewal = this.expired(entry, now)
      ? { asked: HOPE, before: this.#since(entry), earlier: undefined }
      : { asked, before: entry.leasedAt, earlier }
    entry.leasedAt = now
  }
}
