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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Worker } from "node:worker_threads"
import type { Thread } from "../internal/thread/life.ts"
import { overPort } from "../internal/thread/ports.ts"
import * as Remote from "../internal/thread/remote.ts"
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
  Layer.effect(Transport, make(options))

/**
 * Connects as the environment says; see `config` of `layers/Nats`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<Transport, TransportError | Config.ConfigError> = Layer.effect(
  Transport,
  Effect.flatMap(Nats.config, (options) => make(options))
)

// internals

const MAX_RESTARTS = 20
/** A thread that is told to end ends by itself; stopping it in the middle of that is the last resort. */
const EXIT_WITHIN_MS = 2_000

const make = (options: Options): Effect.Effect<Transport["Service"], TransportError, Scope.Scope> => {
  const { health, maxBlocked, maxRestarts, ...rest } = options
  const address = health === undefined ? undefined : { host: "127.0.0.1", ...health }
  return Remote.connect({
    spawn: () => spawn(portable(rest, address)),
    metrics: health === undefined ? undefined : metrics,
    maxBlockedMs: Duration.toMillis(Duration.fromInputUnsafe(maxBlocked ?? "5 minutes")),
    maxRestarts: maxRestarts ?? MAX_RESTARTS
  })
}

const metrics = Effect.flatMap(
  Effect.promise(() => import("effect/observability/PrometheusMetrics")),
  ({ format }) => format()
)

/** From the sources it is TypeScript, and in the package JavaScript. It is told nothing but by its port. */
const spawn = (told: Portable): Thread => {
  const file = import.meta.url.endsWith(".ts") ? "./thread/nats.ts" : "./thread/nats.js"
  const worker = new Worker(new URL(file, import.meta.url), { env: {}, argv: [] })
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()))
  let detail = "it ended without a word"
  worker.on("error", (error: unknown) => {
    detail = error instanceof Error ? error.message : String(error)
  })
  worker.postMessage(told, [])
  return {
    channel: overPort(worker),
    watch: (ended) => void worker.once("exit", () => ended(detail)),
    gone: Effect.asVoid(
      Effect.timeoutOrElse(Effect.promise(() => exited), {
        duration: EXIT_WITHIN_MS,
        orElse: () => Effect.asVoid(Effect.promise(() => worker.terminate()))
      })
    )
  }
}
