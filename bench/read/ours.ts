/** The same with ours: at the seam, or with a handler for each message. */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { setTimeout } from "node:timers/promises"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import * as Topology from "../../src/Topology.ts"
import { Transport } from "../../src/Transport.ts"
import type { Figures, Order } from "../order.ts"
import { Stopwatch } from "../stopwatch.ts"
import { kindOf, WORK } from "../workloads.ts"
import { many } from "./many.ts"
import { spill } from "./spill.ts"
import { takeAll } from "./taking.ts"

export const run = (order: Order): Promise<Figures> => {
  const layer = order.side === "thread" ? NatsThread.layer : Nats.layer
  const watch = new Stopwatch(order.messages)
  return Effect.runPromise(
    Effect.provide(reading(order, watch), Layer.merge(layer({ servers: order.url }), AckPolicy.onProcess))
  )
}

// internals

type Services = Transport | Layer.Success<typeof AckPolicy.onProcess>

const reading = (order: Order, watch: Stopwatch): Effect.Effect<Figures, never, Services> => {
  const bytes = Topic.make(order.subject, { schema: Schema.Uint8Array, codec: Topic.bytes })
  switch (kindOf(order.workload).act) {
    case "chunks":
      return chunks(order, watch, "explicit")
    case "upTo":
      return chunks(order, watch, "all")
    case "spill":
      return spill(order, watch)
    case "readers":
      return many(order, watch)
    case "orders":
      return handle(order, watch, orders(order.subject), 64, () => Effect.void)
    case "work":
      return handle(order, watch, bytes, WORK.atOnce, () => Effect.promise(() => setTimeout(WORK.millis)))
    case "latency":
      return handle(order, watch, bytes, 64, (payload) => {
        watch.came(BigInt(new TextDecoder().decode(payload)))
        return Effect.void
      })
    default:
      return handle(order, watch, bytes, 64, () => Effect.void)
  }
}

const orders = (subject: string) =>
  Topic.make(subject, {
    schema: Schema.Struct({ id: Schema.String, customer: Schema.String, total: Schema.Number }),
    key: ({ customer }) => customer
  })

/** Until the inlet is closed, and with that all is confirmed. */
const chunks = ({ inFlight, messages, stream, subject }: Order, watch: Stopwatch, ack: "explicit" | "all") => {
  const create = Option.some(Topology.consumer("ours", { filters: [subject], ack }))
  const reading = Effect.gen(function*() {
    const transport = yield* Transport
    const inlet = yield* transport.open(
      { _tag: "durable", stream, consumer: "ours", create },
      {
        queue: Queue.suspend({ messages: inFlight }),
        ack: { _tag: ack === "all" ? "upTo" : "onProcess" },
        timeBudgetMs: 60_000
      }
    )
    yield* takeAll(inlet, messages, inFlight, watch)
  })
  return reading.pipe(Effect.scoped, Effect.map(() => watch.figures()), Effect.orDie)
}

const handle = <A>(
  { inFlight, messages, stream }: Order,
  watch: Stopwatch,
  topic: Topic.Topic<{}, A>,
  lanes: number,
  handler: (value: A) => Effect.Effect<void>
) => {
  const done = Latch.makeUnsafe(false)
  let begun = 0
  let read = 0
  const count = () => {
    if (++read === messages) {
      done.openUnsafe()
    }
  }
  const counted = Effect.sync(count)
  const reading = Reader.handle(
    topic,
    { stream, consumer: "ours", queue: Queue.suspend({ messages: inFlight }), lanes },
    (value) => {
      watch.seen(begun++)
      const handling = handler(value)
      if (handling !== Effect.void) {
        return Effect.andThen(handling, counted)
      }
      count()
      return handling
    }
  )
  return Effect.raceFirst(reading, done.await).pipe(Effect.map(() => watch.figures()), Effect.orDie)
}
