/**
 * The broker's deadlines, on Effect's `Clock`: one fiber sleeps until the earliest of them, and none while there is none.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { Heap } from "./heap.ts"

/** Something with deadlines. It names its earliest to `Timers.arm`, and again whenever it was woken. */
export interface Timed {
  /** What it is woken for at present; infinite if for nothing. Only `Timers` writes it. */
  armed: number
  readonly expire: (now: number) => void
}

/** Timers of the platform do not reach farther. */
const SLEEP_MAX_MS = 2 ** 31 - 1

export class Timers {
  readonly #clock: Clock.Clock
  readonly #context: Context.Context<never>
  readonly #heap = new Heap<Timed>()
  #sleeper: Fiber.Fiber<void> | undefined
  #sleepsUntil = Number.POSITIVE_INFINITY

  constructor(clock: Clock.Clock, context: Context.Context<never>) {
    this.#clock = clock
    this.#context = context
  }

  /** Wakes `target` at `at`, unless it is woken earlier anyway. */
  arm(target: Timed, at: number): void {
    if (at >= target.armed) {
      return
    }
    target.armed = at
    this.#heap.push(at, target)
    this.#sleep()
  }

  close(): void {
    this.#sleepsUntil = Number.NEGATIVE_INFINITY
    this.#sleeper?.interruptUnsafe()
  }

  /** Sleeps until the earliest deadline. The fiber starts here and now, so that a virtual clock cannot overtake it. */
  #sleep(): void {
    const at = this.#heap.first
    if (at >= this.#sleepsUntil) {
      return
    }
    this.#sleeper?.interruptUnsafe()
    this.#sleepsUntil = at
    // Whole milliseconds: less than that a sleep rounds away, and would end before the deadline, again and again.
    const millis = Math.min(SLEEP_MAX_MS, Math.max(0, Math.ceil(at - this.#clock.currentTimeMillisUnsafe())))
    const nap = Effect.andThen(Effect.sleep(millis), Effect.sync(() => this.#wake()))
    this.#sleeper = Effect.runForkWith(this.#context)(nap)
  }

  #wake(): void {
    this.#sleeper = undefined
    const now = this.#clock.currentTimeMillisUnsafe()
    while (this.#heap.first <= now) {
      const at = this.#heap.first
      const target = this.#heap.pop()!
      // Armed for an earlier time since: then this entry is a leftover.
      if (target.armed === at) {
        target.armed = Number.POSITIVE_INFINITY
        target.expire(now)
      }
    }
    if (this.#sleepsUntil !== Number.NEGATIVE_INFINITY) {
      this.#sleepsUntil = Number.POSITIVE_INFINITY
      this.#sleep()
    }
  }
}
