/** When I/O threads died, so that one that cannot live is not started for ever. In real time: so they die, under any clock. */

const MINUTE_MS = 60_000
/** Deaths in quick succession, after which the pauses begin to grow. */
const QUICK_MS = 10_000
const PAUSE_MIN_MS = 25
const PAUSE_MAX_MS = 1_000

export class Deaths {
  /** What was said of the last one. */
  last = ""
  total = 0
  #times: Array<number> = []

  add(now: number, problem: string): void {
    this.last = problem
    this.total++
    this.#times = [...this.#times.filter((at) => now - at < MINUTE_MS), now]
  }

  /** How many within the last minute, and how long to wait for the next thread: after the first not at all. */
  within(now: number): { readonly count: number; readonly pauseMs: number } {
    const count = this.#times.filter((at) => now - at < MINUTE_MS).length
    const quick = this.#times.filter((at) => now - at < QUICK_MS).length
    return { count, pauseMs: quick < 2 ? 0 : Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** (quick - 2)) }
  }
}
