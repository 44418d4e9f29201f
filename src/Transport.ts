/**
 * Moves messages between a broker and this process.
 *
 * A `Transport` is the only thing that knows which broker is on the other side. It hands out deliveries in batches,
 * takes back one verdict for each, and never runs caller code. Everything above it is the same whether the layer below
 * is NATS, a worker thread, or memory.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as AckPolicy from "./AckPolicy.ts"
import type * as Message from "./Message.ts"
import type * as Queue from "./Queue.ts"
import type * as Settlement from "./Settlement.ts"
import type * as Topology from "./Topology.ts"
import type { Reason, TransportError } from "./TransportError.ts"

/**
 * What this broker, at this version, can really do. Read again after every reconnect, because a client may land on an
 * older node.
 *
 * @category models
 * @since 0.1.0
 */
export interface Capabilities {
  /** The broker's name and version, for people: `nats-server 2.10.27`. */
  readonly broker: string
  /** What is stored outlives the broker's process. */
  readonly persistent: boolean
  /** Several filter subjects on one consumer (nats-server ≥ 2.10). */
  readonly filterSubjects: boolean
  /** Metadata on streams and consumers (nats-server ≥ 2.10). */
  readonly metadata: boolean
  /**
   * Everything that goes back while nobody asks is delivered at the next pull (nats-server ≥ 2.10). nats-server 2.9 keeps
   * one of them until its ack wait is over.
   */
  readonly promptReturn: boolean
  /**
   * A backoff list without a limit of deliveries, or with one of its own length (nats-server ≥ 2.10). nats-server 2.9
   * wants a limit, and more deliveries than entries.
   */
  readonly unlimitedBackoff: boolean
  /**
   * A purge leaves the unanswered deliveries of other messages alone (nats-server ≥ 2.10). nats-server 2.9 forgets all
   * of them: what is not acknowledged then never comes again.
   */
  readonly purgeKeepsUnanswered: boolean
  /**
   * Under interest retention a stream keeps what a consumer has given up after its last delivery (nats-server ≥ 2.10).
   * nats-server 2.9 removes it once nobody else waits for it.
   */
  readonly keepsGivenUp: boolean
  /** The reason of a term reaches the broker's advisory (nats-server ≥ 2.11). */
  readonly termReason: boolean
  /** The largest message with headers that the broker takes, in bytes. */
  readonly maxPayload: number
}

/**
 * Where a connection stands. `Connecting` carries why, once there is a reason.
 *
 * @category models
 * @since 0.1.0
 */
export type ConnectionStatus =
  | { readonly _tag: "Connected"; readonly server: string }
  | { readonly _tag: "Connecting"; readonly attempt: number; readonly reason: Option.Option<Reason> }
  | { readonly _tag: "Closed"; readonly reason: Option.Option<Reason> }

/**
 * How one publish ended, and how much is known about it.
 *
 * - `Confirmed`: stored at `sequence`; `duplicate` if an earlier publish with the same id had stored it already.
 * - `NotSent`: certainly not stored.
 * - `Ambiguous`: it went out, and no answer came back. Publish again with the same id.
 *
 * @category models
 * @since 0.1.0
 */
export type Receipt =
  | { readonly _tag: "Confirmed"; readonly stream: string; readonly sequence: number; readonly duplicate: boolean }
  | { readonly _tag: "NotSent"; readonly reason: Reason }
  | { readonly _tag: "Ambiguous"; readonly reason: Reason }

/**
 * What to read.
 *
 * - `durable`: a named consumer whose place the broker keeps. With `create`, the reader owns it: it is made when it is
 *   missing, made again at the right place when somebody deletes it, and compared when it exists. Without, it is bound
 *   as it is, and its disappearance is a typed failure.
 * - `ephemeral`: a consumer of this reader alone, with explicit acks; made again where reading stopped.
 * - `ordered`: no acks; exactly the stream's messages, in order, once; gaps and repeats are repaired underneath.
 *
 * @category models
 * @since 0.1.0
 */
export type Source =
  | {
    readonly _tag: "durable"
    readonly stream: string
    readonly consumer: string
    readonly create: Option.Option<Topology.Consumer>
  }
  | {
    readonly _tag: "ephemeral"
    readonly stream: string
    readonly filters: ReadonlyArray<string>
    readonly start: Topology.ConsumerStart
  }
  | {
    readonly _tag: "ordered"
    readonly stream: string
    readonly filters: ReadonlyArray<string>
    readonly start: Topology.ConsumerStart
  }

/**
 * How to read: how much may be held, what happens when that is full, when to acknowledge. Plain data, so that it can
 * cross to another thread.
 *
 * @category models
 * @since 0.1.0
 */
export interface Flow {
  readonly queue: Queue.Settings
  readonly ack: AckPolicy.Policy
  /** How long a handler may hold one delivery before its lease is no longer renewed, in milliseconds. */
  readonly timeBudgetMs: number
  /** What happens to what a handler does not end with, where nobody can interrupt it. Without it: nothing. */
  readonly overdue?: Overdue | undefined
}

/**
 * A handler that blocks its own event loop can't be interrupted there. Where somebody else watches, the delivery that it
 * works on goes back after so long; or, if it has been delivered so often, is terminated.
 *
 * @category models
 * @since 0.1.0
 */
export interface Overdue {
  readonly afterMs: number
  /** Infinity: never. */
  readonly terminateFrom: number
}

