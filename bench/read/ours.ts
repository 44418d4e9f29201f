/** The same with ours: at the seam, or with a handler for each message. */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import * as Settlement from "../../src/Settlement.ts"
import * as Topic from "../../src/Topic.ts"
import * as Topology from "../../src/Topology.ts"
import { Transport } from "../../src/Transport.ts"
import type { Figures, Order } from "../order.ts"
import { Stopwatch } from "../stopwatch.ts"

export const run = (order: Order): Promise<Figures> => {
  const layer = order.side === "thread" ? NatsThread.layer : Nats.layer
  const reading = order.workload === "read" ? chunks(order) : handle(order)
  return Effect.runPromise(Effect.provide(reading, Layer.merge(layer({ servers: order.url }), AckPolicy.onProcess)))
}

// internals

/** Until the inlet is closed, and with that all is confirmed. */
const chunks = ({ inFlight, messages, stream, subject }: Order) => {
  const watch = new Stopwatch()
  const create = Option.some(Topology.consumer("ours", { filters: [subject] }))
  const reading = Effect.gen(function*() {
    const transport = yield* Transport
    const inlet = yield* transport.open(
      { _tag: "durable", stream, consumer: "ours", create },
      { queue: Queue.suspend({ messages: inFlight }), ack: { _tag: "onProcess" }, timeBudgetMs: 60_000 }
    )
    for (let read = 0; read < messages;) {
      const chunk = yield* inlet.take(inFlight)
      if (!watch.isRunning) {
        watch.start()
      }
      read += chunk.length
      yield* inlet.settle(chunk.map((delivery) => ({ delivery, settlement: Settlement.ack })))
    }
  })
  return reading.pipe(Effect.scoped, Effect.map(() => watch.figures(messages)), Effect.orDie)
}

const handle = ({ inFlight, messages, stream, subject }: Order) => {
  const watch = new Stopwatch()
  const done = Latch.makeUnsafe(false)
  let read = 0
  const topic = Topic.make(subject, { schema: Schema.Uint8Array, codec: Topic.bytes })
  const reading = Reader.handle(
    topic,
    { stream, consumer: "ours", queue: Queue.suspend({ messages: inFlight }), lanes: 64 },
    () => {
      if (read++ === 0) {
        watch.start()
      }
      if (read === messages) {
        done.openUnsafe()
      }
      return Effect.void
    }
  )
  return Effect.raceFirst(reading, done.await).pipe(Effect.map(() => watch.figures(messages)), Effect.orDie)
}
