/**
 * Watches the application's thread from the I/O thread: says that it is blocked while it is, and after a while counts it as
 * dead, so that somebody else gets what it holds.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Vitals } from "../health/vitals.ts"
import { BEAT_MS, BLOCKED_AFTER_MS, Pulse } from "./pulse.ts"

export interface Options {
  readonly pulse: SharedArrayBuffer
  readonly maxBlockedMs: number
  readonly vitals: Vitals
  /** The application holds nothing any longer. */
  readonly dead: Effect.Effect<void>
  /** It is back, after so long. */
  readonly back: (millis: number) => Effect.Effect<void>
}

export class Watch {
  readonly #options: Options
  #pulse: Pulse | undefined
  #state: "alive" | "blocked" | "dead" = "alive"
  #silence = 0

  constructor(options: Options) {
    this.#options = options
  }

  /** Feels the pulse, and does what follows from it. */
  get look(): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      this.#pulse ??= new Pulse(this.#options.pulse, now)
      const before = this.#silence
      this.#silence = this.#pulse.silence(now)
      const isBlocked = this.#silence >= BLOCKED_AFTER_MS
      const { maxBlockedMs, vitals } = this.#options
      vitals.lagMs = Math.max(0, this.#silence - BEAT_MS)
      vitals.blockedMs = isBlocked ? this.#silence : 0
      vitals.isDead = isBlocked && this.#silence >= maxBlockedMs
      return isBlocked
        ? this.#blocked
        : this.#state === "alive"
        ? Effect.void
        : this.#back(before)
    })
  }

  // internals

  get #blocked(): Effect.Effect<void> {
    const { dead, maxBlockedMs } = this.#options
    if (this.#state !== "dead" && this.#silence >= maxBlockedMs) {
      this.#state = "dead"
      const text = `the application's thread has been blocked for ${this.#silence} ms: what it holds goes back`
      return Effect.andThen(Effect.logError(text), dead)
    }
    if (this.#state === "alive") {
      this.#state = "blocked"
      return Effect.logWarning("the application's thread is blocked; its leases are renewed meanwhile")
    }
    return Effect.void
  }

  #back(millis: number): Effect.Effect<void> {
    this.#state = "alive"
    return Effect.andThen(
      Effect.logInfo(`the application's thread is back, after ${millis} ms`),
      this.#options.back(millis)
    )
  }
}
