/**
 * What stands before a handler: a circuit breaker, and a rate limit. A message that they hold is not tried, and stays.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Outcome } from "../../Outcome.ts"
import type { BreakerOptions, GuardOptions, RateLimitOptions } from "./options.ts"

/** The message is not tried now; ask again after so long. */
export class Held {
  readonly millis: number
  constructor(millis: number) {
    this.millis = millis
  }
}

/** While somebody else tries whether the circuit closes again. */
const PROBED_MS = 200

export interface Guarded {
  readonly key: string | undefined
  /** It has waited for its turn under the rate limit. */
  admitted: boolean
}

/** Says what a failure means, and what the schedule would see of it. */
type Meaning = (cause: Cause.Cause<unknown>) => { readonly outcome: Outcome; readonly input: unknown }

export class Guards {
  readonly #name: string
  readonly #breaker:
    | { readonly circuit: CircuitBreaker.CircuitBreaker; readonly options: BreakerOptions<never> }
    | undefined
  readonly #limit: { readonly limiter: RateLimiter.RateLimiter; readonly options: RateLimitOptions } | undefined

  constructor(
    name: string,
    breaker: { readonly circuit: CircuitBreaker.CircuitBreaker; readonly options: BreakerOptions<never> } | undefined,
    limit: { readonly limiter: RateLimiter.RateLimiter; readonly options: RateLimitOptions } | undefined
  ) {
    this.#name = name
    this.#breaker = breaker
    this.#limit = limit
  }

  run<E, R>(
    item: Guarded,
    meaning: Meaning,
    handler: Effect.Effect<unknown, E, R>
  ): Effect.Effect<unknown, E | Held, R> {
    const guarded = this.#breaker === undefined
      ? handler
      : this.#broken(this.#breaker.circuit, this.#breaker.options, meaning, handler)
    return this.#limit === undefined ? guarded : this.#limited(item, this.#limit, guarded)
  }

  // internals

  #limited<E, R>(
    item: Guarded,
    { limiter, options }: { readonly limiter: RateLimiter.RateLimiter; readonly options: RateLimitOptions },
    handler: Effect.Effect<unknown, E | Held, R>
  ): Effect.Effect<unknown, E | Held, R> {
    // Its turn is used up when it was tried, not when the breaker held it.
    const turn = Effect.onExit(handler, (exit) =>
      Effect.sync(() => {
        item.admitted = Exit.isFailure(exit)
          && exit.cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error instanceof Held)
      }))
    return item.admitted ? turn : Effect.flatMap(this.#delay(item, limiter, options), (millis): typeof turn => {
      item.admitted = true
      return millis === 0 ? turn : Effect.fail(new Held(millis))
    })
  }

  /** A store that does not answer limits nothing: a handler that is too fast is better than one that stands still. */
  #delay({ key }: Guarded, limiter: RateLimiter.RateLimiter, options: RateLimitOptions): Effect.Effect<number> {
    const { limit, per = "reader", window } = options
    return limiter.consume({
      key: per === "key" ? `${this.#name}:${key ?? ""}` : this.#name,
      limit,
      window,
      algorithm: "token-bucket",
      onExceeded: "delay"
    }).pipe(
      Effect.map(({ delay }) => Duration.toMillis(delay)),
      Effect.catch((error) => Effect.as(Effect.logWarning(`the rate limit is not kept: ${error.message}`), 0))
    )
  }

  #broken<E, R>(
    circuit: CircuitBreaker.CircuitBreaker,
    options: BreakerOptions<never>,
    meaning: Meaning,
    handler: Effect.Effect<unknown, E, R>
  ): Effect.Effect<unknown, E | Held, R> {
    const key = options.key ?? this.#name
    const judge = (cause: Cause.Cause<unknown>): CircuitBreaker.Outcome => {
      const { input, outcome } = meaning(cause)
      const trips = options.trips?.(input as never) ?? (outcome._tag === "Retry" || outcome._tag === "Later")
      return trips
        ? CircuitBreaker.failure(outcome._tag === "Later" ? { retryAfter: outcome.delayMs } : undefined)
        : CircuitBreaker.success
    }
    return Effect.suspend(() => {
      let wasClosed = false
      const look = Effect.map(
        Effect.option(circuit.state(key)),
        (state) => void (wasClosed = Option.isNone(state) || state.value._tag === "Closed")
      )
      return circuit.execute(handler, {
        key,
        classify: (exit) => Exit.isSuccess(exit) ? CircuitBreaker.success : Effect.as(look, judge(exit.cause))
      }).pipe(
        Effect.catchCause((cause): Effect.Effect<never, E | Held> => {
          const error = Option.getOrUndefined(Cause.findErrorOption(cause))
          if (error instanceof CircuitBreaker.CircuitBreakerError) {
            return hold(error.reason._tag === "CircuitOpen" ? Duration.toMillis(error.reason.retryAfter) : PROBED_MS)
          }
          const own = cause as Cause.Cause<E>
          return wasClosed || Cause.hasInterruptsOnly(cause) || judge(cause)._tag !== "Failure"
            ? Effect.failCause(own)
            // What fails while the dependency is down is the dependency's fault, and no attempt of the message.
            : Effect.flatMap(Effect.option(circuit.state(key)), (state) => after(Option.getOrUndefined(state), own))
        })
      )
    })
  }
}

