/**
 * What a reader is told, and what it tells: the types that `Reader` publishes.
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Concurrent, Retryable, Spillable } from "../../AckPolicy.ts"
import type * as Message from "../../Message.ts"
import type * as Outcome from "../../Outcome.ts"
import type * as Queue from "../../Queue.ts"
import type * as Topology from "../../Topology.ts"

/**
 * A consumer of this reader alone, that disappears with it. Explicit acks; a connection that breaks goes on where it
 * stopped, a process that ends does not.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ephemeral {
  readonly _tag: "ephemeral"
  readonly start: Topology.ConsumerStart
}

/**
 * Exactly the stream's messages, in order, once, without acks: for building state in memory. What fails is not
 * delivered again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ordered {
  readonly _tag: "ordered"
  readonly start: Topology.ConsumerStart
}

/**
 * What every reader needs to know.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Q extends Queue.Settings = Queue.Settings> {
  /** The stream to read. */
  readonly stream: string
  /**
   * A name, for a durable consumer whose place the broker keeps; all readers of one name share its messages. Or
   * `Reader.ephemeral()`, or `Reader.ordered()`.
   */
  readonly consumer: string | Ephemeral | Ordered
  /**
   * `true`: the durable consumer is somebody else's; it is used as it is, and its absence is `ConsumerNotFound`.
   * Default `false`: the reader owns it, makes it when it is missing, and makes it again when it disappears.
   */
  readonly bind?: boolean
  /** Which subjects of the stream. Default: the topic's pattern. */
  readonly filters?: ReadonlyArray<string>
  /** Where a durable consumer begins when it is made. Default: at the stream's first message. */
  readonly start?: Topology.ConsumerStart
  /** How long the broker waits for a sign of life before it delivers again. Default 30 seconds; renewed by itself. */
  readonly ackWait?: Duration.Input
  /** How many deliveries may be unanswered over all replicas. Default 20,000. */
  readonly maxAckPending?: number
  /**
   * How often the broker delivers a message at most. Default -1, without limit: the reader decides when to give up. A
   * limit below `maxAttempts` is refused, because a message that reaches it disappears without a word.
   */
  readonly maxDeliver?: number
  /** How much may wait, and what happens when that is full. Default `Queue.suspend()`. */
  readonly queue?: Q
  /**
   * How long one message may take. Default 15 minutes. A handler is interrupted when its time is over, and that counts
   * as a failure; a delivery settled by hand is lost to the broker then, which delivers it again. A handler that cannot be
   * interrupted, because it blocks its event loop, loses its message a second later under `layers/NatsThread`: it is
   * handed back, or terminated if that was the last attempt and there is no `onGiveUp`.
   */
  readonly timeBudget?: Duration.Input
  /**
   * What happens when the source fails. Default `"raise"`: the reader fails. `"finish"`: it logs and ends. `"wait"`: it
   * lets what has begun finish and opens again, after 100 ms, doubled each time up to 5 s, for as long as it takes.
   */
  readonly onError?: "raise" | "finish" | "wait"
}

/**
 * A handler threw, or ended in a defect.
 *
 * @category errors
 * @since 0.1.0
 */
export class Defect extends Data.TaggedClass("Defect")<{ readonly defect: unknown }> {}

/**
 * A handler took longer than its time budget and was interrupted.
 *
 * @category errors
 * @since 0.1.0
 */
export class TimeBudgetExceeded extends Schema.TaggedError<TimeBudgetExceeded>()("TimeBudgetExceeded", {
  millis: Schema.Number
}) {
  override get message(): string {
    return `interrupted after its time budget of ${this.millis} ms`
  }
}

