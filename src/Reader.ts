/**
 * Reads a topic from a stream of the broker, and settles what it reads.
 *
 * `handle` runs a handler for each message, in lanes that keep the order of each key; `handleBatch` runs one for many
 * messages at once; `stream` gives the deliveries as a `Stream`, to be settled by hand. All three hold no more than the
 * queue's capacity, acknowledge as `AckPolicy` says, and hand back what they did not finish.
 *
 * What a handler's end means for its message:
 *
 * | the handler | the message | counted as |
 * | --- | --- | --- |
 * | succeeds | is acknowledged | `processed` |
 * | fails, or dies, or exceeds its time budget | is tried again, by the schedule | `retried` |
 * | does so at the last attempt, or says that none helps | is given up: dead letter, `onGiveUp`, terminated | `failed` |
 * | fails, and says that nobody needs it any more | is terminated | `dropped` |
 * | cannot be called, because the message is undecodable | is given up at once | `rejected` |
 * | is interrupted with its reader | goes back to the broker at once | `abandoned` |
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as EffectStream from "effect/Stream"
import { AckPolicy } from "./AckPolicy.ts"
import * as batching from "./internal/reader/batching.ts"
import * as Guards from "./internal/reader/guards.ts"
import * as handling from "./internal/reader/handling.ts"
import type * as reader from "./internal/reader/options.ts"
import * as Plan from "./internal/reader/plan.ts"
import { running } from "./internal/reader/running.ts"
import * as streaming from "./internal/reader/streaming.ts"
import { Tally } from "./internal/reader/tally.ts"
import type * as Message from "./Message.ts"
import type * as Queue from "./Queue.ts"
import type * as Settlement from "./Settlement.ts"
import type * as Topic from "./Topic.ts"
import type * as Topology from "./Topology.ts"
import type { Transport } from "./Transport.ts"
import { invalid, type TransportError } from "./TransportError.ts"

export { Defect, TimeBudgetExceeded } from "./internal/reader/options.ts"
export type {
  BreakerOptions,
  Classify,
  DeadLetterOptions,
  Ephemeral,
  Failure,
  GuardOptions,
  Ledger,
  Options,
  Ordered,
  OutcomeOptions,
  RateLimitOptions,
  RetryOptions,
  RetrySchedule,
  RetryStreamOptions
} from "./internal/reader/options.ts"
export { Delivery, settling } from "./internal/reader/streaming.ts"

/**
 * How somebody above the readers, such as a worker, stops them and follows what they do.
 *
 * @category models
 * @since 0.1.0
 */
export type Control = reader.Control

/**
 * Who is in control of readers. By default nobody: a reader ends when it is interrupted or its source ends.
 *
 * @category references
 * @since 0.1.0
 */
export const Control: Context.Reference<Control> = Context.Reference<Control>("effect-sluice/Reader/Control", {
  defaultValue: () => ({ draining: Effect.never, register: () => {} })
})

