/**
 * Keeps the broker from giving a delivery to somebody else while it waits here or is worked on (I5).
 *
 * A lease starts anew with each delivery and each renewal. It is renewed after a third of its length, for as long as the
 * handler's time budget lasts. One that ran out is not renewed: the broker may have given the message away already.
 */
import type { Entry, InFlight } from "./inflight.ts"

export class Leases {
  /** How many were renewed so far. */
  renewed = 0
  readonly #table: InFlight
  #lengthMs: number
  readonly #budgetMs: number
  /** Whether what is done may have to wait for what is not, before it can be acknowledged. */
  readonly #upTo: boolean
  readonly #extend: (entries: ReadonlyArray<Entry>) => void

  constructor(
    table: InFlight,
    lengthMs: number,
    budgetMs: number,
    upTo: boolean,
    extend: (entries: ReadonlyArray<Entry>) => void
  ) {
    this.#table = table
    this.#lengthMs = lengthMs
    this.#budgetMs = budgetMs
    this.#upTo = upTo
    this.#extend = extend
  }

  expired(entry: Entry, now: number): boolean {
    return now - entry.leasedAt >= this.#lengthMs
  }

  get lengthMs(): number {
    return this.#lengthMs
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

  #renewOlder(now: number, thanMs: number, runningMs = this.#lengthMs): void {
    if (!Number.isFinite(this.#lengthMs)) {
      return
    }
    const due: Array<Entry> = []
    for (const entry of this.#table.entries.all) {
      const runs = entry.phase === "running" && now - entry.since < this.#budgetMs
      const waits = entry.phase === "queued" && !entry.ackedEarly
      const isHeldUp = this.#upTo && entry.phase === "settled" && entry.batch === 0
      const age = now - entry.leasedAt
      if ((runs || waits || isHeldUp) && age >= thanMs && age < (runs ? runningMs : this.#lengthMs)) {
        entry.leasedAt = now
        due.push(entry)
      }
    }
    if (due.length > 0) {
      this.renewed += due.length
      this.#extend(due)
    }
  }
}
