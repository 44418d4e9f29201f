/**
 * Keeps what handlers have given up, one queue per handler, and brings it back to them.
 *
 * A reader with `deadLetter` stores what it gives up in a stream of its own (`stream`), before it terminates the original.
 * There it stays, until somebody looks at it (`list`, `get`), and brings it back (`replay`) or drops it (`drop`): as functions
 * here, and as `sluice dlq` on the command line. What was done to a letter is written down behind it in the same stream.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { AckPolicy, Concurrent, Retryable } from "./AckPolicy.ts"
import * as Headers from "./Headers.ts"
import { matching, type Query } from "./internal/deadletter/querying.ts"
import * as replaying from "./internal/deadletter/replaying.ts"
import * as scanning from "./internal/deadletter/scanning.ts"
import * as watching from "./internal/deadletter/watching.ts"
import * as Letters from "./internal/reader/letters.ts"
import * as Provenance from "./Provenance.ts"
import * as Topology from "./Topology.ts"
import { Transport } from "./Transport.ts"
import { invalid, type TransportError } from "./TransportError.ts"

export { summary } from "./internal/deadletter/querying.ts"
export type { Group, Query } from "./internal/deadletter/querying.ts"

/**
 * A letter, and how it stands. Its `id` is its place in the stream of dead letters.
 *
 * @category models
 * @since 0.1.0
 */
export type Letter = scanning.Letter

/**
 * How to bring letters back.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReplayOptions extends Omit<Query, "state"> {
  /** Back to their subjects, where everybody reads them. Default: only to the handler that failed them. */
  readonly publish?: boolean
  /** So many a second at most. */
  readonly rate?: number
  /** Only says how many there are. */
  readonly dryRun?: boolean
  readonly onProgress?: (done: number, whole: number) => void
}

/**
 * What a replay has done. `unavailable` are letters without their payload, whose original is gone.
 *
 * @category models
 * @since 0.1.0
 */
export interface Replayed {
  readonly matched: number
  readonly replayed: number
  /** Brought back by somebody else at the same moment. */
  readonly duplicates: number
  readonly unavailable: ReadonlyArray<number>
}

/**
 * Declares the stream of dead letters: `DLQ`, limits retention, 14 days, its subjects `dlq.>`.
 *
 * **Details**
 *
 * Put it into the worker's topology, or make it beforehand: readers only publish to it. When it is full it refuses what is new
 * rather than to forget what nobody has looked at; the originals stay where they are then, and health says so. Message ids
 * are remembered for an hour.
 *
 * **Example** (What fails for good, seen and brought back)
 *
 * ```ts import.meta.vitest
 * import { AckPolicy, DeadLetter, Provisioner, Publisher, Reader, Topic, Topology } from "effect-sluice"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import { Effect, Fiber, Schema } from "effect"
 *
 * const orders = Topic.make("orders", { schema: Schema.Struct({ id: Schema.String }) })
 * let isMended = false
 * const billing = Reader.handle(
 *   orders,
 *   { stream: "ORDERS", consumer: "billing", maxAttempts: 1, deadLetter: true },
 *   () => isMended ? Effect.void : Effect.fail({ _tag: "BankTimeout" })
 * )
 * const until = <E, R>(count: number, state: "open" | "replayed", letters: Effect.Effect<ReadonlyArray<unknown>, E, R>) =>
 *   Effect.repeat(letters, { until: ({ length }) => length === count })
 *
 * const program = Effect.gen(function*() {
 *   yield* Provisioner.ensure([Topology.stream("ORDERS", { subjects: ["orders"] }), DeadLetter.stream()])
 *   const fiber = yield* Effect.forkChild(billing)
 *   yield* Publisher.publish(orders, { id: "o-1" })
 *   yield* until(1, "open", DeadLetter.list())
 *   const [group] = DeadLetter.summary(yield* DeadLetter.list())
 *   const letter = yield* DeadLetter.get(1)
 *   isMended = true
 *   const first = yield* DeadLetter.replay({ handler: "ORDERS/billing" })
 *   const second = yield* DeadLetter.replay({ handler: "ORDERS/billing" })
 *   const { dropped } = yield* DeadLetter.drop({ ids: [1], why: "not needed" })
 *   yield* Fiber.interrupt(fiber)
 *   return [group?.reason, letter._tag, first.replayed, second.replayed, dropped]
 * }).pipe(Effect.provide(AckPolicy.onProcess), Effect.provide(Memory.layer()))
 * await Effect.runPromise(program) // => ["BankTimeout", "Some", 1, 0, 0]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const stream = (options: {
  readonly name?: string
  /** What the subjects begin with. Default: the name in lower case. Readers have to be told the same. */
  readonly prefix?: string
  readonly maxAge?: Duration.Input
  readonly maxBytes?: number
  readonly replicas?: number
  readonly storage?: "file" | "memory"
  readonly duplicateWindow?: Duration.Input
} = {}): Topology.Stream => {
  const { name = Letters.STREAM, prefix, ...more } = options
  const subjects = [`${Letters.prefixOf({ stream: name, ...(prefix === undefined ? {} : { prefix }) })}.>`]
  return Topology.stream(name, {
    maxAge: "14 days",
    duplicateWindow: "1 hour",
    discard: "new",
    ...more,
    subjects
  })
}

