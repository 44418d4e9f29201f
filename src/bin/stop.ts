/**
 * Being told to stop. The first SIGINT or SIGTERM asks, the second one does not ask any more.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { ExitWith } from "./exit.ts"

/** Ends when the program has been told to stop. Each command decides what that means for it. */
export class Stop extends Context.Service<Stop, {
  readonly requested: Effect.Effect<void>
  /** For those who find out by themselves that nobody wants more, a closed pipe for instance. */
  readonly request: () => void
}>()("effect-sluice/bin/Stop") {}

export const make = (): Stop["Service"] => {
  const requested = Deferred.makeUnsafe<void>()
  return {
    requested: Deferred.await(requested),
    request: () => {
      Deferred.doneUnsafe(requested, Effect.void)
    }
  }
}

/** Runs until told to stop, and then ends with `code`. */
export const endingWith = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  code: 0 | 130
): Effect.Effect<A, E | ExitWith, R | Stop> =>
  Effect.flatMap(Stop, ({ requested }) =>
    Effect.raceFirst(
      effect,
      Effect.andThen(requested, Effect.fail(new ExitWith({ code, message: "" })))
    ))
