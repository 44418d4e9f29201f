/** What the server makes of a declaration: the defaults it fills in, and what it refuses, with its own codes. */
import * as Result from "effect/Result"
import * as Subject from "../../Subject.ts"
import * as Topology from "../../Topology.ts"
import { because, invalid, Rejected, type TransportError } from "../../TransportError.ts"

const NAME = /^[A-Za-z0-9_-]{1,128}$/
const SHORTEST_MS = 100
const DUPLICATE_WINDOW_MS = 120_000
const ACK_WAIT_MS = 30_000
const MAX_ACK_PENDING = 1_000
const MAX_WAITING = 512

/** The stream as it is kept, or why it is refused. */
export const stream = (
  wanted: Topology.Stream,
  others: Iterable<Topology.Stream>
): Result.Result<Topology.Stream, TransportError> => {
  const subjects = wanted.subjects.length === 0 ? [wanted.name] : wanted.subjects
  const longest = wanted.maxAgeMs > 0 ? wanted.maxAgeMs : Number.POSITIVE_INFINITY
  const config: Topology.Stream = {
    ...wanted,
    subjects,
    maxMessages: limit(wanted.maxMessages),
    maxBytes: limit(wanted.maxBytes),
    maxPerSubject: limit(wanted.maxPerSubject),
    duplicateWindowMs: wanted.duplicateWindowMs || Math.min(DUPLICATE_WINDOW_MS, longest)
  }
  const problem = nameProblem("stream", config.name) ?? patternProblem(subjects)
    ?? streamProblem(config, longest, others)
  return problem === undefined ? Result.succeed(config) : Result.fail(problem)
}

/** The consumer as it is kept, or why it is refused. */
export const consumer = (
  wanted: Topology.Consumer,
  stream: Topology.Stream,
  others: Iterable<Topology.Consumer>
): Result.Result<Topology.Consumer, TransportError> => {
  const acks = wanted.ack !== "none"
  const config: Topology.Consumer = {
    ...wanted,
    filters: Topology.normalFilters(wanted.filters),
    // The first backoff is the ack deadline, whatever else was said.
    ackWaitMs: wanted.backoffMs[0] ?? (acks ? wanted.ackWaitMs || ACK_WAIT_MS : 0),
    maxAckPending: acks ? wanted.maxAckPending || MAX_ACK_PENDING : -1,
    maxDeliver: limit(wanted.maxDeliver),
    maxWaiting: wanted.maxWaiting > 0 ? wanted.maxWaiting : MAX_WAITING
  }
  const problem = nameProblem("consumer", config.name) ?? patternProblem(config.filters) ?? consumerProblem(config)
    ?? (stream.retention === "workqueue" ? workQueueProblem(config, others) : undefined)
  return problem === undefined ? Result.succeed(config) : Result.fail(problem)
}

// internals

const limit = (value: number): number => value > 0 ? value : -1

const refuse = (code: number, detail: string): TransportError =>
  because(new Rejected({ operation: "create", code, detail, transient: false }))

const streamProblem = (
  { duplicateWindowMs, maxAgeMs, name, subjects }: Topology.Stream,
  longest: number,
  others: Iterable<Topology.Stream>
): TransportError | undefined => {
  if (maxAgeMs > 0 && maxAgeMs < SHORTEST_MS) {
    return refuse(10_052, "max age needs to be >= 100ms")
  }
  if (duplicateWindowMs < SHORTEST_MS) {
    return refuse(10_052, "duplicates window needs to be >= 100ms")
  }
  if (duplicateWindowMs > longest) {
    return refuse(10_052, "duplicates window can not be larger then max age")
  }
  if (overlapWithin(subjects)) {
    return refuse(10_052, "subjects overlap with one another")
  }
  for (const other of others) {
    if (other.name !== name && overlap(other.subjects, subjects)) {
      return refuse(10_065, "subjects overlap with an existing stream")
    }
  }
  return undefined
}

const consumerProblem = ({ backoffMs, filters, maxDeliver, start }: Topology.Consumer): TransportError | undefined => {
  if (maxDeliver > 0 && backoffMs.length > maxDeliver) {
    return refuse(10_116, "max deliver is required to be > length of backoff values")
  }
  if (overlapWithin(filters)) {
    return refuse(10_138, "consumer subject filters cannot overlap")
  }
  if (start._tag === "sequence" && start.sequence < 1) {
    return refuse(
      10_094,
      "consumer delivery policy is deliver by start sequence, but optional start sequence is not set"
    )
  }
  return undefined
}

const workQueueProblem = (
  { ack, filters, name, start }: Topology.Consumer,
  others: Iterable<Topology.Consumer>
): TransportError | undefined => {
  if (ack !== "explicit") {
    return ack === "none"
      ? refuse(10_084, "consumer in pull mode requires ack policy")
      : refuse(10_098, "workqueue stream requires explicit ack")
  }
  if (start._tag !== "all") {
    return refuse(10_101, "consumer must be deliver all on workqueue stream")
  }
  for (const other of others) {
    if (other.name === name) {
      continue
    }
    if (filters.length === 0) {
      return refuse(10_099, "multiple non-filtered consumers not allowed on workqueue stream")
    }
    if (other.filters.length === 0 || overlap(other.filters, filters)) {
      return refuse(10_100, "filtered consumer not unique on workqueue stream")
    }
  }
  return undefined
}

const nameProblem = (what: string, name: string): TransportError | undefined =>
  NAME.test(name)
    ? undefined
    : invalid(what, `"${name.slice(0, 64)}" is not a name`, "Use 1 to 128 letters, digits, - and _.")

const patternProblem = (patterns: ReadonlyArray<string>): TransportError | undefined => {
  for (const text of patterns) {
    // What the server tells about itself may be kept; nobody publishes it.
    const made = Subject.pattern(text.startsWith("$JS.EVENT.") ? text.slice(1) : text)
    if (Result.isFailure(made)) {
      return invalid("subject", made.failure.problem, made.failure.hint)
    }
  }
  return undefined
}

const overlap = (some: ReadonlyArray<string>, others: ReadonlyArray<string>): boolean =>
  some.some((a) => others.some((b) => Subject.overlaps(a as Subject.Pattern, b as Subject.Pattern)))

const overlapWithin = (patterns: ReadonlyArray<string>): boolean =>
  patterns.some((pattern, index) => overlap([pattern], patterns.slice(index + 1)))
