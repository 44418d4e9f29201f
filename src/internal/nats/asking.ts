/** What a reading asks about its consumer, without waiting for the answer. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Source } from "../../Transport.ts"
import { because, ConsumerNotFound, type TransportError } from "../../TransportError.ts"
import type { Standing } from "../unseen.ts"
import * as Consumers from "./consumers.ts"

/** Whose consumer it is, and what the answers mean for it. */
export interface Asker {
  readonly source: Source
  readonly consumer: string
  /** Ours is gone, and has to be made anew. */
  readonly replace: () => void
  readonly fail: (error: TransportError) => void
}

/** Asks whether the consumer still exists. Only a definite "not found" has consequences. */
export const verify = (
  api: Consumers.ConsumerCalls,
  { consumer, fail, replace, source }: Asker
): Effect.Effect<void> =>
  Consumers.untilStreamStaysAway(api.consumer(source.stream, consumer)).pipe(
    Effect.map((found) => {
      if (Option.isSome(found)) {
        return
      }
      if (Option.isSome(Consumers.wanted(source))) {
        replace()
      } else {
        fail(because(new ConsumerNotFound({ stream: source.stream, consumer })))
      }
    }),
    // What will pass by itself shows again, and is asked about again. So is what we may not ask.
    Effect.catch((error) => Effect.sync(() => error.reason._tag === "StreamNotFound" ? fail(error) : undefined))
  )

/** Asks how the consumer stands. What cannot be answered now is asked again later. */
export const inspect = (
  api: Consumers.ConsumerCalls,
  { consumer, source }: Pick<Asker, "source" | "consumer">,
  learned: (standing: Standing) => void
): Effect.Effect<void> =>
  api.consumer(source.stream, consumer).pipe(
    Effect.map((found) =>
      Option.isSome(found) ? learned({ ...found.value.info, leaseMs: found.value.leaseMs }) : undefined
    ),
    Effect.ignore
  )