/**
 * Why a message is given up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure {
  readonly _tag: "Undecodable" | "Failed" | "Defect" | "TimeBudgetExceeded"
  /** The tag of the error, or of the failure where the error has none. It carries no data, and may be logged. */
  readonly reason: string
  /** What happened, as it was: the `DecodeError`, the handler's error, the defect, the `TimeBudgetExceeded`. */
  readonly cause: Cause.Cause<unknown>
  /** How often it was tried, here and elsewhere. */
  readonly attempts: number
  /** It was given up before its attempts were used up, because the failure said that none would help. */
  readonly permanent?: boolean
}

/**
 * Where a reader's dead letters go, and what they contain.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetterOptions {
  /** The stream that takes them; see `DeadLetter.stream`. Default `DLQ`. */
  readonly stream?: string
  /** What their subjects begin with. Default: the stream's name in lower case. */
  readonly prefix?: string
  /**
   * The payload goes along (`"full"`, the default); or stays where it is (`"reference"`); or becomes what a function makes
   * of its bytes. What did not go along is fetched from its stream when the letter is replayed, if it is still there.
   */
  readonly payload?: "full" | "reference" | ((payload: Uint8Array) => Uint8Array)
  /**
   * What may be said of a failure beyond its tag. It is stored for weeks, and read by others. Default: what a `DecodeError`
   * or a `TimeBudgetExceeded` says, which contains no data, and nothing of any other error.
   */
  readonly describe?: (failure: Failure) => string
  /** Whether the reader takes what is replayed for it, for which it reads a consumer of its own there. Default `true`. */
  readonly replays?: boolean
}

/**
 * When a message is tried again, and what happens when it is given up.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions<R> {
  /**
   * How often a message is tried at most: the broker counts deliveries over all processes, and retries in place come on
   * top. A crash forgets those of its process, so that up to `maxAttempts - 1` calls more are possible. Default 5.
   */
  readonly maxAttempts?: number
  /**
   * Runs before a message is given up: the place to keep it elsewhere. While it fails, the message is kept and comes
   * back later.
   */
  readonly onGiveUp?: (failure: Failure, message: Message.Delivery) => Effect.Effect<unknown, unknown, R>
  /**
   * What happens to the key of a message that failed. `"block"`, the default: the key waits until the message has come to
   * its end. `{ park: n }`: so many of the key's later messages wait; when there are more, the failed one goes back to the
   * broker, and the key goes on without it. `"skip"`: that at once. A message without a key always goes back.
   */
  readonly whenKeyFails?: "block" | "skip" | { readonly park: number }
  /**
   * Where messages wait for a retry that is far away: `true` for all defaults. They take up no room of the reader's, count
   * against nobody's `maxAckPending` but their own, and their key goes on. Without it a long delay goes by way of the broker,
   * and its message occupies the reader's capacity for as long. Needs the stream that `DeadLetter.retryStream` declares.
   */
  readonly retryStream?: true | RetryStreamOptions
}

/**
 * Where messages wait for a retry that is far away.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryStreamOptions {
  /** The stream that takes them. Default `RETRY`. */
  readonly stream?: string
  /** What their subjects begin with. Default: the stream's name in lower case. */
  readonly prefix?: string
  /** Delays from here on are far away. Default one minute. */
  readonly after?: Duration.Input
}

/**
 * What a failure means; `undefined` leaves it to the error (`Outcome.key`), and then to the schedule.
 *
 * @category models
 * @since 0.1.0
 */
export type Classify<E> = (error: E | TimeBudgetExceeded | Defect) => Outcome.Outcome | undefined

/**
 * What becomes of a message that is given up, and of which messages that is.
 *
 * @category models
 * @since 0.1.0
 */
export interface OutcomeOptions<E> {
  readonly classify?: Classify<E>
  /** Messages that are given up become dead letters: `true` for all defaults. Without it they are terminated. */
  readonly deadLetter?: true | DeadLetterOptions
}

/**
 * When to take a dependency for down, and how long to leave it alone.
 *
 * @category models
 * @since 0.1.0
 */
