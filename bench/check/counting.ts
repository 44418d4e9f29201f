/** Counts what a program costs, whatever the machine does meanwhile: Effect's steps and fibers, promises, messages of a port. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Scheduler from "effect/Scheduler"
import { createHook } from "node:async_hooks"
import { perMessage } from "./perMessage.ts"

export interface Counts {
  readonly steps: number
  readonly fibers: number
  readonly promises: number
  readonly crossings: number
}

export class Counting {
  #steps = 0
  #fibers = 0
  #promises = 0
  #crossings = 0

  constructor() {
    createHook({
      init: (_id, type) => {
        if (type === "PROMISE") {
          this.#promises++
        }
      }
    }).enable()
  }

  readonly crossed = (): void => {
    this.#crossings++
  }

  /** The effect, and all fibers that it starts. */
  readonly counted = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    // Asked before each step of each fiber.
    const scheduler = new Asked(() => this.#steps++)
    const metrics: Metric.FiberRuntimeMetricsService = {
      recordFiberStart: () => void this.#fibers++,
      recordFiberEnd: () => {}
    }
    return effect.pipe(
      Effect.provideService(Scheduler.Scheduler, scheduler),
      Effect.provideService(Metric.FiberRuntimeMetrics, metrics)
    )
  }

  get now(): Counts {
    return { steps: this.#steps, fibers: this.#fibers, promises: this.#promises, crossings: this.#crossings }
  }

  /** For each of so many messages. */
  since(before: Counts, messages: number): Counts {
    return perMessage(this.now, before, messages)
  }
}

// internals

class Asked extends Scheduler.MixedScheduler {
  readonly #asked: () => void

  constructor(asked: () => void) {
    super()
    this.#asked = asked
  }

  override shouldYield(fiber: Parameters<Scheduler.MixedScheduler["shouldYield"]>[0]): boolean {
    this.#asked()
    return super.shouldYield(fiber)
  }
}
