/** The same with ours: batches at the seam, or values through a topic. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Headers from "../../src/Headers.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import type { Outgoing } from "../../src/Message.ts"
import * as Publisher from "../../src/Publisher.ts"
import * as Topic from "../../src/Topic.ts"
import { Transport } from "../../src/Transport.ts"
import type { Figures, Order } from "../order.ts"
import { Stopwatch } from "../stopwatch.ts"
import { kindOf } from "../workloads.ts"

/** As many batches are under way at once. */
const BATCHES = 8

export const run = (order: Order): Promise<Figures> => {
  const layer = order.side === "thread" ? NatsThread.layer : Nats.layer
  const watch = new Stopwatch(order.messages)
  const publishing: Effect.Effect<unknown, never, Transport> = kindOf(order.workload).act === "publish"
    ? Effect.orDie(batches(order, watch))
    : Effect.orDie(values(order, watch))
  return Effect.runPromise(Effect.provide(
    Effect.map(publishing, () => watch.figures()),
    layer({ servers: order.url, publishMessages: order.inFlight })
  ))
}

// internals

const batches = (order: Order, watch: Stopwatch) => {
  const size = Math.max(1, Math.floor(order.inFlight / 4))
  const payload = new Uint8Array(order.size)
  let next = 0
  const one = (): Outgoing => {
    watch.seen(next++)
    return { subject: order.subject, payload, headers: Headers.empty, id: `ours-${process.pid}-${next}` }
  }
  const publisher = (transport: Transport["Service"]) =>
    Effect.gen(function*() {
      while (next < order.messages) {
        const batch = Array.from({ length: Math.min(size, order.messages - next) }, one)
        const receipts = yield* transport.publish(batch as unknown as NonEmptyReadonlyArray<Outgoing>)
        if (!receipts.every(({ _tag }) => _tag === "Confirmed")) {
          return yield* Effect.die(new Error("a message was not confirmed"))
        }
      }
    })
  return Effect.flatMap(
    Transport,
    (transport) => Effect.all(Array.from({ length: BATCHES }, () => publisher(transport)), { concurrency: "unbounded" })
  )
}

const values = (order: Order, watch: Stopwatch) => {
  const topic = Topic.make(order.subject, { schema: Schema.Uint8Array, codec: Topic.bytes })
  const value = new Uint8Array(order.size)
  const items = function*() {
    for (let i = 0; i < order.messages; i++) {
      watch.seen(i)
      yield { value }
    }
  }
  return Publisher.publishAll(topic, items(), {
    chunk: kindOf(order.workload).act === "single" ? 1 : order.inFlight
  })
}
