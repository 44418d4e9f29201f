/**
 * What is promised in time is promised by a process that runs: while it stands still, leases run out and delays end.
 * Nobody can tell then whether a failure is the transport's or the machine's, and it is tried again.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

const TICK_MS = 20
const TRIES = 3

/** How it ended, and the longest time that this process stood still meanwhile, in ms. */
const watched = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    let last = performance.now()
    let longestMs = 0
    const look = () => {
      const now = performance.now()
      longestMs = Math.max(longestMs, now - last - TICK_MS)
      last = now
    }
    const timer = setInterval(look, TICK_MS)
    return Effect.exit(effect).pipe(
      Effect.map((exit) => {
        look()
        return { exit, longestMs }
      }),
      Effect.ensuring(Effect.sync(() => clearInterval(timer)))
    )
  })

/** Fails as `effect` does, and not for a machine that stood still for longer than this: then it runs once more, or twice. */
export const unlessStandstill =
  (bearableMs: number) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const attempt = (left: number): Effect.Effect<A, E, R> =>
      Effect.flatMap(
        watched(effect),
        ({ exit, longestMs }) =>
          Exit.isSuccess(exit) || left === 1 || longestMs <= bearableMs || Exit.hasInterrupts(exit)
            ? exit
            : Effect.andThen(
              Effect.logWarning(`it failed while the machine stood still for ${Math.round(longestMs)} ms: once more`),
              attempt(left - 1)
            )
      )
    return attempt(TRIES)
  }
