/**
 * What is to be known of a connection and of those who read over it: whether things move, and if not, why not.
 *
 * Connected is not healthy. A reader with messages before it that gets none is stalled, however well the connection is; and
 * an application that blocks its own thread is not there for anybody. `layers/NatsThread` knows all of this in a thread
 * that goes on when the application does not, and tells it over HTTP if it is given a port. `layers/Watched` tells it of any
 * other transport, in the thread where that is used.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/**
 * How things stand, as `/health` gives it: JSON, durations in milliseconds.
 *
 * **Example** (What to wake somebody for)
 *
 * ```ts import.meta.vitest
 * import type { Report } from "effect-sluice/Health"
 *
 * const alarms = ({ problems }: Report) =>
 *   problems.flatMap((problem) =>
 *     problem._tag === "ReaderStalled" ? [`${problem.consumer}: ${problem.pending} messages wait`] : []
 *   )
 *
 * alarms({
 *   ready: false,
 *   live: true,
 *   problems: [{ _tag: "ReaderStalled", stream: "ORDERS", consumer: "billing", pending: 7, quietMs: 12_000 }],
 *   connection: { state: "Connected", server: "127.0.0.1:4222", sinceMs: 60_000 },
 *   application: { lagMs: 0, blockedMs: 0 },
 *   readers: []
 * }) // => ["billing: 7 messages wait"]
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  /** Whether there is no problem. `/readyz` answers 200 then, and 503 otherwise. */
  readonly ready: boolean
  /** Whether it is worth going on. `/livez` answers 200 then, and 503 otherwise: whoever watches should start it anew. */
  readonly live: boolean
  readonly problems: ReadonlyArray<Problem>
  readonly connection: Connection
  readonly application: Application
  readonly readers: ReadonlyArray<Reader>
}

/**
 * Why it is not ready.
 *
 * - `Disconnected`: there is no connection, and another attempt follows.
 * - `Closed`: there is none, and none will follow.
 * - `UserThreadBlocked`: the application's event loop has not turned for more than a second.
 * - `UserThreadDead`: it has not for longer than `maxBlocked`; what it held has gone back to the broker.
 * - `DeadLetterUnavailable`: a message that its handler has given up cannot be stored as a dead letter; it is kept, and tried
 *   again.
 * - `ReaderStalled`: the broker has messages for a reader that has room, and none has come for `quietMs`.
 * - `ConsumerUnavailable`: nobody has answered a reader's pulls and acks for two seconds, although the connection stands: a
 *   cluster elects another leader for its consumer, or has too few servers for one.
 * - `StreamUnavailable`: the same for a stream with replicas that is read or was published to lately: nothing can be stored in
 *   it, even if its consumers are there. It takes the right to ask for the stream (`$JS.API.STREAM.INFO.<stream>`); without,
 *   nobody knows.
 *
 * @category models
 * @since 0.1.0
 */
export type Problem =
  | { readonly _tag: "Disconnected" | "Closed"; readonly detail: string }
  | { readonly _tag: "UserThreadBlocked" | "UserThreadDead"; readonly blockedMs: number }
  | {
    readonly _tag: "ReaderStalled"
    readonly stream: string
    readonly consumer: string
    readonly pending: number
    readonly quietMs: number
  }
  | {
    readonly _tag: "ConsumerUnavailable"
    readonly stream: string
    /** Empty as in `Reader`. */
    readonly consumer: string
    readonly unansweredMs: number
  }
  | { readonly _tag: "StreamUnavailable"; readonly stream: string; readonly unansweredMs: number }
  | {
    readonly _tag: "DeadLetterUnavailable"
    readonly stream: string
    readonly consumer: string
    readonly detail: string
  }

/**
 * The connection, and for how long it has been so.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly state: "Connected" | "Connecting" | "Closed"
  readonly server: string | null
  readonly sinceMs: number
}

/**
 * The application's own thread.
 *
 * @category models
 * @since 0.1.0
 */
export interface Application {
  /** For how long its event loop has not turned although it was due; up to some 50 ms is the look itself. */
  readonly lagMs: number
  /** The same, once that is more than a second; 0 otherwise. */
  readonly blockedMs: number
}

/**
 * A reader: what it holds of how much it may, and what the broker still has for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  readonly stream: string
  /** Empty for an ephemeral or ordered reader, whose consumer has no name that stays. */
  readonly consumer: string
  /** As the broker last said, at most 5 s ago; `null` while it is not known, and for readers without a durable consumer. */
  readonly pending: number | null
  readonly held: number
  readonly capacity: number
  /** How many leases were renewed, and how many ran out, since the I/O thread started. */
  readonly leasesRenewed: number
  readonly leasesLost: number
  /** For how long nothing has come although there was something to come. */
  readonly quietMs: number
}

/**
 * How things stand now, in the thread that asks. `layers/Watched` has it.
 *
 * **Example** (What to tell a load balancer)
 *
 * ```ts import.meta.vitest
 * import * as Health from "effect-sluice/Health"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Watched from "effect-sluice/layers/Watched"
 * import * as Effect from "effect/Effect"
 *
 * const status = Effect.gen(function*() {
 *   const { report } = yield* Health.Health
 *   yield* Effect.sleep(50)
 *   return (yield* report).ready ? 200 : 503
 * })
 * await Effect.runPromise(Effect.provide(status, Watched.layer(Memory.layer()))) // => 200
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Health extends Context.Service<Health, {
  readonly report: Effect.Effect<Report>
}>()("effect-sluice/Health") {}
