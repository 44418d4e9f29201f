/**
 * Runs a reader, and beside it those of what is replayed for it, and of what has waited for a retry.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Delivery } from "../../Message.ts"
import type { TransportError } from "../../TransportError.ts"
import type { Control } from "./options.ts"
import type * as Plan from "./plan.ts"
import { messageOf } from "./replays.ts"
import { withErrors } from "./session.ts"
import { sidesOf } from "./sides.ts"
import { Tally } from "./tally.ts"

/** What a reader works with, whatever it does. */
export interface Base {
  readonly plan: Plan.Plan
  readonly tally: Tally
  readonly draining: Effect.Effect<void>
  readonly messageOf?: (delivery: Delivery) => Delivery
}

/** Until the reader ends. If it was drained, so is what runs beside it; else that ends with it. */
export const running = <R>(
  base: Base & { readonly register: Control["register"] },
  run: (base: Base) => Effect.Effect<void, TransportError, R>
): Effect.Effect<void, TransportError, R> => {
  const { draining, register } = base
  const main = withErrors(base.plan, draining, run(base))
  const sides = sidesOf(base.plan)
  return sides.length === 0 ? main : Effect.scoped(Effect.gen(function*() {
    let drained = false
    yield* Effect.forkScoped(Effect.andThen(draining, Effect.sync(() => void (drained = true))), {
      startImmediately: true
    })
    const context = yield* Effect.context<never>()
    const fibers = yield* Effect.forEach(sides, (plan) => {
      const tally = new Tally(plan.labels, context)
      register({ name: plan.name, ledger: tally.ledger })
      return Effect.forkScoped(beside({ plan, tally, draining, messageOf }, run), { startImmediately: true })
    })
    yield* main
    if (drained) {
      yield* Fiber.awaitAll(fibers)
    }
  }))
}

// internals

const beside = <R>(base: Base, run: (base: Base) => Effect.Effect<void, TransportError, R>) => {
  const { draining, plan, tally } = base
  // What could not be opened by then has nothing to work off.
  const unopened = Effect.andThen(draining, Effect.suspend(() => tally.isAttached ? Effect.never : Effect.void))
  return withErrors(plan, draining, run(base)).pipe(
    Effect.catch((error) => Effect.logWarning(`reader ${plan.name} ends: ${error.message}`)),
    Effect.raceFirst(unopened)
  )
}
