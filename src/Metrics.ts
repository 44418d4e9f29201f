/**
 * The metrics that Sluice keeps, as handles.
 *
 * This module only says what exists; readers, publishers and transports update it. All names begin with `sluice_`,
 * counters end in `_total`, durations are in seconds. Labels are names out of a configuration (a stream, a consumer, an
 * outcome), never a subject or an id, so the number of series does not grow with the traffic.
 *
 * | name | labels | counts |
 * | --- | --- | --- |
 * | `sluice_reader_delivered_total` | `stream`, `consumer` | deliveries taken in, a redelivery of something held not again |
 * | `sluice_reader_settled_total` | …, `verdict`: `ack`, `nak`, `term` | verdicts handed to the broker |
 * | `sluice_reader_handled_total` | …, `outcome`: see `Outcome` | how handlers ended |
 * | `sluice_reader_handler_seconds` | … | how long handlers ran |
 * | `sluice_reader_unfinished_total` | …, `why`: `displaced`, `returned`, `lost` | deliveries that no outcome settled |
 * | `sluice_reader_swallowed_total` | … | redeliveries that were answered without running anything twice |
 * | `sluice_reader_held` | … | deliveries held at this moment |
 * | `sluice_inlet_pulls_total`, `sluice_inlet_leases_total` | …, `result`: `renewed`, `lost` | the transport's side |
 * | `sluice_spill_total` | …, `what`: `stored`, `recovered`, `damaged` | deliveries on disk: written, found there at the start, unreadable |
 * | `sluice_spill_failures_total` | …, `code`: the operating system's | what the disk refused; it is tried again |
 * | `sluice_published_total` | `outcome`: `confirmed`, `duplicate`, `not_sent`, `ambiguous` | how publishes ended |
 * | `sluice_publish_retries_total` | | attempts after the first |
 * | `sluice_thread_blocked_seconds_total` | | how long the application's thread stood still, where the I/O has its own |
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"

/**
 * How a handler ended: `processed` (acked), `retried` (it is asked for again), `rejected` (undecodable, or refused by
 * the handler), `failed` (given up), `abandoned` (interrupted with its reader), `dropped` (of no use any more). Of the rejected
 * and the failed, those that became dead letters are also counted as `deadLettered`.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "processed" | "retried" | "rejected" | "failed" | "abandoned" | "dropped" | "deadLettered"

/**
 * Which reader a series belongs to. `consumer` is a durable's name, or `ephemeral`, or `ordered`: never a name that the
 * broker made up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Labels {
  readonly stream: string
  readonly consumer: string
}

/**
 * The metrics of one reader.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  readonly delivered: Metric.Counter<number>
  readonly acked: Metric.Counter<number>
  readonly naked: Metric.Counter<number>
  readonly termed: Metric.Counter<number>
  readonly outcomes: Readonly<Record<Outcome, Metric.Counter<number>>>
  readonly handlerSeconds: Metric.Histogram<number>
  readonly displaced: Metric.Counter<number>
  readonly returned: Metric.Counter<number>
  readonly lost: Metric.Counter<number>
  readonly swallowed: Metric.Counter<number>
  readonly held: Metric.Gauge<number>
}

/**
 * The upper bounds of the handler duration's buckets, in seconds: from a millisecond to the default time budget.
 *
 * @category constants
 * @since 0.1.0
 */
export const handlerSecondsBoundaries: ReadonlyArray<number> = [
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
  30,
  60,
  300,
  900
]

/**
 * The metrics of a reader, made once when it opens.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reader = (labels: Labels): Reader => {
  const base = { stream: labels.stream, consumer: labels.consumer }
  const settled = (verdict: string) => counter("sluice_reader_settled_total", { ...base, verdict })
  const handled = (outcome: Outcome) => counter("sluice_reader_handled_total", { ...base, outcome })
  const unfinished = (why: string) => counter("sluice_reader_unfinished_total", { ...base, why })
  return {
    delivered: counter("sluice_reader_delivered_total", base),
    acked: settled("ack"),
    naked: settled("nak"),
    termed: settled("term"),
    outcomes: {
      processed: handled("processed"),
      retried: handled("retried"),
      rejected: handled("rejected"),
      failed: handled("failed"),
      abandoned: handled("abandoned"),
      dropped: handled("dropped"),
      deadLettered: handled("deadLettered")
    },
    handlerSeconds: Metric.histogram("sluice_reader_handler_seconds", {
      attributes: base,
      boundaries: handlerSecondsBoundaries
    }),
    displaced: unfinished("displaced"),
    returned: unfinished("returned"),
    lost: unfinished("lost"),
    swallowed: counter("sluice_reader_swallowed_total", base),
    held: Metric.gauge("sluice_reader_held", { attributes: base })
  }
}

/**
 * The metrics of an inlet, for a transport to keep.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inlet {
  readonly pulls: Metric.Counter<number>
  readonly leasesRenewed: Metric.Counter<number>
  readonly leasesLost: Metric.Counter<number>
}

/**
 * The metrics of an inlet, made once when it opens.
 *
 * **Example** (Under a name that monitoring knows)
 *
 * ```ts import.meta.vitest
 * import * as Metrics from "effect-sluice/Metrics"
 *
 * Metrics.inlet({ stream: "ORDERS", consumer: "billing" }).pulls.id // => "sluice_inlet_pulls_total"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const inlet = (labels: Labels): Inlet => {
  const base = { stream: labels.stream, consumer: labels.consumer }
  return {
    pulls: counter("sluice_inlet_pulls_total", base),
    leasesRenewed: counter("sluice_inlet_leases_total", { ...base, result: "renewed" }),
    leasesLost: counter("sluice_inlet_leases_total", { ...base, result: "lost" })
  }
}

/**
 * The metrics of a queue that spills, for a transport to keep.
 *
 * @category models
 * @since 0.1.0
 */