/**
 * Declares the stream in which messages wait for a retry that is far away (a reader's `retryStream`): `RETRY`, a work queue, its
 * subjects `retry.>`.
 *
 * **Details**
 *
 * The message is confirmed there before its original is acknowledged, and comes to the same handler when it is due, as the message
 * that it was. What fails for good becomes the dead letter that it would have become.
 *
 * **Gotchas**
 *
 * Some 20,000 messages can wait per handler and replica; what comes after them waits behind the first.
 *
 * **Example** (A call that is to be repeated every hour)
 *
 * ```ts import.meta.vitest
 * import { DeadLetter, Outcome, Reader, Topic } from "effect-sluice"
 * import { Effect, Schema } from "effect"
 *
 * const orders = Topic.make("orders", { schema: Schema.Struct({ id: Schema.String }) })
 * const billing = Reader.handle(orders, {
 *   stream: "ORDERS",
 *   consumer: "billing",
 *   retryStream: true,
 *   classify: () => Outcome.later("1 hour")
 * }, () => Effect.fail("the bank is closed"))
 *
 * Effect.isEffect(billing) // => true
 * DeadLetter.retryStream().subjects // => ["retry.>"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const retryStream = (options: {
  readonly name?: string
  readonly prefix?: string
  readonly replicas?: number
  readonly storage?: "file" | "memory"
} = {}): Topology.Stream => {
  const { name = Letters.RETRY_STREAM, prefix = name.toLowerCase(), ...more } = options
  return Topology.stream(name, {
    retention: "workqueue",
    duplicateWindow: "1 hour",
    ...more,
    subjects: [`${prefix}.>`]
  })
}

/**
 * Declares a stream that keeps what the broker says of messages that will not come again: delivered as often as a consumer allows,
 * or terminated. Limits retention, 14 days; `watch` reads it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const advisories = (options: {
  readonly name?: string
  readonly maxAge?: Duration.Input
  readonly replicas?: number
  readonly storage?: "file" | "memory"
} = {}): Topology.Stream => {
  const { name = watching.STREAM, ...more } = options
  return Topology.stream(name, { maxAge: "14 days", ...more, subjects: watching.SUBJECTS })
}

/**
 * Makes dead letters of the messages that the broker has stopped to deliver and that nobody has given up, because their process
 * died on the last attempt. A reader; put it among a worker's, once for all handlers.
 *
 * **When to use**
 *
 * With consumers that have a limit (`maxDeliver`). Without one, which is a reader's default, the broker delivers a message until
 * a reader gives it up. A limit above `maxAttempts` is what stops a message that kills its process each time.
 *
 * **Details**
 *
 * It reads `advisories`, looks the message up, and stores a letter of the kind `lost`, under the id that the reader's own letter
 * would have: if the reader had stored one before it died, there is one.
 *
 * **Gotchas**
 *
 * The original stays in its stream, where no consumer with that limit gets it any more. In a work queue somebody has to delete it.
 *
 * nats-server 2.9 gives a message up, and says so, only when somebody asks for more.
 *
 * **Example** (Beside the readers that it watches)
 *
 * ```ts import.meta.vitest
 * import { DeadLetter, Topology, Worker } from "effect-sluice"
 *
 * const worker = Worker.make({
 *   topology: [Topology.stream("ORDERS", { subjects: ["orders.>"] }), DeadLetter.stream(), DeadLetter.advisories()],
 *   readers: [DeadLetter.watch()]
 * })
 * worker.topology.streams.map(({ name }) => name) // => ["ORDERS", "DLQ", "DLQ_ADVISORIES"]
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const watch = (options: watching.Options = {}): Effect.Effect<
  void,
  TransportError,
  Transport | AckPolicy | Retryable | Concurrent
> => watching.watch(options)

/**
 * The letters, oldest first. Reads the whole stream of dead letters, about as fast as a reader does.
 *
 * @category looking
 * @since 0.1.0
 */
