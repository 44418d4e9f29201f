/**
 * Streams and consumers as values.
 *
 * A declaration says what an application needs. `Provisioner.ensure` makes what is missing, and fails with named
 * differences when something else stands in its place; it never overwrites.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * A stream, with every setting decided.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stream {
  readonly name: string
  readonly subjects: ReadonlyArray<string>
  readonly storage: "file" | "memory"
  readonly replicas: number
  readonly retention: "limits" | "interest" | "workqueue"
  readonly discard: "old" | "new"
  /** At most so many messages; -1 for no limit. */
  readonly maxMessages: number
  /** At most so many bytes; -1 for no limit. */
  readonly maxBytes: number
  /** At most so many messages of one subject; -1 for no limit. */
  readonly maxPerSubject: number
  /** The oldest a message gets, in milliseconds; 0 for no limit. */
  readonly maxAgeMs: number
  /** How long the stream remembers message ids, in milliseconds. A fixed window, not a sliding one. */
  readonly duplicateWindowMs: number
}

/**
 * A consumer, with every setting decided. `name` is empty for an ephemeral one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Consumer {
  readonly name: string
  readonly filters: ReadonlyArray<string>
  readonly start: ConsumerStart
  readonly ack: "explicit" | "all" | "none"
  /**
   * How long a delivery may stay unanswered before it is delivered again, in milliseconds. With `backoffMs` its first
   * entry.
   */
  readonly ackWaitMs: number
  /**
   * How long each delivery in turn may stay unanswered, in milliseconds; the last entry goes for all that follow. Empty:
   * `ackWaitMs` for each. A nak without a delay comes back at once all the same.
   */
  readonly backoffMs: ReadonlyArray<number>
  /** How many deliveries may be unanswered at once, over all replicas; -1 for no limit. */
  readonly maxAckPending: number
  /** How often the broker delivers a message at most; -1 for no limit. */
  readonly maxDeliver: number
  /** The consumer disappears after so long without a pull, in milliseconds; 0 for never. */
  readonly inactiveThresholdMs: number
  /** How many pulls may wait at the broker at once, over all replicas. */
  readonly maxWaiting: number
}

/**
 * Where a consumer begins.
 *
 * @category models
 * @since 0.1.0
 */
export type ConsumerStart =
  | { readonly _tag: "all" }
  | { readonly _tag: "new" }
  | { readonly _tag: "last" }
  | { readonly _tag: "lastPerSubject" }
  | { readonly _tag: "sequence"; readonly sequence: number }
  | { readonly _tag: "time"; readonly millis: number }

/**
 * What is known of a stream that exists.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamInfo {
  readonly stream: Stream
  readonly messages: number
  readonly bytes: number
  readonly firstSequence: number
  readonly lastSequence: number
}

/**
 * What is known of a consumer that exists.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumerInfo {
  readonly consumer: Consumer
  /** Messages not delivered yet. */
  readonly pending: number
  /** Deliveries not answered yet. */
  readonly ackPending: number
  readonly redelivered: number
  /** Everything up to this stream sequence is acknowledged. */
  readonly ackFloor: number
  readonly delivered: number
  /** Pulls that wait at the broker. */
  readonly waiting: number
}

/**
 * Streams and consumers that an application wants to exist.
 *
 * @category models
 * @since 0.1.0
 */
export interface Topology {
  readonly streams: ReadonlyArray<Stream>
  readonly consumers: ReadonlyArray<{ readonly stream: string; readonly consumer: Consumer }>
}