/** Stores of one's own, on Redis for instance, are used where they are provided. */
export const make = (
  name: string,
  { breaker, rateLimit }: GuardOptions<never>
): Effect.Effect<Guards | undefined, never, Scope.Scope> =>
  Effect.gen(function*() {
    if (breaker === undefined && rateLimit === undefined) {
      return undefined
    }
    return new Guards(
      name,
      breaker === undefined ? undefined : { circuit: yield* circuitOf(name, breaker), options: breaker },
      rateLimit === undefined ? undefined : { limiter: yield* limiter, options: rateLimit }
    )
  })

const circuitOf = (name: string, { failures = 5, openFor = "1 second" }: BreakerOptions<never>) =>
  Effect.gen(function*() {
    const store = yield* Effect.serviceOption(CircuitBreaker.CircuitBreakerStore)
    const context = Option.isSome(store)
      ? Context.make(CircuitBreaker.CircuitBreakerStore, store.value)
      : yield* Layer.build(CircuitBreaker.layerStoreMemory())
    const circuit = yield* Effect.provideContext(
      CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(failures), openDuration: openFor }),
      context
    )
    yield* Effect.forkScoped(Stream.runForEach(circuit.transitions, (one) => report(name, one)), {
      startImmediately: true
    })
    return circuit
  })

/** Once when it stops and once when it goes on; not each time that somebody tries. */
const report = (name: string, { from, to }: CircuitBreaker.Transition): Effect.Effect<void> =>
  to === "Closed"
    ? Effect.logInfo(`reader ${name} goes on: what it depends on is back`)
    : from === "Closed"
    ? Effect.logWarning(`reader ${name} waits: its breaker has opened, because its handler fails again and again`)
    : Effect.void

const limiter = Effect.gen(function*() {
  const store = yield* Effect.serviceOption(RateLimiter.RateLimiterStore)
  const context = Option.isSome(store)
    ? Context.make(RateLimiter.RateLimiterStore, store.value)
    : yield* Layer.build(RateLimiter.layerStoreMemory)
  return yield* Effect.provideContext(RateLimiter.make, context)
})

const hold = (millis: number): Effect.Effect<never, Held> => Effect.fail(new Held(Math.max(1, Math.ceil(millis))))

/** Somebody else tries first: one bad message, tried again and again, must not keep the circuit open for all. */
const after = <E>(
  state: CircuitBreaker.State | undefined,
  cause: Cause.Cause<E>
): Effect.Effect<never, E | Held> => {
  switch (state?._tag) {
    case "Open":
      return hold(Duration.toMillis(state.retryAfter) + PROBED_MS)
    case "HalfOpen":
      return hold(2 * PROBED_MS)
    default:
      return Effect.failCause(cause)
  }
}
