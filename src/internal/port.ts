/** What a broker has to do for the intake: pull n, settle a batch, extend a batch. The rest is done here. */
import * as Effect from "effect/Effect"
import type { Labels } from "../Metrics.ts"
import type * as Topology from "../Topology.ts"
import type { Flow, Source } from "../Transport.ts"
import { invalid, type TransportError } from "../TransportError.ts"
import type { Entry } from "./inflight.ts"
import type { Batch } from "./verdicts.ts"

export interface Port {
  /** Asks for so many more deliveries of so many bytes together. They arrive through `deliver`. */
  readonly pull: (messages: number, bytes: number) => void
  /** Writes verdicts, all at once. `Intake.confirmed(batch.id)` follows when the broker has processed them. */
  readonly settle: (batch: Batch) => void
  /** Starts the leases anew, all at once. `Intake.confirmed(id)` follows when the broker has heard it. */
  readonly extend: (entries: ReadonlyArray<Entry>, id: number) => void
  /** Asks how the consumer stands. `Intake.learned` follows, if the broker answers on this connection. */
  readonly inspect: () => void
  /** For how long the broker has owed an answer, in ms. A broker that always answers needs none. */
  readonly unansweredMs?: () => number
  /** Stops what was asked for; whatever was on its way has been delivered when this ends. */
  readonly stop: Effect.Effect<void>
}

export interface Options {
  /** What the metrics are told apart by. */
  readonly labels: Labels
  readonly flow: Flow
  readonly port: Port
  /** How long the broker waits for a verdict before it delivers again, in ms; infinite where nothing is acknowledged. */
  readonly leaseMs: number
  /** The least number of bytes that a pull must allow, so that the largest possible message fits. */
  readonly pullBytesMin: number
  /**
   * How long a closing inlet that is cut off waits for its broker, so that its last verdicts still get there, in ms.
   * Default: as long as one that is connected.
   */
  readonly absentWithinMs?: number
  /** Runs a function at the end of the current turn, so that the verdicts of one turn are written together. */
  readonly defer: (run: () => void) => void
}

/** The shortest time that the broker may wait for a verdict, in ms; infinite where nothing is acknowledged. */
export const leaseOf = ({ ack, ackWaitMs, backoffMs }: Topology.Consumer): number =>
  ack === "none" ? Number.POSITIVE_INFINITY : Math.min(ackWaitMs, ...backoffMs)

/** Refuses a queue that could never work. */
export const validate = ({ flow, pullBytesMin }: Options): Effect.Effect<void, TransportError> => {
  if (!Number.isInteger(flow.queue.messages) || flow.queue.messages < 1) {
    return Effect.fail(
      invalid("queue", `messages must be a whole number from 1, not ${flow.queue.messages}`, "Raise it.")
    )
  }
  if (!(flow.queue.bytes >= pullBytesMin)) {
    const problem = `bytes is ${flow.queue.bytes}, but the server's largest message needs ${pullBytesMin}`
    return Effect.fail(invalid("queue", problem, "Raise the queue's bytes, or lower max_payload on the server."))
  }
  return Effect.void
}

/** One ack for a prefix needs `ack_policy: all`; under it, everything else would settle more than it means to. */
export const checkAcks = (
  source: Source,
  flow: Flow,
  { ack: has, name }: Topology.Consumer
): Effect.Effect<void, TransportError> => {
  const needs = source._tag === "ordered" ? "none" : flow.ack._tag === "upTo" ? "all" : "explicit"
  if (has === needs) {
    return Effect.void
  }
  const problem = `the consumer has ack_policy "${has}", but the ack policy "${flow.ack._tag}" needs "${needs}"`
  return Effect.fail(invalid(`consumer "${name}"`, problem, "Change one of the two."))
}