/**
 * A delivery and what shall become of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Verdict {
  readonly delivery: Message.Delivery
  readonly settlement: Settlement.Settlement
}

/**
 * What became of everything that an inlet was given. `delivered` = `settled` + `displaced` + `returned` + `lost` + held.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger {
  /** Deliveries taken in; a redelivery of something still held is not counted again. */
  readonly delivered: number
  /** Settled by the reader, or on enqueue by the policy. */
  readonly settled: number
  /** Displaced by the queue's strategy, and settled as it says. */
  readonly displaced: number
  /** Handed back unprocessed when the inlet closed. */
  readonly returned: number
  /** Their lease ran out before they were settled; the broker delivers them again. */
  readonly lost: number
  /** Redeliveries of something held or done, answered without running it twice. */
  readonly swallowed: number
  /** Settled, but the broker has not confirmed it. */
  readonly unconfirmed: number
  /** In the queue or with the reader, without a verdict. */
  readonly held: number
}

/**
 * An open source of deliveries. Closing its scope stops pulling, hands back at once whatever was not settled, and waits
 * for the broker to confirm the acks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inlet {
  /**
   * Waits for at least one delivery and gives at most `max`. Fails when the source is gone for good.
   */
  readonly take: (max: number) => Pull.Pull<NonEmptyReadonlyArray<Message.Delivery>, TransportError>
  /**
   * Hands over verdicts, one for each delivery. A synchronous hand-over that never fails: what could not be sent now is
   * sent after the reconnect. Under the policy `confirmed` it waits for the broker's word.
   */
  readonly settle: (verdicts: ReadonlyArray<Verdict>) => Effect.Effect<void>
  /**
   * Whether the lease on a delivery still holds. A handler must not start on a lost one: the broker gives the message
   * to somebody else.
   */
  readonly holds: (delivery: Message.Delivery) => boolean
  /**
   * A handler begins on a delivery, or ends. For whoever can watch that from another thread (`Flow.overdue`); an inlet that
   * lives in the handler's own thread has nobody.
   */
  readonly runs?: ((delivery: Message.Delivery, isRunning: boolean) => void) | undefined
  /**
   * Stops pulling. What was on its way still arrives; `take` gives what stands in the queue, and then ends
   * (`Cause.Done`). Closing the scope hands back what was not taken by then.
   */
  readonly stop: Effect.Effect<void>
  readonly ledger: () => Ledger
  /**
   * For how long the broker has owed an answer and said nothing, over a connection that stands: in ms, and 0 while it
   * answers or is asked nothing. While it answers, a second is the most. A broker that cannot do that needs none.
   */
  readonly unansweredMs?: (() => number) | undefined
}

/**
 * What goes when a stream is purged: everything, or what all that is given here applies to. `upTo` and `keep` exclude each
 * other.
 *
 * @category models
 * @since 0.1.0
 */
export interface Purge {
  /** Only messages of subjects that match. */
  readonly filter?: string
  /** Only messages below this sequence. */
  readonly upTo?: number
  /** The newest so many of them stay. */
  readonly keep?: number
}

/**
 * Creates and describes streams and consumers, where the broker has them, and removes messages.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopologyAdmin {
  readonly describeStream: (name: string) => Effect.Effect<Option.Option<Topology.StreamInfo>, TransportError>
  readonly createStream: (stream: Topology.Stream) => Effect.Effect<void, TransportError>
  readonly deleteStream: (name: string) => Effect.Effect<void, TransportError>
  /** Removes messages, and says how many. Who has not got them yet never will; who holds one keeps it. */
  readonly purgeStream: (name: string, purge?: Purge) => Effect.Effect<number, TransportError>
  /** Removes one message. Fails with `Rejected` (10057) if there is none. */
  readonly deleteMessage: (stream: string, sequence: number) => Effect.Effect<void, TransportError>
  readonly describeConsumer: (
    stream: string,
    consumer: string
  ) => Effect.Effect<Option.Option<Topology.ConsumerInfo>, TransportError>
  readonly createConsumer: (stream: string, consumer: Topology.Consumer) => Effect.Effect<void, TransportError>
  readonly deleteConsumer: (stream: string, consumer: string) => Effect.Effect<void, TransportError>
}

/**
 * A connection to a broker.
 *
 * **Example** (Which broker this is)
 *
 * ```ts import.meta.vitest
 * import * as Memory from "effect-sluice/layers/Memory"
 * import { Transport } from "effect-sluice/Transport"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.flatMap(Transport, ({ capabilities }) => capabilities)
 * const { broker, persistent } = await Effect.runPromise(Effect.provide(program, Memory.layer()))
 * broker // => "memory"
 * persistent // => false
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Transport extends Context.Service<Transport, {
  readonly capabilities: Effect.Effect<Capabilities>
  /** The status now, then every change. */
  readonly status: Stream.Stream<ConnectionStatus>
  /**
   * Publishes a batch and waits until each message is confirmed or given up: one receipt each, in the same order.
   * Bounded in messages and bytes in flight; callers wait when the bound is reached, also while the broker is away. One
   * attempt per message: retrying is the publisher's business. Fails as a whole only before anything was sent.
   */
  readonly publish: (
    batch: NonEmptyReadonlyArray<Message.Outgoing>
  ) => Effect.Effect<NonEmptyReadonlyArray<Receipt>, TransportError>
  readonly open: (source: Source, flow: Flow) => Effect.Effect<Inlet, TransportError, Scope.Scope>
  readonly topology: Option.Option<TopologyAdmin>
}>()("effect-sluice/Transport") {}
