/** Several readers on one connection, each with a consumer of its own that is there already. */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as AckPolicy from "../../src/AckPolicy.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import type { Transport } from "../../src/Transport.ts"
import { consumerOf, type Figures, type Order } from "../order.ts"
import type { Stopwatch } from "../stopwatch.ts"
import { kindOf } from "../workloads.ts"

export const many = (
  { inFlight, messages, side, stream, subject, workload }: Order,
  watch: Stopwatch
): Effect.Effect<Figures, never, Transport | Layer.Success<typeof AckPolicy.onProcess>> => {
  const done = Latch.makeUnsafe(false)
  let read = 0
  const reader = (_: unknown, i: number) =>
    Reader.handle(
      Topic.make(subject, { schema: Schema.Uint8Array, codec: Topic.bytes }),
      { stream, consumer: `${consumerOf(side)}-${i}`, bind: true, queue: Queue.suspend({ messages: inFlight }) },
      () => {
        watch.seen(read++)
        if (read === messages) {
          done.openUnsafe()
        }
        return Effect.void
      }
    )
  const readers = Array.from({ length: kindOf(workload).readers ?? 1 }, reader)
  const reading = Effect.all(readers, { concurrency: "unbounded", discard: true })
  return Effect.raceFirst(reading, done.await).pipe(Effect.map(() => watch.figures()), Effect.orDie)
}