/**
 * Declares a stream. What is left out gets the default: file storage, one replica, limits retention without limits,
 * dedupe window of two minutes.
 *
 * **Gotchas**
 *
 * One replica without `sync_interval: always` on the server can lose up to two minutes of acknowledged messages when
 * the machine loses power ([nats-server#7564](https://github.com/nats-io/nats-server/issues/7564)); use three.
 *
 * **Example** (A stream for orders)
 *
 * ```ts import.meta.vitest
 * import * as Topology from "effect-sluice/Topology"
 *
 * const orders = Topology.stream("ORDERS", { subjects: ["orders.>"], maxAge: "7 days" })
 * orders.maxAgeMs // => 604800000
 * orders.duplicateWindowMs // => 120000
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const stream = (name: string, options: {
  readonly subjects: ReadonlyArray<string>
  readonly storage?: "file" | "memory"
  readonly replicas?: number
  readonly retention?: "limits" | "interest" | "workqueue"
  readonly discard?: "old" | "new"
  readonly maxMessages?: number
  readonly maxBytes?: number
  readonly maxPerSubject?: number
  readonly maxAge?: Duration.Input
  readonly duplicateWindow?: Duration.Input
}): Stream => ({
  name,
  subjects: options.subjects,
  storage: options.storage ?? "file",
  replicas: options.replicas ?? 1,
  retention: options.retention ?? "limits",
  discard: options.discard ?? "old",
  maxMessages: options.maxMessages ?? -1,
  maxBytes: options.maxBytes ?? -1,
  maxPerSubject: options.maxPerSubject ?? -1,
  maxAgeMs: millis(options.maxAge ?? 0),
  // A server takes 0 for its default, and refuses to remember ids for longer than messages live.
  duplicateWindowMs: Math.min(
    millis(options.duplicateWindow ?? 0) || DUPLICATE_WINDOW_MS,
    millis(options.maxAge ?? 0) || Infinity
  )
})

/**
 * Declares a consumer. What is left out gets the default: from the first message, explicit acks, 30 seconds to answer,
 * 20,000 unanswered deliveries over all replicas, no limit of deliveries (the reader decides when to give up), and it
 * stays when nobody reads.
 *
 * **When to use**
 *
 * For consumers that are made beforehand, such as one that a reader with few rights reads with `bind: true`. Other
 * readers make theirs.
 *
 * **Gotchas**
 *
 * With `backoff`, its first entry takes the place of `ackWait`: so does the server. With `maxDeliver` the list must not
 * be longer than that; nats-server 2.9 wants it shorter, and a limit.
 *
 * **Example** (A consumer of one region)
 *
 * ```ts import.meta.vitest
 * import * as Topology from "effect-sluice/Topology"
 *
 * const billing = Topology.consumer("billing", { filters: ["orders.eu.>"] })
 * billing.ackWaitMs // => 30000
 * billing.maxDeliver // => -1
 *
 * const patient = Topology.consumer("patient", { backoff: ["10 seconds", "1 minute"], ackWait: "30 seconds" })
 * patient.ackWaitMs // => 10000
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const consumer = (name: string, options: {
  readonly filters?: ReadonlyArray<string>
  readonly start?: ConsumerStart
  readonly ack?: "explicit" | "all" | "none"
  readonly ackWait?: Duration.Input
  readonly backoff?: ReadonlyArray<Duration.Input>
  readonly maxAckPending?: number
  readonly maxDeliver?: number
  readonly inactiveThreshold?: Duration.Input
  readonly maxWaiting?: number
} = {}): Consumer => {
  const backoffMs = (options.backoff ?? []).map(millis)
  return {
    name,
    filters: normalFilters(options.filters ?? []),
    start: options.start ?? { _tag: "all" },
    ack: options.ack ?? "explicit",
    // A server keeps neither for a consumer without acks.
    ackWaitMs: backoffMs[0] ?? (options.ack === "none" ? 0 : millis(options.ackWait ?? "30 seconds")),
    backoffMs,
    maxAckPending: options.ack === "none" ? -1 : options.maxAckPending ?? 20_000,
    maxDeliver: options.maxDeliver ?? -1,
    inactiveThresholdMs: millis(options.inactiveThreshold ?? 0),
    maxWaiting: options.maxWaiting ?? 512
  }
}

/**
 * What differs between the stream that is wanted and the one that exists, in words; empty if they agree.
 *
 * **Example** (One replica instead of three)
 *
 * ```ts import.meta.vitest
 * import * as Topology from "effect-sluice/Topology"
 *
 * const wanted = Topology.stream("ORDERS", { subjects: ["orders.>"], replicas: 3 })
 * Topology.streamDifferences(wanted, { ...wanted, replicas: 1 }) // => ["replicas is 1, wanted 3"]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const streamDifferences = (wanted: Stream, actual: Stream): ReadonlyArray<string> =>
  differences(wanted, actual, ["name"])

/**
 * As `streamDifferences`, for consumers. `start` is not compared: it only says where a new consumer begins. Neither is
 * `maxWaiting`: it protects the broker, decides nothing about any message, and a reader gets along with any.
 *
 * **Example** (Another place to begin is no difference)
 *
 * ```ts import.meta.vitest
 * import * as Topology from "effect-sluice/Topology"
 *
 * const wanted = Topology.consumer("billing", { start: { _tag: "new" } })
 * Topology.consumerDifferences(wanted, Topology.consumer("billing")) // => []
 * Topology.consumerDifferences(wanted, { ...wanted, maxDeliver: 3 }) // => ["maxDeliver is 3, wanted -1"]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const consumerDifferences = (wanted: Consumer, actual: Consumer): ReadonlyArray<string> =>
  differences(wanted, actual, ["name", "start", "maxWaiting"])

/**
 * `>` alone lets everything through, as no filter does.
 *
 * @internal
 */
export const normalFilters = (filters: ReadonlyArray<string>): ReadonlyArray<string> =>
  filters.length === 1 && filters[0] === ">" ? [] : filters

// internals

const DUPLICATE_WINDOW_MS = 120_000

const millis = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))

const differences = <A extends object>(
  wanted: A,
  actual: A,
  ignored: ReadonlyArray<keyof A>
): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const key of Object.keys(wanted) as Array<keyof A & string>) {
    if (ignored.includes(key)) {
      continue
    }
    const [want, have] = [canonical(wanted[key]), canonical(actual[key])]
    if (want !== have) {
      found.push(`${key} is ${have}, wanted ${want}`)
    }
  }
  return found
}

/** The order of subjects says nothing; that of a backoff does. */
const canonical = (value: unknown): string =>
  JSON.stringify(Array.isArray(value) && typeof value[0] === "string" ? value.toSorted() : value)
