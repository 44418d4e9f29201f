/** The worker that is starved: its handler computes without a pause on its first message. One mode, one order. */
import { AckPolicy as RawAck, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Provisioner from "../../src/Provisioner.ts"
import * as Publisher from "../../src/Publisher.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import * as Topology from "../../src/Topology.ts"

export interface Order {
  readonly mode: "thread" | "inline" | "raw"
  readonly url: string
  readonly messages: number
  readonly blockMs: number
  readonly ackWaitMs: number
  /** Where the thread tells its health. */
  readonly healthPort: number
}

export interface Outcome {
  /** Calls beyond one for each message. */
  readonly extraCalls: number
  readonly maxDeliveryCount: number
  readonly ms: number
}

/** Everything was called, and so long nothing more was: repeats have had their time. */
const QUIET_MS = 3_000
/** What the raw client prefetches by default. */
const PREFETCH = 100

/** Counts calls, and blocks in the first one. */
class Handler {
  readonly #order: Order
  readonly #calls = new Map<number, number>()
  readonly #began = performance.now()
  #most = 0
  #last = 0

  constructor(order: Order) {
    this.#order = order
  }

  call(job: number, deliveryCount: number): void {
    const isFirst = this.#calls.size === 0
    this.#calls.set(job, (this.#calls.get(job) ?? 0) + 1)
    this.#most = Math.max(this.#most, deliveryCount)
    if (isFirst) {
      const until = performance.now() + this.#order.blockMs
      while (performance.now() < until) {
        // Computing.
      }
    }
    this.#last = performance.now()
  }

  /** What came of it, once every message was called and no repeat has come for a while. */
  async outcome(): Promise<Outcome> {
    while (this.#calls.size < this.#order.messages || performance.now() - this.#last < QUIET_MS) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const calls = [...this.#calls.values()].reduce((sum, count) => sum + count, 0)
    return {
      extraCalls: calls - this.#order.messages,
      maxDeliveryCount: this.#most,
      ms: Math.round(this.#last - this.#began)
    }
  }
}

const jobs = Topic.make("starve", { schema: Schema.Number })

const ours = (order: Order, handler: Handler) => {
  const options = { servers: order.url, name: "starve" }
  const layer = order.mode === "thread"
    ? NatsThread.layer({ ...options, health: { port: order.healthPort } })
    : Nats.layer(options)
  return Effect.gen(function*() {
    yield* Provisioner.ensure(Topology.stream("STARVE", { subjects: ["starve"] }))
    yield* Publisher.publishAll(jobs, Array.from({ length: order.messages }, (_, value) => ({ value })))
    const consumer = { stream: "STARVE", consumer: "starve", ackWait: order.ackWaitMs }
    yield* Reader.handle(jobs, consumer, (job, message) => Effect.sync(() => handler.call(job, message.deliveryCount)))
  }).pipe(Effect.provide(Layer.merge(layer, AckPolicy.onProcess)))
}

/** As its documentation shows it, with its defaults. */
const raw = async (order: Order, handler: Handler): Promise<void> => {
  const connection = await connect({ servers: order.url, name: "starve", maxReconnectAttempts: -1 })
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name: "STARVE", subjects: ["starve"] })
  const client = jetstream(connection)
  for (let job = 0; job < order.messages; job++) {
    await client.publish("starve", JSON.stringify(job))
  }
  await manager.consumers.add("STARVE", {
    durable_name: "starve",
    ack_policy: RawAck.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: order.ackWaitMs * 1e6
  })
  const consumer = await client.consumers.get("STARVE", "starve")
  for await (const message of await consumer.consume({ max_messages: PREFETCH })) {
    handler.call(message.json<number>(), message.info.deliveryCount)
    message.ack()
  }
}

process.once("message", (order: Order) => {
  const handler = new Handler(order)
  const failed = (error: unknown) => {
    process.stderr.write(`${String(error)}\n`)
    process.exit(1)
  }
  const reading = order.mode === "raw" ? raw(order, handler) : Effect.runPromise(ours(order, handler))
  reading.catch(failed)
  handler.outcome().then((outcome) => process.send!(outcome), failed)
})
