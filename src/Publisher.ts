/**
 * Publishes messages, and says how each one ended.
 *
 * A publish is `Confirmed` (the broker stored it), `NotSent` (it certainly did not) or `Ambiguous` (nobody can say).
 * Whatever is not confirmed is tried again with the same message id, inside one budget, so that a broker that had stored
 * it after all recognises it. What remains is a `PublishError`, and it never pretends to know more than it does.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Sink from "effect/Sink"
import * as Headers from "./Headers.ts"
import * as Attempts from "./internal/publisher/attempts.ts"
import * as Chunks from "./internal/publisher/chunks.ts"
import type * as Message from "./Message.ts"
import type * as Topic from "./Topic.ts"
import * as Tracing from "./Tracing.ts"
import type { Receipt, Transport } from "./Transport.ts"
import * as TransportError from "./TransportError.ts"

/**
 * Stored by the broker. `duplicate`: an earlier publish with the same id had stored it already.
 *
 * @category models
 * @since 0.1.0
 */
export type Confirmed = Extract<Receipt, { readonly _tag: "Confirmed" }>

/**
 * How to try again.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions {
  /**
   * When to try again, given the reason of the first message that is not confirmed. Default: 100 ms, doubled each time
   * up to 2 s, jittered. The broker's refusals that no repetition heals are not retried, whatever this says.
   */
  readonly retry?: Schedule.Schedule<unknown, TransportError.Reason>
  /**
   * How long a message may take from its first attempt on, all attempts and pauses together. Default 30 seconds. Must
   * stay below the stream's `duplicateWindow` (2 minutes unless declared otherwise): a retry that comes later is
   * stored a second time.
   */
  readonly budget?: Duration.Input
}

/**
 * What goes along with one message.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessageOptions {
  readonly headers?: Headers.Headers
  /**
   * The message id, within the topic. Default: the topic's own `id`; else a random one, which protects the retries of
   * this call, but no second call.
   */
  readonly id?: string
  /** What the stream must look like for the message to be stored; otherwise it is refused with `WrongLastSequence`. */
  readonly expect?: Message.Expectation
}

/**
 * How to publish one message.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends RetryOptions, MessageOptions {}

/**
 * How to publish many messages.
 *
 * @category models
 * @since 0.1.0
 */
export interface BatchOptions extends RetryOptions {
  /** How many messages go out before the first answer is awaited. Default 512; 1 for an order that nothing can break. */
  readonly chunk?: number
}

/**
 * One message of many. `params` may be left out where the topic has none.
 *
 * @category models
 * @since 0.1.0
 */
export type Item<Params, A> =
  & { readonly value: A; readonly options?: MessageOptions }
  & ({} extends Params ? { readonly params?: Params } : { readonly params: Params })

/**
 * What a `sink` has published.
 *
 * @category models
 * @since 0.1.0
 */
export interface Summary {
  readonly confirmed: number
  /** How many of the confirmed had been stored before, by an earlier publish with the same id. */
  readonly duplicates: number
}

/**
 * A message that was not confirmed.
 *
 * **Details**
 *
 * `outcome` is `Ambiguous` as soon as one attempt went out without an answer: a later refusal does not prove that the
 * earlier attempt was not stored. `position` is the message's place among those of the call, from 0: everything before
 * it is confirmed.
 *
 * @category errors
 * @since 0.1.0
 */
export class PublishError extends Schema.TaggedError<PublishError>()("PublishError", {
  outcome: Schema.Literals(["NotSent", "Ambiguous"]),
  subject: Schema.String,
  id: Schema.String,
  position: Schema.Number,
  attempts: Schema.Number,
  reason: TransportError.Reason
}) {
  override get message(): string {
    const attempts = this.attempts === 1 ? "1 attempt" : `${this.attempts} attempts`
    const outcome = this.outcome === "NotSent" ? "was not stored" : "may or may not be stored"
    return `message ${this.id} for "${this.subject}" ${outcome} (${attempts}): ${this.reason.problem}. ${this.hint}`
  }
  /** What to do about it. */
  get hint(): string {
    return this.outcome === "NotSent"
      ? this.reason.hint
      : "Publish it again with the same id inside the stream's dedupe window, or look for it in the stream."
  }
}

/**
 * The default of `retry`: 100 ms, doubled each time up to 2 s, each ± 20 %.
 *
 * @category schedules
 * @since 0.1.0
 */
export const defaultRetry: Schedule.Schedule<unknown, unknown> = Schedule.jittered(
  Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")])
)

/**
 * Publishes messages that are built already, and never fails: one receipt for each, in the same order, after all retries.
 *
 * **When to use**
 *
 * Where each message's end matters by itself: relays, outboxes, command lines. A program with topics uses `publish`.
 *
 * @category publishing
 * @since 0.1.0
 */
export const publishRaw = (
  batch: NonEmptyReadonlyArray<Message.Outgoing>,
  options: RetryOptions = {}
): Effect.Effect<NonEmptyReadonlyArray<Receipt>, never, Transport> =>
  Effect.map(deliver(batch, options), ({ receipts }) => receipts)

