/**
 * Runs a reader, and beside it the reader of what is replayed for it.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Delivery } from "../../Message.ts"
import type { TransportError } from "../../TransportError.ts"
import type { Control } from "./options.ts"
import * as Plan from "./plan.ts"
import { messageOf } from "./replays.ts"
import { withErrors } from "./session.ts"
import { Tally } from "./tally.ts"

/** What a reader works with, whatever it does. */
export interface Base {
  readonly plan: Plan.Plan
  readonly tally: Tally
  readonly draining: Effect.Effect<void>
  readonly messageOf?: (delivery: Delivery) => Delivery
}

/** Until the reader ends. If it was drained, so are the replays; else they end with it. */
export const running = <R>(
  base: Base & { readonly register: Control["register"] },
  run: (base: Base) => Effect.Effect<void, TransportError, R>
): Effect.Effect<void, TransportError, R> => {
  const { draining, register } = base
  const main = withErrors(base.plan, draining, run(base))
  const plan = Plan.forReplays(base.plan)
  return plan === undefined ? main : Effect.scoped(Effect.gen(function*() {
    const tally = new Tally(plan.labels, yield* Effect.context<never>())
    register({ name: plan.name, ledger: tally.ledger })
    let drained = false
    yield* Effect.forkScoped(Effect.andThen(draining, Effect.sync(() => void (drained = true))), {
      startImmediately: true
    })
    // What could not be opened by then has nothing to work off.
    const unopened = Effect.andThen(draining, Effect.suspend(() => tally.isAttached ? Effect.never : Effect.void))
    const replays = yield* Effect.forkScoped(
      withErrors(plan, draining, run({ plan, tally, draining, messageOf })).pipe(
        Effect.catch((error) => Effect.logWarning(`reader ${plan.name} ends: ${error.message}`)),
        Effect.raceFirst(unopened)
      ),
      { startImmediately: true }
    )
    yield* main
    if (drained) {
      yield* Fiber.await(replays)
    }
  }))
}
