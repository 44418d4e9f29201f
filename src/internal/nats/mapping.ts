/** Streams and consumers as JetStream's JSON writes them: snake case, durations in nanoseconds. */
import * as Topology from "../../Topology.ts"
import type { Purge } from "../../Transport.ts"
import { leaseOf } from "../port.ts"

type Json = { readonly [key: string]: unknown }

/** A consumer as the server describes it, with what a pull has to respect. */
export interface ConsumerState {
  readonly info: Topology.ConsumerInfo
  /** When it was made, by the server's clock, in ms. */
  readonly createdMs: number
  /** The shortest deadline of an ack. */
  readonly leaseMs: number
  readonly maxBatch: number
  readonly maxExpiresMs: number
  readonly maxPullBytes: number
}

const NANOS = 1e6

export const streamConfig = (stream: Topology.Stream): Json => ({
  name: stream.name,
  subjects: stream.subjects,
  storage: stream.storage,
  num_replicas: stream.replicas,
  retention: stream.retention,
  discard: stream.discard,
  max_msgs: stream.maxMessages,
  max_bytes: stream.maxBytes,
  max_msgs_per_subject: stream.maxPerSubject,
  max_age: stream.maxAgeMs * NANOS,
  max_consumers: -1,
  max_msg_size: -1,
  duplicate_window: stream.duplicateWindowMs * NANOS
})

export const streamInfo = (json: Json): Topology.StreamInfo => {
  const config = record(json["config"])
  const state = record(json["state"])
  return {
    stream: {
      name: String(config["name"]),
      subjects: strings(config["subjects"]),
      storage: config["storage"] === "memory" ? "memory" : "file",
      replicas: number(config["num_replicas"], 1),
      retention: config["retention"] as Topology.Stream["retention"],
      discard: config["discard"] === "new" ? "new" : "old",
      maxMessages: number(config["max_msgs"], -1),
      maxBytes: number(config["max_bytes"], -1),
      maxPerSubject: number(config["max_msgs_per_subject"], -1),
      maxAgeMs: number(config["max_age"], 0) / NANOS,
      duplicateWindowMs: number(config["duplicate_window"], 0) / NANOS
    },
    messages: number(state["messages"], 0),
    bytes: number(state["bytes"], 0),
    firstSequence: number(state["first_seq"], 0),
    lastSequence: number(state["last_seq"], 0)
  }
}

/** When a stream or a consumer was made, by the server's clock, in ms. */
export const createdMs = (json: Json): number => Date.parse(String(json["created"])) || 0

export const consumerConfig = (consumer: Topology.Consumer, ephemeral: boolean): Json => ({
  name: consumer.name,
  ...(ephemeral ? { mem_storage: true, num_replicas: 1 } : { durable_name: consumer.name }),
  ...startConfig(consumer.start),
  ...filterConfig(filtersOf(consumer)),
  ack_policy: consumer.ack,
  ...(consumer.ack === "none" ? undefined : {
    ack_wait: consumer.ackWaitMs * NANOS,
    max_ack_pending: consumer.maxAckPending
  }),
  max_deliver: consumer.maxDeliver,
  max_waiting: consumer.maxWaiting,
  ...(consumer.backoffMs.length > 0 ? { backoff: consumer.backoffMs.map((ms) => ms * NANOS) } : undefined),
  replay_policy: "instant",
  ...(consumer.inactiveThresholdMs > 0 ? { inactive_threshold: consumer.inactiveThresholdMs * NANOS } : undefined)
})

export const consumerState = (json: Json): ConsumerState => {
  const config = record(json["config"])
  const consumer: Topology.Consumer = {
    name: String(json["name"]),
    filters: Topology.normalFilters(
      typeof config["filter_subject"] === "string" && config["filter_subject"] !== ""
        ? [config["filter_subject"]]
        : strings(config["filter_subjects"])
    ),
    start: startOf(config),
    ack: config["ack_policy"] as Topology.Consumer["ack"],
    ackWaitMs: number(config["ack_wait"], 0) / NANOS,
    backoffMs: Array.isArray(config["backoff"]) ? config["backoff"].map((nanos) => number(nanos, 0) / NANOS) : [],
    maxAckPending: number(config["max_ack_pending"], -1),
    maxDeliver: number(config["max_deliver"], -1),
    inactiveThresholdMs: number(config["inactive_threshold"], 0) / NANOS,
    maxWaiting: number(config["max_waiting"], 0)
  }
  return {
    info: {
      consumer,
      pending: number(json["num_pending"], 0),
      ackPending: number(json["num_ack_pending"], 0),
      redelivered: number(json["num_redelivered"], 0),
      ackFloor: number(record(json["ack_floor"])["stream_seq"], 0),
      delivered: number(record(json["delivered"])["stream_seq"], 0),
      waiting: number(json["num_waiting"], 0)
    },
    createdMs: createdMs(json),
    leaseMs: leaseOf(consumer),
    maxBatch: limit(config["max_batch"]),
    maxExpiresMs: limit(config["max_expires"]) / NANOS,
    maxPullBytes: limit(config["max_bytes"])
  }
}

/** The server takes a body with nothing in it for a purge of everything. */
export const purge = ({ filter, keep, upTo }: Purge = {}): Json => ({
  ...(filter === undefined ? undefined : { filter }),
  ...(upTo === undefined ? undefined : { seq: upTo }),
  ...(keep === undefined ? undefined : { keep })
})

export const purged = (json: Json): number => number(json["purged"], 0)

// internals

const record = (value: unknown): Json => typeof value === "object" && value !== null ? value as Json : {}
const number = (value: unknown, otherwise: number): number => typeof value === "number" ? value : otherwise
const limit = (value: unknown): number => typeof value === "number" && value > 0 ? value : Number.POSITIVE_INFINITY
const strings = (value: unknown): ReadonlyArray<string> => Array.isArray(value) ? value.map(String) : []

const startConfig = (start: Topology.ConsumerStart): Json => {
  switch (start._tag) {
    case "all":
      return { deliver_policy: "all" }
    case "new":
      return { deliver_policy: "new" }
    case "last":
      return { deliver_policy: "last" }
    case "lastPerSubject":
      return { deliver_policy: "last_per_subject" }
    case "sequence":
      return { deliver_policy: "by_start_sequence", opt_start_seq: start.sequence }
    case "time":
      return { deliver_policy: "by_start_time", opt_start_time: new Date(start.millis).toISOString() }
  }
}

const startOf = (config: Json): Topology.ConsumerStart => {
  switch (config["deliver_policy"]) {
    case "new":
      return { _tag: "new" }
    case "last":
      return { _tag: "last" }
    case "last_per_subject":
      return { _tag: "lastPerSubject" }
    case "by_start_sequence":
      return { _tag: "sequence", sequence: number(config["opt_start_seq"], 1) }
    case "by_start_time":
      return { _tag: "time", millis: Date.parse(String(config["opt_start_time"])) }
    default:
      return { _tag: "all" }
  }
}

/** The server wants a filter where the last message of each subject is wanted, even of all. */
export const filtersOf = ({ filters, start }: Topology.Consumer): ReadonlyArray<string> =>
  filters.length === 0 && start._tag === "lastPerSubject" ? [">"] : filters

const filterConfig = (filters: ReadonlyArray<string>): Json =>
  filters.length === 0 ? {} : filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: filters }