/**
 * Publishes one value through its topic, and waits until the broker has stored it.
 *
 * **Details**
 *
 * `params` fill the topic's subject; leave them out where its template has no hole. The current span's context goes
 * along in the headers; the caller's own headers are copied, never changed, and win. A value that its schema refuses
 * fails with `EncodeError`, before anything is sent.
 *
 * **Gotchas**
 *
 * Stored once only inside the stream's dedupe window. Without an `id` that comes from the data, that protects against
 * this call's own retries, not against the program that runs the same call again after a crash.
 *
 * **Example** (An order, and the same order again)
 *
 * ```ts import.meta.vitest
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Provisioner from "effect-sluice/Provisioner"
 * import * as Publisher from "effect-sluice/Publisher"
 * import * as Topic from "effect-sluice/Topic"
 * import * as Topology from "effect-sluice/Topology"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const placed = Topic.make("orders.{region}.placed", { schema: Schema.Struct({ total: Schema.Number }) })
 *
 * const program = Effect.gen(function*() {
 *   yield* Provisioner.ensure(Topology.stream("ORDERS", { subjects: ["orders.>"] }))
 *   const first = yield* Publisher.publish(placed, { region: "eu" }, { total: 12 }, { id: "order-1" })
 *   const again = yield* Publisher.publish(placed, { region: "eu" }, { total: 12 }, { id: "order-1" })
 *   return [first.sequence, again.sequence, again.duplicate]
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Memory.layer())) // => [1, 1, true]
 * ```
 *
 * @category publishing
 * @since 0.1.0
 */
export const publish: {
  <A>(
    topic: Topic.Topic<{}, A>,
    value: A,
    options?: Options
  ): Effect.Effect<Confirmed, PublishError | Topic.EncodeError, Transport>
  <Params, A>(
    topic: Topic.Topic<Params, A>,
    params: {} extends Params ? never : Params,
    value: A,
    options?: Options
  ): Effect.Effect<Confirmed, PublishError | Topic.EncodeError, Transport>
} = (topic: Topic.Topic<any, any>, ...args: ReadonlyArray<unknown>): Effect.Effect<Confirmed, any, Transport> =>
  topic.template.holes.length > 0
    ? publishOne(topic, args[0], args[1], args[2] as Options | undefined)
    : publishOne(topic, noParams, args[0], args[1] as Options | undefined)

/**
 * Publishes many values through one topic, in order, and gives one receipt for each.
 *
 * **Details**
 *
 * Sends a chunk, waits for all its answers, retries what is not confirmed in the same order, and only then goes on: a
 * lost connection does not reorder chunks, and no more than a chunk is encoded at a time, however long `items` is. The
 * budget is each chunk's own. The first message that cannot be confirmed fails the call; its `position` tells where to
 * resume: everything before it is stored. A value that its schema refuses fails with `EncodeError` after everything
 * before it was stored; nothing after it has been sent.
 *
 * **Gotchas**
 *
 * Inside a chunk one message can fall behind: if it alone is not confirmed, those of its chunk that were come before it
 * in the stream. `chunk: 1` rules that out, for one round trip per message. Two calls at the same time interleave.
 *
 * **Example** (One that is built already, and two more)
 *
 * ```ts import.meta.vitest
 * import { Provisioner, Publisher, Topic, Topology } from "effect-sluice"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import { Effect, Result, Schema } from "effect"
 *
 * const ticks = Topic.make("ticks", { schema: Schema.Number })
 * const program = Effect.gen(function*() {
 *   yield* Provisioner.ensure(Topology.stream("TICKS", { subjects: ["ticks"] }))
 *   const [receipt] = yield* Publisher.publishRaw([Result.getOrThrow(ticks.encode({}, 1))])
 *   const receipts = yield* Publisher.publishAll(ticks, [{ value: 2 }, { value: 3 }])
 *   return [receipt._tag, ...receipts.map(({ sequence }) => sequence)]
 * })
 * await Effect.runPromise(Effect.provide(program, Memory.layer())) // => ["Confirmed", 2, 3]
 * ```
 *
 * @category publishing
 * @since 0.1.0
 */
export const publishAll = <Params, A>(
  topic: Topic.Topic<Params, A>,
  items: Iterable<Item<Params, A>>,
  options: BatchOptions = {}
): Effect.Effect<ReadonlyArray<Confirmed>, PublishError | Topic.EncodeError, Transport> =>
  Effect.suspend(() => {
    const receipts: Array<Confirmed> = []
    return Effect.as(publishChunks(topic, items, options, 0, (confirmed) => void receipts.push(...confirmed)), receipts)
  })