export interface Spill {
  readonly stored: Metric.Counter<number>
  readonly recovered: Metric.Counter<number>
  readonly damaged: Metric.Counter<number>
  /** One for each code of the operating system. */
  readonly failures: (code: string) => Metric.Counter<number>
}

/**
 * The metrics of a queue that spills, made once when it opens.
 *
 * **Example** (A disk that was full)
 *
 * ```ts import.meta.vitest
 * import * as Metrics from "effect-sluice/Metrics"
 *
 * const { failures } = Metrics.spill({ stream: "CLICKS", consumer: "counting" })
 * failures("ENOSPC").id // => "sluice_spill_failures_total"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const spill = (labels: Labels): Spill => {
  const base = { stream: labels.stream, consumer: labels.consumer }
  return {
    stored: counter("sluice_spill_total", { ...base, what: "stored" }),
    recovered: counter("sluice_spill_total", { ...base, what: "recovered" }),
    damaged: counter("sluice_spill_total", { ...base, what: "damaged" }),
    failures: (code) => counter("sluice_spill_failures_total", { ...base, code })
  }
}

/**
 * The metrics of all publishers of a process.
 *
 * @category constants
 * @since 0.1.0
 */
export const publisher: {
  readonly confirmed: Metric.Counter<number>
  readonly duplicate: Metric.Counter<number>
  readonly notSent: Metric.Counter<number>
  readonly ambiguous: Metric.Counter<number>
  readonly retries: Metric.Counter<number>
} = {
  confirmed: Metric.counter("sluice_published_total", { incremental: true, attributes: { outcome: "confirmed" } }),
  duplicate: Metric.counter("sluice_published_total", { incremental: true, attributes: { outcome: "duplicate" } }),
  notSent: Metric.counter("sluice_published_total", { incremental: true, attributes: { outcome: "not_sent" } }),
  ambiguous: Metric.counter("sluice_published_total", { incremental: true, attributes: { outcome: "ambiguous" } }),
  retries: Metric.counter("sluice_publish_retries_total", { incremental: true })
}

/**
 * How long the application's thread stood still for more than a second, in all: written when it moves again, where the
 * connection lives in a thread of its own.
 *
 * @category constants
 * @since 0.1.0
 */
export const blockedSeconds: Metric.Counter<number> = Metric.counter("sluice_thread_blocked_seconds_total", {
  incremental: true
})

/**
 * A plain function that updates `metric`, for loops in which an Effect per update would cost more than the work: 30 ns
 * instead of 150. `context` decides the registry; take it once with `Effect.context<never>()`.
 *
 * **Example** (Counting in a plain loop)
 *
 * ```ts import.meta.vitest
 * import * as Effect from "effect/Effect"
 * import * as Metric from "effect/Metric"
 * import * as Metrics from "effect-sluice/Metrics"
 *
 * const program = Effect.gen(function*() {
 *   const { delivered } = Metrics.reader({ stream: "ORDERS", consumer: "billing" })
 *   const count = Metrics.updater(delivered, yield* Effect.context<never>())
 *   for (const chunk of [[1, 2], [3]]) count(chunk.length)
 *   return (yield* Metric.value(delivered)).count
 * })
 * Effect.runSync(Effect.provideService(program, Metric.MetricRegistry, new Map())) // => 3
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const updater =
  <State>(metric: Metric.Metric<number, State>, context: Context.Context<never>): (value: number) => void =>
  (
    value
  ) => {
    metric.updateUnsafe(value, context)
  }

// internals

const counter = (name: string, attributes: Record<string, string>): Metric.Counter<number> =>
  Metric.counter(name, { incremental: true, attributes })
