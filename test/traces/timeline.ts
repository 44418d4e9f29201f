/**
 * The time line of a program: where a step may stand, so that nothing that the broker does by itself comes close to a
 * step or to the look at what it did.
 */
import { QUIET_MS, SLOT_MS } from "./program.ts"

/** Something happens by itself from `from` to `to`, and then again after each period, if there is one. */
interface Event {
  readonly from: number
  readonly to: number
  readonly everyMs: number
}

/** Farther than this no step waits for a quiet moment. */
const SEARCH_MS = 8_000
const GRID_MS = 50
const APART_MS = 200

export class Timeline {
  /** Where the next step may stand at the earliest. */
  at = 0
  readonly #events: Array<Event> = []

  /** Something may happen by itself so long after now, and up to `lateMs` later. */
  expect(afterMs: number, options: { readonly lateMs?: number; readonly again?: boolean } = {}): void {
    const from = this.at + afterMs
    this.#events.push({ from, to: from + (options.lateMs ?? 0), everyMs: options.again === true ? afterMs : 0 })
  }

  /** Whether something happens by itself between two moments, apart from what is too close to tell. */
  happens(fromMs: number, toMs: number): boolean {
    return this.#events.some((event) => within(event, fromMs, toMs))
  }

  /** The next quiet place for a step, from `this.at` on; `undefined` if there is none in sight. */
  quiet(from = this.at): number | undefined {
    for (let at = Math.ceil(from / GRID_MS) * GRID_MS; at < from + SEARCH_MS; at += GRID_MS) {
      if (!this.happens(at - APART_MS, at + QUIET_MS + APART_MS)) {
        return at
      }
    }
    return undefined
  }

  /** A step stands here. */
  take(at: number): void {
    this.at = at + SLOT_MS
  }
}

const within = ({ everyMs, from, to }: Event, fromMs: number, toMs: number): boolean => {
  if (everyMs === 0 || toMs < from) {
    return from <= toMs && to >= fromMs
  }
  const length = to - from
  // How far into its period the interval ends.
  const phase = (toMs - from) % everyMs
  return phase <= toMs - fromMs + length
}
