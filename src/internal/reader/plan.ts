/**
 * Turns options into what the transport is asked for, and refuses what cannot work before anything is opened.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as AckPolicy from "../../AckPolicy.ts"
import type * as Metrics from "../../Metrics.ts"
import * as Queue from "../../Queue.ts"
import * as Spill from "../../Spill.ts"
import * as Topology from "../../Topology.ts"
import type * as Transport from "../../Transport.ts"
import { invalid, type TransportError } from "../../TransportError.ts"
import * as Letters from "./letters.ts"
import type { DeadLetterOptions, Options, RetryStreamOptions } from "./options.ts"

export interface Plan {
  /** `ORDERS/billing`: what logs and ledgers call this reader. */
  readonly name: string
  readonly labels: Metrics.Labels
  readonly source: Transport.Source
  readonly flow: Transport.Flow
  readonly onError: "raise" | "finish" | "wait"
  readonly timeBudgetMs: number
  /** How many deliveries the reader may take at once. */
  readonly capacity: number
  /** Settling waits for the broker's word. */
  readonly confirmed: boolean
  /** A message that fails can be asked for again. */
  readonly retryable: boolean
  readonly acksOnEnqueue: (subject: string) => boolean
  /** What is given up becomes a dead letter here. */
  readonly burial: Letters.Burial | undefined
  /** What is tried again long from now waits here. */
  readonly postponing: Letters.Postponing | undefined
}

/** What a kind of reader does with its deliveries. */
export interface Usage {
  readonly lanes: number
  /** A `retry` was given. */
  readonly retry: boolean
  readonly maxAttempts: number
  /** Something has to be done before a message is terminated. */
  readonly onGiveUp: boolean
  readonly deadLetter?: true | DeadLetterOptions | undefined
  readonly retryStream?: true | RetryStreamOptions | undefined
  /** The reader interrupts handlers itself; then a lease is renewed for as long as it holds the delivery. */
  readonly enforcesBudget: boolean
}

export const make = (
  pattern: string,
  options: Options,
  policy: AckPolicy.Policy,
  usage: Usage
): Effect.Effect<Plan, TransportError> => {
  const consumer = typeof options.consumer === "string" ? options.consumer : options.consumer._tag
  const queue = options.queue ?? Queue.suspend()
  const timeBudgetMs = Duration.toMillis(Duration.fromInputUnsafe(options.timeBudget ?? "15 minutes"))
  const name = `${options.stream}/${consumer}`
  const burial = burialOf(options, usage.deadLetter)
  const postponing = postponingOf(options, usage.retryStream)
  const problem = problemOf(options, policy, usage, timeBudgetMs) ?? sideProblem(options, policy, burial, "deadLetter")
    ?? sideProblem(options, policy, postponing, "retryStream")
  if (problem !== undefined) {
    return Effect.fail(invalid(`reader ${name}`, ...problem))
  }
  return Effect.succeed({
    name,
    labels: { stream: options.stream, consumer },
    source: sourceOf(pattern, options, policy),
    flow: {
      queue,
      ack: policy,
      timeBudgetMs: usage.enforcesBudget ? Number.POSITIVE_INFINITY : timeBudgetMs,
      overdue: usage.enforcesBudget && isSettledSingly(options, policy)
        ? { afterMs: timeBudgetMs, terminateFrom: usage.onGiveUp ? Number.POSITIVE_INFINITY : usage.maxAttempts }
        : undefined
    },
    onError: options.onError ?? "raise",
    timeBudgetMs,
    // A queue that displaces can only choose among what waits in it: nothing may wait in front of it.
    capacity: displaces(queue) ? Math.min(usage.lanes, queue.messages) : queue.messages,
    confirmed: policy._tag === "confirmed",
    retryable: isRetryable(policy, options) && !isOrdered(options),
    acksOnEnqueue: Spill.settlesEarly(queue, policy),
    burial: burial === undefined || "problem" in burial ? undefined : burial,
    postponing: postponing === undefined || "problem" in postponing ? undefined : postponing
  })
}

// internals

const displaces = ({ strategy }: Queue.Settings): boolean => strategy !== "suspend" && strategy !== "spill"

/** The broker keeps a message until its handler is done. */
const isKept = (policy: AckPolicy.Policy): boolean => policy._tag === "onProcess" || policy._tag === "confirmed"

/** What is on disk can be asked for again, although the broker has let go of it. */
const isRetryable = (policy: AckPolicy.Policy, { queue }: Options): boolean =>
  isKept(policy) || queue?.strategy === "spill"

/** Under `upTo` a message that is settled before others covers them. */
const isSettledSingly = (options: Options, policy: AckPolicy.Policy): boolean =>
  policy._tag !== "upTo" && !isOrdered(options)

const isOrdered = ({ consumer }: Options): boolean => typeof consumer !== "string" && consumer._tag === "ordered"

