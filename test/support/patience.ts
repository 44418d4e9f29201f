/** For what happens in real time: waits for what has to come, however long a busy machine takes for it. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Outgoing } from "../../src/Message.ts"
import { Transport } from "../../src/Transport.ts"
import { publish } from "./transport.ts"

export { unlessStandstill } from "../../src/testing/standstill.ts"

const PATIENCE_MS = 15_000
const POLL_MS = 20

/** Looks again and again until `decide` does not throw, and fails as it does when patience ends. */
export const eventually = <A, E, R>(
  look: Effect.Effect<A, E, R>,
  decide: (found: A) => void
): Effect.Effect<void, E, R> =>
  Effect.suspend(() => {
    const end = performance.now() + PATIENCE_MS
    const attempt: Effect.Effect<void, E, R> = Effect.flatMap(look, (found) => {
      try {
        decide(found)
        return Effect.void
      } catch (failure) {
        return performance.now() < end ? Effect.andThen(Effect.sleep(POLL_MS), attempt) : Effect.die(failure)
      }
    })
    return attempt
  })

/** Less than twelve seconds: then a pull that was lost counts as over, and what should come at once comes after all. */
const COMES_WITHIN_MS = 10_000

/** Fails if it takes so long that it does not come by itself. */
export const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.timeout(effect, COMES_WITHIN_MS)

/** Publishes until each of them is stored: a line that is just coming back does not take them yet. */
export const store = Effect.fnUntraced(function*(...messages: ReadonlyArray<Outgoing>) {
  let left = messages
  while (left.length > 0) {
    const receipts = yield* publish(...left)
    left = left.filter((_, index) => receipts[index]?._tag !== "Confirmed")
    if (left.length > 0) {
      yield* Effect.sleep(POLL_MS)
    }
  }
})

const untilStatus = (isIt: (tag: string) => boolean) =>
  Transport.use(({ status }) => patiently(Stream.runHead(Stream.filter(status, ({ _tag }) => isIt(_tag)))))

/** The client has seen that the line is broken: what it is told from now on is told while there is none. */
export const disconnected = untilStatus((tag) => tag !== "Connected")

export const connected = untilStatus((tag) => tag === "Connected")
