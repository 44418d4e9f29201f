/** The same work with the vendor's client alone, as an application would write it. */
import { AckPolicy, jetstream, jetstreamManager, type JsMsg } from "@nats-io/jetstream"
import { connect, type ConnectionOptions, type NatsConnection } from "@nats-io/transport-node"
import { setTimeout as sleep } from "node:timers/promises"
import { CONSUMER, type Job, STREAM, SUBJECT } from "./jobs.ts"
import type { Mode, PublisherOrder, WorkerOrder } from "./orders.ts"

/** The best that we have found for it, and nothing at all. */
const tuning = (mode: Mode): ConnectionOptions =>
  mode === "raw"
    ? {
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 0,
      pingInterval: 1_000,
      ignoreAuthErrorAbort: true
    }
    : {}

export const open = (mode: Mode, urls: ReadonlyArray<string>): Promise<NatsConnection> =>
  connect({ ...tuning(mode), servers: [...urls], ignoreClusterUpdates: true, name: "chaos" })

export interface Handler {
  /** Whoever is interrupted makes no effect any more. */
  readonly call: (job: Job, sequence: number, deliveryCount: number, interrupted?: AbortSignal) => Promise<void>
  readonly healthy: (isHealthy: boolean) => void
}

/** Reads until it is told to stop, or until the client gives up; then it ends, and nobody is told. */
export const work = async (order: WorkerOrder, handler: Handler, stop: Promise<void>): Promise<void> => {
  const connection = await open(order.mode, order.urls)
  void watch(connection, handler)
  const manager = await jetstreamManager(connection)
  await manager.consumers.add(STREAM, {
    durable_name: CONSUMER,
    ack_policy: AckPolicy.Explicit,
    ack_wait: order.ackWaitMs * 1e6
  })
  const consumer = await jetstream(connection).consumers.get(STREAM, CONSUMER)
  const messages = await consumer.consume(
    order.mode === "raw" ? { max_messages: order.capacity, expires: 2_000 } : { max_messages: order.capacity }
  )
  void stop.then(() => messages.close())
  const running = new Set<Promise<void>>()
  const one = async (message: JsMsg) => {
    await handler.call(message.json<Job>(), message.seq, message.info.deliveryCount)
    message.ack()
  }
  for await (const message of messages) {
    const call = one(message).finally(() => running.delete(call))
    running.add(call)
    while (running.size >= order.lanes) {
      await Promise.race(running)
    }
  }
  await Promise.all(running)
  await Promise.race([connection.drain(), sleep(1_000)])
}

const watch = async (connection: NatsConnection, handler: Handler): Promise<void> => {
  handler.healthy(true)
  for await (const { type } of connection.status()) {
    if (type === "disconnect" || type === "staleConnection") {
      handler.healthy(false)
    } else if (type === "reconnect") {
      handler.healthy(true)
    }
  }
  handler.healthy(false)
}

export type Outcome =
  | { readonly _tag: "Confirmed"; readonly sequence: number; readonly duplicate: boolean }
  | { readonly _tag: "NotSent" | "Ambiguous" }

const BUDGET_MS = 30_000

/** Publishes with an id, and again until it is confirmed: what the client's documentation asks for. */
export const publisher = async (
  order: PublisherOrder
): Promise<(all: ReadonlyArray<Job>) => Promise<ReadonlyArray<Outcome>>> => {
  const connection = await open(order.mode, order.urls)
  const client = jetstream(connection)
  const one = async (job: Job): Promise<Outcome> => {
    const deadline = performance.now() + BUDGET_MS
    const payload = JSON.stringify(job)
    for (;;) {
      try {
        const ack = await client.publish(SUBJECT, payload, { msgID: `${job.p}.${job.n}` })
        return { _tag: "Confirmed", sequence: ack.seq, duplicate: ack.duplicate }
      } catch {
        if (performance.now() > deadline || connection.isClosed()) {
          return { _tag: "Ambiguous" }
        }
        await sleep(100)
      }
    }
  }
  return (all) => Promise.all(all.map(one))
}