/**
 * A consumer of this reader alone, that disappears with it. Default start: the stream's first message.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ephemeral = (options: { readonly start?: Topology.ConsumerStart } = {}): reader.Ephemeral => ({
  _tag: "ephemeral",
  start: options.start ?? { _tag: "all" }
})

/**
 * Exactly the stream's messages, in order, once, without acks. Default start: the stream's first message.
 *
 * **Example** (The newest value of each subject, then what changes)
 *
 * ```ts import.meta.vitest
 * import * as Reader from "effect-sluice/Reader"
 *
 * Reader.ordered({ start: { _tag: "lastPerSubject" } }).start._tag // => "lastPerSubject"
 * Reader.ephemeral().start._tag // => "all"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const ordered = (options: { readonly start?: Topology.ConsumerStart } = {}): reader.Ordered => ({
  _tag: "ordered",
  start: options.start ?? { _tag: "all" }
})

/**
 * Runs `handler` on each message, until interrupted, drained by `Control`, or the source ends.
 *
 * **Details**
 *
 * - `lanes` is how many handlers run at once. Default 1: everything in the stream's order. Messages with the same
 *   `key` of the topic stay in order for any number; start with 64 for handlers that wait for something.
 * - `retry` gives the delay after each attempt, and ends the attempts when it ends. Default, under a policy that can ask
 *   for a message again: one second, doubled up to a minute, jittered. `maxAttempts`, 5 unless given, ends them, too.
 *   The attempt is the broker's delivery count plus the retries in place of this delivery: a process that starts anew
 *   goes on with the broker's count, and does not know the retries in place of the one before it.
 * - A message with a key is retried in place: its key waits, other keys go on. A message without a key, or with a delay
 *   longer than the time budget, goes back to the broker for that time.
 * - `classify` says what a failure means (`Outcome`); what is given up becomes a dead letter where `deadLetter` is set
 *   (`DeadLetter`), and what is replayed of them comes to the same handler. `whenKeyFails` says whether a key waits.
 * - `breaker` and `rateLimit` hold messages before the handler; that uses up no attempt.
 * - Draining: it stops pulling, works off what it holds for as long as the worker's grace lasts, then ends. A key of
 *   which something fails meanwhile goes back as a whole.
 *
 * **Gotchas**
 *
 * At least once: after a crash between the handler's end and the ack, it runs again. Keys that share a lane wait for
 * each other; see `Lanes`. Without a key, a retried message comes after its successors.
 *
 * With `retry`, the policy must be able to ask for a message again; with lanes, to take acks in any order. Another
 * policy does not compile where it is provided, and is refused with `TransportError` where types cannot tell.
 *
 * **Example** (A reader that ends when its stream is drained)
 *
 * ```ts import.meta.vitest
 * import * as AckPolicy from "effect-sluice/AckPolicy"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Provisioner from "effect-sluice/Provisioner"
 * import * as Publisher from "effect-sluice/Publisher"
 * import * as Reader from "effect-sluice/Reader"
 * import * as Topic from "effect-sluice/Topic"
 * import * as Topology from "effect-sluice/Topology"
 * import * as Deferred from "effect/Deferred"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const orders = Topic.make("orders.placed", { schema: Schema.Struct({ id: Schema.String }), key: (order) => order.id })
 * const seen: Array<string> = []
 * const program = Effect.gen(function*() {
 *   yield* Provisioner.ensure(Topology.stream("ORDERS", { subjects: ["orders.>"] }))
 *   yield* Publisher.publish(orders, { id: "o-1" })
 *   const handled = yield* Deferred.make<void>()
 *   yield* Reader.handle(orders, { stream: "ORDERS", consumer: "billing", lanes: 64 }, (order) =>
 *     Effect.andThen(Effect.sync(() => seen.push(order.id)), Deferred.succeed(handled, undefined))).pipe(
 *       Effect.provideService(Reader.Control, { draining: Deferred.await(handled), register: () => {} })
 *     )
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Memory.layer()), Effect.provide(AckPolicy.onProcess)))
 * seen // => ["o-1"]
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const handle = <
  P,
  A,
  E,
  R,
  R2 = never,
  const Lanes extends number = 1,
  Retry extends reader.RetrySchedule<NoInfer<E>> | undefined = undefined,
  DeadLetter extends true | reader.DeadLetterOptions | undefined = undefined,
  Q extends Queue.Settings = Queue.Settings
>(
  topic: Topic.Topic<P, A>,
  options:
    & reader.Options<Q>
    & reader.RetryOptions<R2>
    & reader.OutcomeOptions<NoInfer<E>>
    & reader.GuardOptions<NoInfer<E>>
    & {
      readonly lanes?: Lanes
      readonly retry?: Retry
      readonly deadLetter?: DeadLetter
    },
  handler: (value: A, message: Message.Delivery, attempt: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<
  void,
  TransportError,
  Transport | AckPolicy | R | R2 | reader.Markers<Lanes, [Retry, DeadLetter], Q>
> =>
  Effect.scoped(Effect.gen(function*() {
    const lanes = options.lanes ?? 1
    const context = yield* prepare(topic, options, { ...retrying(options), lanes, enforcesBudget: true })
    const guards = yield* Guards.make(context.plan.name, options)
    yield* running(
      context,
      (base) => handling.run<P, A, R | R2>({ ...base, topic, lanes, handler, retrying: options, guards })
    )
  }))

/**
 * One message of a batch.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry<A> = batching.Entry<A>

/**
 * Runs `handler` on up to `size` messages at once, or on fewer when the first of them has waited for `within`.
 *
 * **When to use**
 *
 * For work that is much cheaper in bulk, such as one insert of 500 rows.
 *
 * **Details**
 *
 * One batch runs at a time, while the next one gathers. Each message is settled on its own: success acknowledges all, or
 * the handler returns one settlement per message. When it fails, each message goes back to the broker for the delay that
 * its own attempts give, or is given up. Undecodable messages never reach the handler.
 *
 * **Gotchas**
 *
 * Messages that are retried come after their successors, with or without a key.
 *
 * **Example** (One insert for up to 500 rows)
 *
 * ```ts import.meta.vitest
 * import { Reader, Topic } from "effect-sluice"
 * import { Effect, Schema } from "effect"
 *
 * const clicks = Topic.make("clicks", { schema: Schema.Struct({ url: Schema.String }) })
 * const counting = Reader.handleBatch(
 *   clicks,
 *   { stream: "CLICKS", consumer: "counting", size: 500, within: "1 second" },
 *   (batch) => Effect.log(`inserting ${batch.map(({ value }) => value.url).join(", ")}`)
 * )
 * Effect.isEffect(counting) // => true
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const handleBatch = <
  P,
  A,
  E,
  R,
  R2 = never,
  Retry extends reader.RetrySchedule<NoInfer<E>> | undefined = undefined,
  DeadLetter extends true | reader.DeadLetterOptions | undefined = undefined,
  Q extends Queue.Settings = Queue.Settings
>(
  topic: Topic.Topic<P, A>,
  options: reader.Options<Q> & reader.RetryOptions<R2> & reader.OutcomeOptions<NoInfer<E>> & {
    /** How many messages are a full batch; at most as many as the queue holds. */
    readonly size: number
    /** How long the first message of a batch waits for others. */
    readonly within: Duration.Input
    readonly retry?: Retry
    readonly deadLetter?: DeadLetter
  },
  handler: (
    batch: NonEmptyReadonlyArray<Entry<A>>
  ) => Effect.Effect<void | ReadonlyArray<Settlement.Settlement>, E, R>
): Effect.Effect<
  void,
  TransportError,
  Transport | AckPolicy | R | R2 | reader.Markers<1, [Retry, DeadLetter], Q>
