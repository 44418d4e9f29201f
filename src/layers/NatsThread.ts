/**
 * NATS JetStream as a transport whose connection lives in a thread of its own.
 *
 * It is `layers/Nats`, with its supervisor, pull loops, queues and lease renewal, in a worker thread. While the
 * application computes, that thread goes on: it answers the server's pings, reads, enqueues, acknowledges on enqueue, and
 * renews the leases of whatever waits or runs.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Remote from "../internal/thread/remote.ts"
import { IoWorker } from "../internal/thread/worker.ts"
import { Transport } from "../Transport.ts"
import type { TransportError } from "../TransportError.ts"
import * as Nats from "./Nats.ts"
import { type Portable, portable } from "./thread/portable.ts"

/**
 * How to reach NATS, as for `layers/Nats`. A schedule cannot cross to another thread: the pauses between attempts to
 * connect are the default ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Omit<Nats.Options, "reconnect"> {
  /**
   * So long without a turn of its event loop, and the application counts as dead: what it holds goes back to the broker,
   * and its handlers find their leases lost when it returns. Default 5 minutes.
   */
  readonly maxBlocked?: Duration.Input
  /**
   * So many threads may die within a minute, of a defect or for want of memory, and another one goes on with the same
   * readers within a second. With one more, all of them end with `Disconnected`. Default 20.
   */
  readonly maxRestarts?: number
  /**
   * A port of the I/O thread that answers `GET /livez`, `/readyz`, `/health` (a `Health.Report` as JSON) and `/metrics` (for
   * Prometheus), also while the application blocks its own thread. It listens on 127.0.0.1 unless `host` says otherwise;
   * it has no password, and tells the names of streams and consumers. Default: none.
   */
  readonly health?: { readonly port: number; readonly host?: string } | undefined
}

/**
 * Connects to NATS from a thread of its own.
 *
 * **When to use**
 *
 * Where handlers may keep the event loop busy. It costs a thread, and one hop for each batch.
 *
 * **Gotchas**
 *
 * A bundler does not see the thread. Keep the package external, or copy its folder `dist/layers/thread`, which holds all
 * that the thread needs, beside the bundle.
 *
 * **Example** (The same options as `layers/Nats`)
 *
 * ```ts import.meta.vitest
 * import * as NatsThread from "effect-sluice/layers/NatsThread"
 * import * as Layer from "effect/Layer"
 *
 * Layer.isLayer(NatsThread.layer({ servers: ["nats://127.0.0.1:4222"], name: "billing" })) // => true
 * Layer.isLayer(NatsThread.layerConfig) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Transport, TransportError> =>
  Layer.effect(Transport, Effect.suspend(() => make(options, new IoWorker(FILE))))

/**
 * Connects as the environment says; see `config` of `layers/Nats`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<Transport, TransportError | Config.ConfigError> = Layer.effect(
  Transport,
  Effect.flatMap(Nats.config, (options) => make(options, new IoWorker(FILE)))
)

/**
 * A thread in which several connections live, each made by `layerIn`.
 *
 * @category services
 * @since 0.1.0
 */
export class IoThread
  extends Context.Service<IoThread, IoWorker<Portable>>()("effect-sluice/layers/NatsThread/IoThread")
{}

/**
 * A thread for several connections. It starts with the first one, and ends with the last; when it dies, all of them go on
 * in another one.
 *
 * **When to use**
 *
 * An application with connections to several servers or accounts, none of which is so busy that it needs a thread alone:
 * each thread costs some 20 MB, and a tenth of a second. Many readers and publishers of one connection share its thread
 * anyhow.
 *
 * **Gotchas**
 *
 * It is one thread for all to whom this very layer is provided in one program, as with every layer.
 *
 * **Example** (Two accounts, one thread)
 *
 * ```ts import.meta.vitest
 * import * as NatsThread from "effect-sluice/layers/NatsThread"
 * import * as Layer from "effect/Layer"
 *
 * const shop = NatsThread.layerIn({ servers: "nats://shop@127.0.0.1:4222" }).pipe(Layer.provide(NatsThread.thread))
 * const audit = NatsThread.layerIn({ servers: "nats://audit@127.0.0.1:4222" }).pipe(Layer.provide(NatsThread.thread))
 *
 * Layer.isLayer(shop) && Layer.isLayer(audit) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const thread: Layer.Layer<IoThread> = Layer.sync(IoThread, () => new IoWorker(FILE))

/**
 * Like `layer`, in a thread that others share; see `thread`.
 *
 * **Example** (A connection that needs a thread)
 *
 * ```ts import.meta.vitest
 * import * as NatsThread from "effect-sluice/layers/NatsThread"
 * import * as Layer from "effect/Layer"
 *
 * Layer.isLayer(NatsThread.layerIn({ servers: "nats://127.0.0.1:4222" })) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerIn = (options: Options): Layer.Layer<Transport, TransportError, IoThread> =>
  Layer.effect(Transport, Effect.flatMap(IoThread, (io) => make(options, io)))

// internals

const MAX_RESTARTS = 20

/** From the sources it is TypeScript, and in the package JavaScript. */
const FILE = new URL(import.meta.url.endsWith(".ts") ? "./thread/nats.ts" : "./thread/nats.js", import.meta.url)

const make = (
  options: Options,
  io: IoWorker<Portable>
): Effect.Effect<Transport["Service"], TransportError, Scope.Scope> => {
  const { health, maxBlocked, maxRestarts, ...rest } = options
  const address = health === undefined ? undefined : { host: "127.0.0.1", ...health }
  return Remote.connect({
    spawn: () => io.spawn(portable(rest, address)),
    metrics: health === undefined ? undefined : metrics,
    maxBlockedMs: Duration.toMillis(Duration.fromInputUnsafe(maxBlocked ?? "5 minutes")),
    maxRestarts: maxRestarts ?? MAX_RESTARTS
  })
}

const metrics = Effect.flatMap(
  Effect.promise(() => import("effect/observability/PrometheusMetrics")),
  ({ format }) => format()
)
