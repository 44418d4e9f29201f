/** A reader in this very process, ours or the vendor's, that tells of each message it begins with. */
import {
  AckPolicy as Acks,
  type ConsumerMessages,
  DeliverPolicy,
  jetstream,
  jetstreamManager
} from "@nats-io/jetstream"
import type { NatsConnection } from "@nats-io/transport-node"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as AckPolicy from "../../../src/AckPolicy.ts"
import * as Nats from "../../../src/layers/Nats.ts"
import * as NatsThread from "../../../src/layers/NatsThread.ts"
import * as Queue from "../../../src/Queue.ts"
import * as Reader from "../../../src/Reader.ts"
import * as Topic from "../../../src/Topic.ts"
import type { Mode } from "../orders.ts"
import { open } from "../raw.ts"
import { isOurs } from "./Row.ts"

export const STREAM = "S"
export const SUBJECT = "s.a"
export const DURABLE = "D"

export interface Order {
  readonly mode: Mode
  readonly url: string
  readonly consumer: "durable" | "ephemeral" | "ordered"
  /** The durable is somebody else's. */
  readonly bind: boolean
  /** Where reading begins. */
  readonly from: number
  readonly ackWaitMs: number
  readonly lanes: number
  readonly handle: (n: number, seq: number) => Promise<void>
}

export interface Reading {
  /** What it was told at its end, and when that was; nothing for as long as it reads. */
  readonly end: () => { readonly told: string; readonly at: number } | undefined
  readonly stop: () => Promise<void>
}

export const read = (order: Order): Reading => isOurs(order.mode) ? ours(order) : raw(order)

// internals

const CAPACITY = 100
const STOPS_WITHIN_MS = 3_000

const numbers = Topic.make(SUBJECT, { schema: Schema.Struct({ n: Schema.Int }) })

const ours = (order: Order): Reading => {
  const start = { _tag: "sequence", sequence: order.from } as const
  const consumers = { durable: DURABLE, ephemeral: Reader.ephemeral({ start }), ordered: Reader.ordered({ start }) }
  const options = { servers: order.url }
  const transport = order.mode === "thread" ? NatsThread.layer(options) : Nats.layer(options)
  // What a reader logs of faults is no finding of a row.
  const layers = Layer.provideMerge(Layer.merge(transport, AckPolicy.onProcess), Logger.layer([]))
  const reading = Reader.handle(
    numbers,
    {
      stream: STREAM,
      consumer: consumers[order.consumer],
      bind: order.bind,
      start,
      ackWait: order.ackWaitMs,
      lanes: order.lanes,
      queue: Queue.suspend({ messages: CAPACITY })
    },
    ({ n }, { streamSequence }) => Effect.promise(() => order.handle(n, streamSequence))
  )
  let end: ReturnType<Reading["end"]>
  const fiber = Effect.runFork(Effect.provide(reading, layers))
  fiber.addObserver((exit) => {
    end ??= { told: Exit.isSuccess(exit) ? "nothing" : problemOf(exit.cause), at: performance.now() }
  })
  return {
    end: () => end,
    stop: () => Effect.runPromise(Effect.asVoid(Effect.timeoutOption(Fiber.interrupt(fiber), STOPS_WITHIN_MS)))
  }
}

const problemOf = (cause: Cause.Cause<unknown>): string => {
  const failed = Cause.squash(cause) as { readonly reason?: { readonly _tag: string } }
  return failed.reason?._tag ?? Cause.pretty(cause)
}

/** As its documentation shows it. Its loop ends without a word, or never; an error of its own is what it throws. */
const raw = (order: Order): Reading => {
  let end: ReturnType<Reading["end"]>
  let connection: NatsConnection | undefined
  const reading = async (): Promise<string> => {
    connection = await open(order.mode, [order.url])
    const running = new Set<Promise<void>>()
    for await (const message of await messagesOf(order, connection)) {
      const call = order.handle(message.json<{ readonly n: number }>().n, message.seq).then(() => message.ack())
      running.add(call)
      void call.finally(() => running.delete(call))
      while (running.size >= order.lanes) {
        await Promise.race(running)
      }
    }
    return "nothing"
  }
  void reading().catch(String).then((told) => {
    end = { told, at: performance.now() }
  })
  return { end: () => end, stop: async () => void connection?.close().catch(() => {}) }
}

const messagesOf = async (order: Order, connection: NatsConnection): Promise<ConsumerMessages> => {
  const client = jetstream(connection)
  const settings = order.mode === "raw" ? { max_messages: CAPACITY, expires: 2_000 } : { max_messages: CAPACITY }
  const from = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: order.from }
  if (order.consumer === "ordered") {
    return (await client.consumers.get(STREAM, from)).consume(settings)
  }
  const manager = await jetstreamManager(connection)
  const made = order.bind ? { name: DURABLE } : await manager.consumers.add(STREAM, {
    ...(order.consumer === "durable" ? { durable_name: DURABLE } : { inactive_threshold: 300e9 }),
    ...from,
    ack_policy: Acks.Explicit,
    ack_wait: order.ackWaitMs * 1e6
  })
  return (await client.consumers.get(STREAM, made.name)).consume(settings)
}