> =>
  Effect.gen(function*() {
    const { size } = options
    const withinMs = Duration.toMillis(Duration.fromInputUnsafe(options.within))
    const context = yield* prepare(topic, options, { ...retrying(options), lanes: 1, enforcesBudget: true })
    const { messages } = context.plan.flow.queue
    if (!Number.isInteger(size) || size < 1 || size > messages) {
      const problem = `size must be a whole number from 1 to the queue's ${messages} messages, not ${size}`
      return yield* Effect.fail(
        invalid(`reader ${context.plan.name}`, problem, "Lower it, or raise the queue's messages.")
      )
    }
    yield* running(
      context,
      (base) => batching.run<P, A, R | R2>({ ...base, topic, size, withinMs, handler, retrying: options })
    )
  })

/**
 * The deliveries, to be settled by hand, or by `settling`.
 *
 * **Details**
 *
 * Chunks are as large as what waits; while the queue is full of unsettled deliveries, the stream waits. At its end, what
 * is not settled is handed back. An undecodable delivery comes with its error as value.
 *
 * **Gotchas**
 *
 * Every delivery has to be settled. A loop that forgets some stalls when the queue is full; after 30 seconds a warning
 * says so. The time budget runs from the moment a delivery is taken, not from the moment it is looked at; what has waited
 * for its turn may be with another reader by then. `isHeld` of a delivery says so; `settling` asks it.
 *
 * **Example** (One delivery acknowledged by hand, one by its outcome)
 *
 * ```ts import.meta.vitest
 * import * as AckPolicy from "effect-sluice/AckPolicy"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Provisioner from "effect-sluice/Provisioner"
 * import * as Publisher from "effect-sluice/Publisher"
 * import * as Reader from "effect-sluice/Reader"
 * import * as Topic from "effect-sluice/Topic"
 * import * as Topology from "effect-sluice/Topology"
 * import { Effect, Option, Result, Schema, Stream } from "effect"
 *
 * const ticks = Topic.make("ticks", { schema: Schema.Number })
 * const program = Effect.gen(function*() {
 *   yield* Provisioner.ensure(Topology.stream("TICKS", { subjects: ["ticks"] }))
 *   yield* Publisher.publish(ticks, 1)
 *   yield* Publisher.publish(ticks, 2)
 *   const deliveries = Reader.stream(ticks, { stream: "TICKS", consumer: "screen" })
 *   const byHand = Stream.mapEffect(deliveries, (delivery) => Effect.as(delivery.ack, delivery.message.streamSequence))
 *   const byOutcome = Reader.settling((tick: number) => Effect.succeed(tick * 10))(deliveries)
 *   return [yield* Stream.runHead(byHand), yield* Stream.runHead(byOutcome)]
 * })
 * const run = program.pipe(Effect.provide(Memory.layer()), Effect.provide(AckPolicy.onProcess))
 * await Effect.runPromise(run) // => [Option.some(1), Option.some(Result.succeed(20))]
 * ```
 *
 * @category streaming
 * @since 0.1.0
 */
