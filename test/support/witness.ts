/** A second pair of eyes on a NATS server: the raw client, which shares no code with ours. */
import { jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Witness {
  readonly ackPending: (stream: string, consumer: string) => Promise<number>
  readonly redelivered: (stream: string, consumer: string) => Promise<number>
  readonly pending: (stream: string, consumer: string) => Promise<number>
  readonly messages: (stream: string) => Promise<number>
  readonly consumers: (stream: string) => Promise<ReadonlyArray<string>>
  readonly streams: () => Promise<ReadonlyArray<string>>
  readonly deleteConsumer: (stream: string, consumer: string) => Promise<void>
  readonly deleteStream: (stream: string) => Promise<void>
  readonly addStream: (stream: string, subjects: ReadonlyArray<string>) => Promise<void>
  readonly addConsumer: (stream: string, config: Record<string, unknown>) => Promise<void>
  /** The names of the servers that lead a stream and its consumer. */
  readonly leaders: (stream: string, consumer: string) => Promise<ReadonlyArray<string | undefined>>
  readonly updateConsumer: (stream: string, consumer: string, config: Record<string, unknown>) => Promise<void>
  readonly publish: (subject: string, payload: string) => void
}

export const witness = (url: string): Effect.Effect<Witness, never, Scope.Scope> =>
  Effect.gen(function*() {
    const nc = yield* Effect.acquireRelease(
      Effect.promise(() => connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 100 })),
      (connection) => Effect.promise(() => connection.close())
    )
    const jsm = yield* Effect.promise(() => jetstreamManager(nc, { checkAPI: false }))
    const info = (stream: string, consumer: string) => jsm.consumers.info(stream, consumer)
    return {
      ackPending: async (stream, consumer) => (await info(stream, consumer)).num_ack_pending,
      redelivered: async (stream, consumer) => (await info(stream, consumer)).num_redelivered,
      pending: async (stream, consumer) => (await info(stream, consumer)).num_pending,
      messages: async (stream) => (await jsm.streams.info(stream)).state.messages,
      consumers: async (stream) => (await jsm.consumers.list(stream).next()).map((consumer) => consumer.name),
      streams: async () => (await jsm.streams.list().next()).map((stream) => stream.config.name),
      deleteConsumer: async (stream, consumer) => {
        await jsm.consumers.delete(stream, consumer)
      },
      deleteStream: async (stream) => {
        await jsm.streams.delete(stream)
      },
      addStream: async (stream, subjects) => {
        await jsm.streams.add({ name: stream, subjects: [...subjects] })
      },
      addConsumer: async (stream, config) => {
        await jsm.consumers.add(stream, config)
      },
      leaders: async (stream, consumer) =>
        [await jsm.streams.info(stream), await info(stream, consumer)].map(({ cluster }) => cluster?.leader),
      updateConsumer: async (stream, consumer, config) => {
        await jsm.consumers.update(stream, consumer, config)
      },
      publish: (subject, payload) => nc.publish(subject, payload)
    }
  })
