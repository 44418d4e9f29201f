/**
 * A broker in memory, inside this process.
 *
 * It behaves as JetStream does: streams with limits, a dedupe window, durable consumers that several readers share,
 * leases that run out, redeliveries. Time is Effect's `Clock`, so a test moves hours at once. Nothing survives the layer.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { Broker as MemoryBroker } from "../internal/memory/broker.ts"
import { Client } from "../internal/memory/client.ts"
import { control } from "../internal/memory/control.ts"
import type { Advisory, StoredMessage, Unanswered } from "../internal/memory/words.ts"
import { Transport } from "../Transport.ts"
import type { TopologyAdmin } from "../Transport.ts"
import type { TransportError } from "../TransportError.ts"

export type { Advisory, StoredMessage, Unanswered } from "../internal/memory/words.ts"

/**
 * How the broker is set up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The largest message with headers, in bytes. Default 1 MiB, as nats-server's. */
  readonly maxPayload?: number
  /**
   * How long a reader that closes while it is cut off waits for its broker. Default 0: in a test whose clock stands still,
   * it would wait for ever. `layers/Nats` waits two seconds.
   */
  readonly absentWithin?: Duration.Input
}

/**
 * A client's connection to the broker, for a test to cut.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly transport: Transport["Service"]
  /** Cuts it off: readers get nothing, verdicts wait, publishes end as `NotSent`. */
  readonly disconnect: Effect.Effect<void>
  /** Connects it again, with its readers and what they hold. */
  readonly reconnect: Effect.Effect<void>
}

/**
 * A broker that several clients share.
 *
 * @category services
 * @since 0.1.0
 */
export class Broker extends Context.Service<Broker, {
  /** One more client, for as long as the scope is open. */
  readonly connect: Effect.Effect<Connection, never, Scope.Scope>
  /** Cuts off every client. */
  readonly disconnect: Effect.Effect<void>
  /** Connects every client again. */
  readonly reconnect: Effect.Effect<void>
  /** An administrator whom no cut reaches. */
  readonly topology: TopologyAdmin
  /** What a stream keeps, in order. */
  readonly messages: (stream: string) => Effect.Effect<ReadonlyArray<StoredMessage>, TransportError>
  /** The deliveries of a consumer that nobody has answered, in the order of the stream. */
  readonly unanswered: (
    stream: string,
    consumer: string
  ) => Effect.Effect<ReadonlyArray<Unanswered>, TransportError>
  /** What the broker tells whoever listens, from now on. Up to 4,096 wait; whoever is slower misses the rest. */
  readonly advisories: Stream.Stream<Advisory>
  /**
   * The leader of a stream steps down, with those of its consumers. Readers are told, and ask again. Until another one is
   * elected, by default after 50 ms, nothing is delivered, publishes end as `NotSent`, and verdicts get no answer. What
   * the consumers know stays; but what was due again comes when its lease ends, because the new leader knows no queue.
   */
  readonly stepDown: (
    stream: string,
    options?: { readonly electionTime?: Duration.Input }
  ) => Effect.Effect<void, TransportError>
  /**
   * Stops the broker and starts it again, after `downFor`, by default at once. Everybody is cut off meanwhile. Streams in
   * memory are gone then, and so are ephemeral consumers; streams in files are there with their messages, consumers, and
   * unanswered deliveries. Of message ids those are known that a message is left of.
   */
  readonly restart: (options?: { readonly downFor?: Duration.Input }) => Effect.Effect<void>
  /** The payload of a stored message is no longer what was published. */
  readonly corrupt: (stream: string, sequence: number) => Effect.Effect<void, TransportError>
}>()("effect-sluice/layers/Memory/Broker") {}

/**
 * A broker without clients.
 *
 * **Example** (Two clients of one broker)
 *
 * ```ts import.meta.vitest
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const broker = yield* Memory.Broker
 *   const publisher = yield* broker.connect
 *   const reader = yield* broker.connect
 *   yield* reader.disconnect
 *   return (yield* publisher.transport.capabilities).broker
 * })
 *
 * await Effect.runPromise(Effect.provide(Effect.scoped(program), Memory.brokerLayer())) // => "memory"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const brokerLayer = (options: Options = {}): Layer.Layer<Broker> => Layer.effect(Broker, make(options))

/**
 * A transport of the broker in scope.
 *
 * **Gotchas**
 *
 * A layer is built once per program, however often it is provided: use `Layer.fresh`, or `Broker.connect`, for a second
 * client.
 *
 * @category layers
 * @since 0.1.0
 */
export const clientLayer: Layer.Layer<Transport, never, Broker> = Layer.effect(
  Transport,
  Effect.flatMap(Broker, (broker) => transportOf(broker))
)

/**
 * A transport with a broker of its own: each time it is provided, an empty one.
 *
 * **Example** (An application in memory)
 *
 * ```ts import.meta.vitest
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Provisioner from "effect-sluice/Provisioner"
 * import * as Topology from "effect-sluice/Topology"
 * import * as Effect from "effect/Effect"
 *
 * const program = Provisioner.ensure(Topology.stream("ORDERS", { subjects: ["orders.>"] }))
 * const ensured = await Effect.runPromise(Effect.provide(program, Memory.layer()))
 *
 * ensured[0]?.created // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Transport> =>
  Layer.effect(Transport, Effect.flatMap(make(options), transportOf))

// internals

const transportOf = (broker: Broker["Service"]): Effect.Effect<Transport["Service"], never, Scope.Scope> =>
  Effect.map(broker.connect, (connection) => connection.transport)

const MAX_PAYLOAD_DEFAULT = 1024 * 1024

const make = (options: Options): Effect.Effect<Broker["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const broker = new MemoryBroker({
      clock: yield* Clock.Clock,
      scheduler: yield* Scheduler.Scheduler,
      context: yield* Effect.context<never>(),
      maxPayload: options.maxPayload ?? MAX_PAYLOAD_DEFAULT,
      absentWithinMs: Duration.toMillis(Duration.fromInputUnsafe(options.absentWithin ?? 0))
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => broker.close()))
    const clients = new Set<Client>()
    const connect = Effect.acquireRelease(
      Effect.tap(Client.make(broker), (client) => Effect.sync(() => clients.add(client))),
      (client) => Effect.sync(() => clients.delete(client))
    )
    const all = (act: (client: Client) => Effect.Effect<void>) =>
      Effect.suspend(() => Effect.forEach([...clients], act, { discard: true }))
    return Broker.of({
      connect,
      disconnect: all((client) => client.disconnect),
      reconnect: all((client) => client.reconnect),
      ...control(broker, clients)
    })
  })