export const stream = <P, A, Q extends Queue.Settings = Queue.Settings>(
  topic: Topic.Topic<P, A>,
  options: reader.Options<Q>
): EffectStream.Stream<
  streaming.Delivery<A>,
  TransportError,
  Transport | AckPolicy | reader.Markers<1, [undefined, undefined], Q>
> =>
  EffectStream.unwrap(
    Effect.gen(function*() {
      const context = yield* prepare(topic, options, {
        ...retrying({ maxAttempts: 1 }),
        lanes: 1,
        enforcesBudget: false
      })
      return EffectStream.fromPull(Effect.succeed(yield* streaming.make({ ...context, topic })))
    })
  )

// internals

const retrying = (
  options: reader.OutcomeOptions<never> & {
    readonly retry?: unknown
    readonly maxAttempts?: number
    readonly onGiveUp?: unknown
    readonly retryStream?: true | reader.RetryStreamOptions
  }
) => ({
  retry: options.retry !== undefined,
  maxAttempts: options.maxAttempts ?? 5,
  onGiveUp: options.onGiveUp !== undefined || options.deadLetter !== undefined,
  deadLetter: options.deadLetter,
  retryStream: options.retryStream
})

/** What all readers do first: check what was asked for, and report to whoever is in control. */
const prepare = <P, A>(topic: Topic.Topic<P, A>, options: reader.Options, usage: Plan.Usage) =>
  Effect.gen(function*() {
    const plan = yield* Plan.make(topic.pattern, options, yield* AckPolicy, usage)
    const { draining, register } = yield* Control
    const tally = new Tally(plan.labels, yield* Effect.context<never>())
    register({ name: plan.name, ledger: tally.ledger })
    return { plan, tally, draining, register }
  })
