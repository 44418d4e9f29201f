/** A disk that refuses: counted each time, told once and then now and then, and tried again. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { because, invalid, SpillFailed, type TransportError } from "../../TransportError.ts"
import { codeOf } from "./lock.ts"
import { Foreign } from "./segment.ts"

/** Once it has begun it goes to its end: nobody knows how much of it is done. */
export const attempt = <A>(directory: string, run: () => Promise<A>): Effect.Effect<A, TransportError> =>
  Effect.uninterruptible(Effect.tryPromise({
    try: run,
    catch: (error) =>
      error instanceof Foreign
        ? invalid(`directory "${directory}"`, error.message, "Give each reader a directory of its own.")
        : because(new SpillFailed({ directory, code: codeOf(error), detail: detailOf(error) }))
  }))

const detailOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

const PAUSE_MIN_MS = 100
const PAUSE_MAX_MS = 5_000
const REMIND_MS = 60_000

export class Trouble {
  readonly #what: string
  readonly #count: (code: string) => void
  #attempts = 0
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(what: string, count: (code: string) => void) {
    this.#what = what
    this.#count = count
  }

  /** Ends when it is time to try again. */
  met(error: TransportError): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.#count(error.reason._tag === "SpillFailed" ? error.reason.code : error.reason._tag)
      const now = yield* Clock.currentTimeMillis
      if (now - this.#toldAt >= REMIND_MS) {
        this.#toldAt = now
        yield* Effect.logError(`${this.#what}: ${error.message}`)
      }
      yield* Effect.sleep(Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.#attempts++))
    })
  }

  get over(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#attempts === 0) {
        return Effect.void
      }
      this.#attempts = 0
      this.#toldAt = Number.NEGATIVE_INFINITY
      return Effect.logInfo(`${this.#what}: no longer, the disk takes it again`)
    })
  }
}