export interface BreakerOptions<E> {
  /** After so many failures in a row. Default 5. */
  readonly failures?: number
  /** How long until one message is tried again; a schedule gives the n-th time in a row. Default 1 second. */
  readonly openFor?: Duration.Input | Schedule.Schedule<unknown, number>
  /** Whether a failure speaks against the dependency. Default: every one that is worth trying again. */
  readonly trips?: (error: E | TimeBudgetExceeded | Defect) => boolean
  /** Readers with the same key and the same store share a circuit. Default: the reader's name. */
  readonly key?: string
}

/**
 * How many messages are handled in a time: at most `limit` in each `window`, evenly after the first `limit`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimitOptions {
  readonly limit: number
  readonly window: Duration.Input
  /** For all messages of the reader, the default, or for those of each key. Of each key seen, a little is kept in memory. */
  readonly per?: "reader" | "key"
}

/**
 * What stands before a handler. A message that is held here is not tried: it keeps its attempts, its place among those of its
 * key, and its lease. Effect's `CircuitBreaker` and `RateLimiter` do it, in memory unless a `CircuitBreakerStore` or a
 * `RateLimiterStore` is provided.
 *
 * @category models
 * @since 0.1.0
 */
export interface GuardOptions<E> {
  /**
   * Stops when a dependency is down: nothing more is taken in, what is held stays, and one message at a time tries whether it
   * is back. What fails meanwhile has used up no attempt.
   */
  readonly breaker?: BreakerOptions<E>
  readonly rateLimit?: RateLimitOptions
}

/**
 * When a message is tried again: the schedule's n-th delay after the n-th attempt. Its input is the handler's error, a
 * `TimeBudgetExceeded`, or a `Defect`.
 *
 * @category models
 * @since 0.1.0
 */
export type RetrySchedule<E> = Schedule.Schedule<unknown, E | TimeBudgetExceeded | Defect>

/**
 * What became of everything that a reader was given:
 *
 * delivered = finished + returned + abandoned + lost + displaced + what it still holds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger {
  /** Deliveries taken in; a redelivery of something still held is not counted again. */
  readonly delivered: number
  /** Settled by an outcome: success, giving up, or a retry by way of the broker. */
  readonly finished: number
  /** Handed back before a handler began, or while a retry was pending. */
  readonly returned: number
  /** Their handler was interrupted with the reader; handed back, except what was acknowledged on enqueue. */
  readonly abandoned: number
  /** Their lease ran out before they were settled; the broker delivers them again. */
  readonly lost: number
  /** Redeliveries of something held or done, answered without running it twice. */
  readonly swallowed: number
  /** Displaced by the queue's strategy, and settled as it says. */
  readonly displaced: number
  /** Settled, but the broker has not confirmed it. */
  readonly unconfirmed: number
  /** Handlers that succeeded. */
  readonly processed: number
  /** Failures after which the message was or will be tried again. A message may be counted more than once. */
  readonly retried: number
  /** Undecodable messages, and those that a batch handler refused, given up. */
  readonly rejected: number
  /** Messages given up after their last attempt. */
  readonly failed: number
  /** Of the rejected and the failed: those that became dead letters. */
  readonly deadLettered: number
  /** Messages whose failure said that nobody needs them any more. */
  readonly dropped: number
}

/**
 * How somebody above the readers, such as a worker, stops them and follows what they do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control {
  /** Completes when readers shall drain: take in nothing more, work off what is held until interrupted, end. */
  readonly draining: Effect.Effect<void>
  /** Called once by each reader when it begins. */
  readonly register: (reader: { readonly name: string; readonly ledger: () => Ledger }) => void
}

/** What the ack policy must allow for these options. What is on disk can be retried, whatever the broker knows of it. */
export type Markers<Lanes extends number, Again extends readonly [retry: unknown, deadLetter: unknown], Q> =
  | (Lanes extends 1 ? never : Concurrent)
  | ([Q] extends [Queue.Spilling] ? Spillable : Again extends readonly [undefined, undefined] ? never : Retryable)