const sourceOf = (pattern: string, options: Options, policy: AckPolicy.Policy): Transport.Source => {
  const { consumer, stream } = options
  const filters = options.filters ?? [pattern]
  if (typeof consumer !== "string") {
    return { _tag: consumer._tag, stream, filters, start: consumer.start }
  }
  const owned = Topology.consumer(consumer, {
    filters,
    ack: policy._tag === "upTo" ? "all" : "explicit",
    ...(options.start === undefined ? {} : { start: options.start }),
    ...(options.ackWait === undefined ? {} : { ackWait: options.ackWait }),
    ...(options.maxAckPending === undefined ? {} : { maxAckPending: options.maxAckPending }),
    ...(options.maxDeliver === undefined ? {} : { maxDeliver: options.maxDeliver })
  })
  return { _tag: "durable", stream, consumer, create: options.bind === true ? Option.none() : Option.some(owned) }
}

interface Refused {
  readonly problem: string
}

/** Whose letters or retries these are, and the subject that they bear. */
const sideOf = (
  { consumer, stream }: Options,
  prefix: string
): { readonly stream: string; readonly consumer: string; readonly subject: string } | Refused => {
  if (typeof consumer !== "string") {
    return { problem: `an ${consumer._tag} reader has no name of its own that its messages could bear elsewhere` }
  }
  const subject = Letters.subjectOf(prefix, stream, consumer)
  return Result.isFailure(subject)
    ? { problem: subject.failure.message }
    : { stream, consumer, subject: subject.success }
}

const burialOf = (
  options: Options,
  given: true | DeadLetterOptions | undefined
): (Letters.Burial & { readonly into: string }) | Refused | undefined => {
  if (given === undefined) {
    return undefined
  }
  const own = given === true ? {} : given
  const side = sideOf(options, Letters.prefixOf(own))
  return "problem" in side ? side : { ...side, options: own, into: own.stream ?? Letters.STREAM }
}

const postponingOf = (
  options: Options,
  given: true | RetryStreamOptions | undefined
): Letters.Postponing | Refused | undefined => {
  if (given === undefined) {
    return undefined
  }
  const { after = "1 minute", prefix, stream: into = Letters.RETRY_STREAM } = given === true ? {} : given
  const side = sideOf(options, prefix ?? into.toLowerCase())
  return "problem" in side
    ? side
    : { ...side, into, afterMs: Duration.toMillis(Duration.fromInputUnsafe(after)) }
}

const sideProblem = (
  options: Options,
  policy: AckPolicy.Policy,
  side: { readonly into: string } | Refused | undefined,
  name: "deadLetter" | "retryStream"
): readonly [problem: string, hint: string] | undefined => {
  if (side === undefined) {
    return undefined
  }
  if ("problem" in side) {
    return [side.problem, `Leave out \`${name}\`, or give the consumer a short name.`]
  }
  if (!isRetryable(policy, options)) {
    const problem = `${policy._tag} may have acknowledged a message before it fails, so it could be lost on its way`
    return [problem, `Leave out \`${name}\`, or use AckPolicy.onProcess.`]
  }
  return options.stream === side.into
    ? [
      `what reads ${side.into} cannot send its own messages to the same stream`,
      `Give it another: ${name}: { stream }.`
    ]
    : undefined
}

/** What is wrong, and what to do about it. */
const problemOf = (
  options: Options,
  policy: AckPolicy.Policy,
  { lanes, maxAttempts, retry }: Usage,
  timeBudgetMs: number
): readonly [problem: string, hint: string] | undefined => {
  if (policy._tag === "upTo" && lanes > 1) {
    return ["upTo acks a prefix, and lanes finish out of order", "Use one lane, or AckPolicy.onProcess."]
  }
  if (policy._tag === "upTo" && typeof options.consumer !== "string") {
    return ["upTo needs a durable consumer of its own", "Name the consumer, or use AckPolicy.onProcess."]
  }
  const source = typeof options.consumer === "string" ? "durable" : options.consumer._tag
  const spilling = options.queue?.strategy === "spill" && Spill.problemOf(options.queue.spill, source, policy)
  if (spilling) {
    return spilling
  }
  if (retry && !isRetryable(policy, options)) {
    const problem = `${policy._tag} may have acknowledged a message before it fails, so it cannot be retried`
    return [problem, "Leave out `retry`, or use AckPolicy.onProcess."]
  }
  if (retry && isOrdered(options)) {
    return [
      "an ordered reader gets each message once, so there is nothing to retry",
      "Leave out `retry`, or use a durable."
    ]
  }
  if (!Number.isInteger(lanes) || lanes < 1) {
    return [`lanes must be a whole number from 1, not ${lanes}`, "64 is a good number."]
  }
  if (!(maxAttempts >= 1)) {
    return [`maxAttempts must be at least 1, not ${maxAttempts}`, "1 means: never try again."]
  }
  if (!(timeBudgetMs > 0)) {
    return [`timeBudget must be longer than ${timeBudgetMs} ms`, "Give a handler the time that it may take at most."]
  }
  const limit = options.maxDeliver ?? -1
  if (limit > 0 && limit < maxAttempts && isKept(policy) && options.bind !== true) {
    const problem = `maxDeliver ${limit} is below maxAttempts ${maxAttempts}: the broker would stop before onGiveUp`
    return [problem, "Leave out maxDeliver, or lower maxAttempts."]
  }
  return undefined
}