export const list = (query: Query = {}): Effect.Effect<ReadonlyArray<Letter>, TransportError, Transport> =>
  Effect.gen(function*() {
    const letters = yield* scanning.scan(query.dlq ?? Letters.STREAM)
    const matches = matching(query, yield* Clock.currentTimeMillis)
    return letters.filter(matches)
  })

/**
 * One letter with what it carries: the message's own headers, and its payload if it came along.
 *
 * @category looking
 * @since 0.1.0
 */
export const get = (
  id: number,
  query: Pick<Query, "dlq"> = {}
): Effect.Effect<
  Option.Option<Letter & { readonly headers: Headers.Headers; readonly bytes: Uint8Array }>,
  TransportError,
  Transport
> =>
  Effect.gen(function*() {
    const [letter] = yield* list({ ...query, ids: [id], state: "any" })
    const found = yield* scanning.readOne(query.dlq ?? Letters.STREAM, id)
    if (letter === undefined) {
      return Option.none()
    }
    const headers = Option.match(found, {
      onNone: () => Headers.empty,
      onSome: (delivery) => Result.getOrElse(delivery.headers, () => Headers.empty)
    })
    return Option.some({
      ...letter,
      headers: Provenance.withoutProvenance(Headers.withoutReserved(headers)),
      bytes: Option.match(found, { onNone: () => new Uint8Array(), onSome: ({ payload }) => payload })
    })
  })

/**
 * Brings letters back, each once: a second call, also after one that was killed halfway, brings back only what is left.
 *
 * **Details**
 *
 * A letter goes to the handler that failed it and to nobody else, as the message that it was, with a fresh count of attempts.
 * What fails again becomes another letter. With `publish` it goes to its subject instead, under an id of its own, and all
 * readers of the subject get it.
 *
 * **Gotchas**
 *
 * At least once, as everything that a handler gets. With `publish`, a call that is killed between a message and the note that it
 * went out may publish it again, if the next call comes later than the stream remembers message ids.
 *
 * A message comes back after its key has gone on.
 *
 * @category settling
 * @since 0.1.0
 */
export const replay = (options: ReplayOptions = {}): Effect.Effect<Replayed, TransportError, Transport> =>
  Effect.gen(function*() {
    const { dryRun = false, onProgress, publish = false, rate } = options
    if (rate !== undefined && !(rate > 0)) {
      return yield* Effect.fail(invalid("replay", `rate must be above 0, not ${rate}`, "Leave it out for no limit."))
    }
    const letters = yield* list({ ...options, state: "open" })
    if (dryRun) {
      return { matched: letters.length, replayed: 0, duplicates: 0, unavailable: [] }
    }
    const done = yield* replaying.replay(letters, {
      stream: options.dlq ?? Letters.STREAM,
      publish,
      rate,
      onProgress: (count) => onProgress?.(count, letters.length)
    })
    return { matched: letters.length, ...done }
  })

/**
 * Says that letters are not needed, and why, and removes them. What was said stays, without headers and payload.
 *
 * @category settling
 * @since 0.1.0
 */
export const drop = (
  options: Omit<Query, "state"> & { readonly why: string }
): Effect.Effect<{ readonly dropped: number }, TransportError, Transport> =>
  Effect.gen(function*() {
    const stream = options.dlq ?? Letters.STREAM
    const letters = yield* list({ ...options, state: "any" })
    const open = letters.filter(({ state }) => state === "open")
    for (let from = 0; from < open.length; from += 500) {
      const chunk = open.slice(from, from + 500)
      yield* replaying.publishAll(
        chunk.map((letter) => replaying.event(letter, Letters.events.dropped, stream, options.why))
      )
    }
    // Also what an earlier call had said, and not removed any more.
    const rest = letters.filter(({ exists, state }) => exists && (state === "open" || state === "dropped"))
    const { topology } = yield* Transport
    yield* Effect.forEach(rest, ({ id }) =>
      Option.match(topology, {
        onNone: () => Effect.void,
        onSome: (admin) => Effect.catchReason(admin.deleteMessage(stream, id), "TransportError", "Rejected", ignore)
      }), { concurrency: 32, discard: true })
    return { dropped: open.length }
  })

// internals

/** It is gone already. */
const ignore = () => Effect.void