/**
 * Publishes whatever a stream brings, as `publishAll` does, and counts.
 *
 * **Gotchas**
 *
 * Sends what the stream hands over at a time. A stream of single elements pays a round trip for each; put
 * `Stream.buffer({ capacity: 1024 })` before `Stream.run`, and what has gathered meanwhile goes out together.
 *
 * **Example** (Numbers from a stream)
 *
 * ```ts import.meta.vitest
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Provisioner from "effect-sluice/Provisioner"
 * import * as Publisher from "effect-sluice/Publisher"
 * import * as Topic from "effect-sluice/Topic"
 * import * as Topology from "effect-sluice/Topology"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 *
 * const ticks = Topic.make("ticks", { schema: Schema.Number })
 * const program = Effect.gen(function*() {
 *   yield* Provisioner.ensure(Topology.stream("TICKS", { subjects: ["ticks"] }))
 *   const source = Stream.map(Stream.range(1, 1000), (value) => ({ value }))
 *   return yield* Stream.run(source, Publisher.sink(ticks))
 * })
 * await Effect.runPromise(Effect.provide(program, Memory.layer())) // => { confirmed: 1000, duplicates: 0 }
 * ```
 *
 * @category publishing
 * @since 0.1.0
 */
export const sink = <Params, A>(
  topic: Topic.Topic<Params, A>,
  options: BatchOptions = {}
): Sink.Sink<Summary, Item<Params, A>, never, PublishError | Topic.EncodeError, Transport> =>
  Sink.foldArray(
    (): Summary => nothing,
    () => true,
    (summary, items: NonEmptyReadonlyArray<Item<Params, A>>) =>
      Effect.suspend(() => {
        let total = summary
        const count = (confirmed: ReadonlyArray<Confirmed>) => {
          total = add(total, confirmed)
        }
        return Effect.map(publishChunks(topic, items, options, summary.confirmed, count), () => total)
      })
  )

// internals

const noParams = {}

const nothing: Summary = { confirmed: 0, duplicates: 0 }

const add = (summary: Summary, confirmed: ReadonlyArray<Confirmed>): Summary => ({
  confirmed: summary.confirmed + confirmed.length,
  duplicates: summary.duplicates + confirmed.filter((receipt) => receipt.duplicate).length
})

const deliver = (batch: NonEmptyReadonlyArray<Message.Outgoing>, options: RetryOptions) =>
  Attempts.deliver(batch, {
    retry: options.retry ?? defaultRetry,
    budgetMs: Duration.toMillis(Duration.fromInputUnsafe(options.budget ?? "30 seconds"))
  })

const publishOne = Effect.fnUntraced(function*<Params, A>(
  topic: Topic.Topic<Params, A>,
  params: Params,
  value: A,
  options: Options = {}
): Effect.fn.Return<Confirmed, PublishError | Topic.EncodeError, Transport> {
  const trace = yield* Tracing.inject(Headers.empty)
  const outgoing = yield* Effect.fromResult(Chunks.encode(topic, { params, value, options }, trace))
  const [confirmed] = yield* allConfirmed([outgoing], yield* deliver([outgoing], options), 0)
  return confirmed
})

const publishChunks = <Params, A>(
  topic: Topic.Topic<Params, A>,
  items: Iterable<Item<Params, A>>,
  options: BatchOptions,
  from: number,
  onConfirmed: (confirmed: ReadonlyArray<Confirmed>) => void
): Effect.Effect<void, PublishError | Topic.EncodeError, Transport> =>
  Effect.suspend(() => {
    const iterator = items[Symbol.iterator]()
    const size = Math.max(1, options.chunk ?? 512)
    const publishing = Effect.gen(function*() {
      const trace = yield* Tracing.inject(Headers.empty)
      let position = from
      let done = false
      while (!done) {
        const chunk = Chunks.encodeNext(topic, iterator, size, trace)
        if (Arr.isReadonlyArrayNonEmpty(chunk.batch)) {
          onConfirmed(yield* allConfirmed(chunk.batch, yield* deliver(chunk.batch, options), position))
          position += chunk.batch.length
        }
        if (chunk.failure !== undefined) {
          return yield* chunk.failure
        }
        done = chunk.done
      }
    })
    // The iterable may be a generator that holds something open.
    return Effect.ensuring(publishing, Effect.sync(() => iterator.return?.()))
  })

/** The receipts, if all are good; else the first that is not, as an error. */
const allConfirmed = (
  batch: NonEmptyReadonlyArray<Message.Outgoing>,
  { attempts, receipts }: Attempts.Delivered,
  from: number
): Effect.Effect<NonEmptyReadonlyArray<Confirmed>, PublishError> => {
  const index = receipts.findIndex((receipt) => receipt._tag !== "Confirmed")
  const receipt = receipts[index]
  if (receipt === undefined || receipt._tag === "Confirmed") {
    return Effect.succeed(receipts as NonEmptyReadonlyArray<Confirmed>)
  }
  const { id, subject } = batch[index]!
  const { _tag: outcome, reason } = receipt
  return Effect.fail(
    new PublishError({ outcome, subject, id, position: from + index, attempts: attempts[index]!, reason })
  )
}
