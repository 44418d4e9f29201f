/**
 * Chooses when a delivery is acknowledged.
 *
 * The policy is a service, so that the application chooses it where it wires its layers, and plain data, so that it can
 * travel to wherever the broker's I/O lives. Markers in the type (`Retryable`, `Concurrent`) keep unsafe pairs from
 * compiling: a reader that retries needs a policy that has not acknowledged yet.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Subject from "./Subject.ts"

/**
 * When a delivery is acknowledged.
 *
 * | `_tag` | acks | guarantee |
 * | --- | --- | --- |
 * | `onProcess` | when the handler is done; the lease is renewed until then | at least once |
 * | `confirmed` | the same, and the reader waits until the broker has confirmed it | at least once, the ack known |
 * | `onEnqueue` | when it stands in the queue | at most once; at least once with `Queue.spill` |
 * | `upTo` | one ack for a whole prefix; exclusive, ordered readers only | at least once, in order |
 * | `hybrid` | by subject pattern | per pattern |
 *
 * @category models
 * @since 0.1.0
 */
export type Policy =
  | { readonly _tag: "onProcess" }
  | { readonly _tag: "confirmed" }
  | { readonly _tag: "onEnqueue" }
  | { readonly _tag: "upTo" }
  | { readonly _tag: "hybrid"; readonly onEnqueue: ReadonlyArray<Subject.Pattern> }

/**
 * The ack policy in scope.
 *
 * **Example** (Choosing a policy for an application)
 *
 * ```ts import.meta.vitest
 * import * as AckPolicy from "effect-sluice/AckPolicy"
 * import * as Effect from "effect/Effect"
 *
 * const policy = Effect.provide(AckPolicy.AckPolicy, AckPolicy.confirmed)
 * Effect.runSync(policy)._tag // => "confirmed"
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class AckPolicy extends Context.Service<AckPolicy, Policy>()("effect-sluice/AckPolicy") {}

/**
 * Marks a policy under which a failed message can be asked for again, because it was not acknowledged before the
 * handler ended.
 *
 * **Gotchas**
 *
 * "`Retryable` is not assignable to `never`" means: a reader with `retry` runs under a policy that may have acknowledged
 * before the handler fails. Leave out `retry`, or provide `onProcess` or `confirmed`.
 *
 * @category markers
 * @since 0.1.0
 */
export class Retryable extends Context.Service<Retryable, true>()("effect-sluice/AckPolicy/Retryable") {}

/**
 * Marks a policy under which messages may be finished in any order.
 *
 * **Gotchas**
 *
 * "`Concurrent` is not assignable to `never`" means: a reader with `lanes` runs under `upTo`, which acknowledges a whole
 * prefix at once. Use one lane, or another policy.
 *
 * @category markers
 * @since 0.1.0
 */
export class Concurrent extends Context.Service<Concurrent, true>()("effect-sluice/AckPolicy/Concurrent") {}

/**
 * Marks a policy that acknowledges everything as soon as it is kept here, which is what a queue that spills is for.
 *
 * **Gotchas**
 *
 * "`Spillable` is not assignable to `never`" means: a reader with `Queue.spill` runs under a policy that leaves messages
 * with the broker until they are done. Provide `onEnqueue`, or use another queue.
 *
 * @category markers
 * @since 0.1.0
 */
export class Spillable extends Context.Service<Spillable, true>()("effect-sluice/AckPolicy/Spillable") {}

const retryable = Layer.succeed(Retryable, true)
const concurrent = Layer.succeed(Concurrent, true)

/**
 * Acks when the handler is done. The default of `Worker`.
 *
 * **Gotchas**
 *
 * At least once: a process that dies between the handler's end and the ack sees the message again.
 *
 * @category layers
 * @since 0.1.0
 */
export const onProcess: Layer.Layer<AckPolicy | Retryable | Concurrent> = Layer.mergeAll(
  Layer.succeed(AckPolicy, { _tag: "onProcess" }),
  retryable,
  concurrent
)

/**
 * As `onProcess`, and a lane goes on only after the broker has confirmed the ack.
 *
 * **Gotchas**
 *
 * One round trip to the broker more per message in a lane; lanes overlap theirs.
 *
 * @category layers
 * @since 0.1.0
 */
export const confirmed: Layer.Layer<AckPolicy | Retryable | Concurrent> = Layer.mergeAll(
  Layer.succeed(AckPolicy, { _tag: "confirmed" }),
  retryable,
  concurrent
)

/**
 * Acks as soon as a delivery stands in the queue: at most once, for data that is stale before it could be redelivered.
 * With `Queue.spill` it is at least once: acknowledged when it is durable on disk, which keeps it until it is done.
 *
 * **Gotchas**
 *
 * What is in a queue in memory when the process dies is lost. Such a queue does not combine with `retry`.
 *
 * @category layers
 * @since 0.1.0
 */
export const onEnqueue: Layer.Layer<AckPolicy | Concurrent | Spillable> = Layer.mergeAll(
  Layer.succeed(AckPolicy, { _tag: "onEnqueue" }),
  concurrent,
  Layer.succeed(Spillable, true)
)

/**
 * One ack for everything up to and including the last message done without a gap.
 *
 * **Gotchas**
 *
 * Needs a consumer with `ack_policy: all` that no other reader uses: a second replica's ack would cover messages that
 * the first is still working on. Does not combine with lanes.
 *
 * A server takes a message that is removed from its stream for one that is acknowledged, with all before it: where messages
 * are deleted or discarded while they are being worked on, what fails before them does not come again.
 *
 * @category layers
 * @since 0.1.0
 */
export const upTo: Layer.Layer<AckPolicy> = Layer.succeed(AckPolicy, { _tag: "upTo" })

/**
 * Acks on enqueue what matches one of the patterns, and everything else when its handler is done.
 *
 * **Gotchas**
 *
 * Does not combine with `retry`, because nothing could be retried for the patterns acked on enqueue.
 *
 * **Example** (Telemetry on enqueue, jobs when they are done)
 *
 * ```ts import.meta.vitest
 * import * as AckPolicy from "effect-sluice/AckPolicy"
 * import * as Subject from "effect-sluice/Subject"
 * import * as Effect from "effect/Effect"
 *
 * const layer = AckPolicy.hybrid({ onEnqueue: [Subject.patternUnsafe("telemetry.>")] })
 * const isAckedOnEnqueue = AckPolicy.acksOnEnqueue(Effect.runSync(Effect.provide(AckPolicy.AckPolicy, layer)))
 *
 * isAckedOnEnqueue("telemetry.cpu") // => true
 * isAckedOnEnqueue("jobs.resize") // => false
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const hybrid = (options: {
  readonly onEnqueue: ReadonlyArray<Subject.Pattern>
}): Layer.Layer<AckPolicy | Concurrent> =>
  Layer.mergeAll(Layer.succeed(AckPolicy, { _tag: "hybrid", onEnqueue: options.onEnqueue }), concurrent)

/**
 * Whether a delivery on `subject` is acknowledged the moment it is enqueued. Returns a function, so that the choice is
 * made once per reader and costs a comparison per message.
 *
 * @category combinators
 * @since 0.1.0
 */
export const acksOnEnqueue = (policy: Policy): (subject: string) => boolean => {
  switch (policy._tag) {
    case "onEnqueue":
      return () => true
    case "hybrid":
      return (subject) => policy.onEnqueue.some((pattern) => Subject.matches(pattern, subject))
    default:
      return () => false
  }
}
