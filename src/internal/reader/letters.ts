/**
 * Dead letters as messages: their subjects, their ids, what they carry.
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Headers from "../../Headers.ts"
import type { Delivery, Outgoing } from "../../Message.ts"
import * as Provenance from "../../Provenance.ts"
import * as Subject from "../../Subject.ts"
import type { DeadLetterOptions, Failure } from "./options.ts"

export const STREAM = "DLQ"
export const RETRY_STREAM = "RETRY"

/** What follows a handler's subject: a kind of letter, or what became of one. */
export const events = { replay: "replay", replayed: "replayed", dropped: "dropped" } as const

/** Which letter an event is about, and who did why what. */
export const eventHeaders = { letter: "Sluice-Dead-Letter", why: "Sluice-Dead-Why" } as const

/** When a message that waits for its retry is due, and which replay had brought it, if one had. */
export const retryHeaders = { due: "Sluice-Dead-Due", replay: "Sluice-Dead-Replay" } as const

/** `dlq` for `DLQ`: what the subjects of a stream of letters begin with, unless somebody says otherwise. */
export const prefixOf = ({ prefix, stream = STREAM }: { readonly stream?: string; readonly prefix?: string }): string =>
  prefix ?? stream.toLowerCase()

const template = Subject.template("{stream}.{consumer}")

/** `dlq.ORDERS.billing`, or why names like these cannot be in a subject. */
export const subjectOf = (
  prefix: string,
  stream: string,
  consumer: string
): Result.Result<string, Subject.InvalidSubject> =>
  Result.flatMap(template.subject({ stream, consumer }), (tail) => Subject.make(`${prefix}.${tail}`))

/** The consumer that brings a handler what is replayed for it. Lengths keep `a-b` of `c` apart from `b` of `c-a`. */
export const replayConsumer = (stream: string, consumer: string): string => consumerOf("replay", stream, consumer)

/** The one that brings it what has waited. */
export const retryConsumer = (stream: string, consumer: string): string => consumerOf("retry", stream, consumer)

const consumerOf = (what: string, stream: string, consumer: string): string =>
  `${what}-${stream.length}-${stream}-${consumer.replace(/[^\w-]/gu, "_")}`

export const kindOf = (failure: Failure): Provenance.Kind =>
  failure._tag === "Undecodable" ? "undecodable" : failure.permanent === true ? "permanent" : "failed"

/** Whose letters these are. */
export interface Burial {
  readonly options: DeadLetterOptions
  readonly stream: string
  readonly consumer: string
  /** `dlq.ORDERS.billing` */
  readonly subject: string
}

/** Where a handler's messages wait for a retry that is far away. */
export interface Postponing {
  readonly stream: string
  readonly consumer: string
  /** `retry.ORDERS.billing` */
  readonly subject: string
  readonly into: string
  readonly afterMs: number
}

/** What is known when a message is given up. */
export interface Case {
  readonly stream: string
  readonly consumer: string
  /** The message as its handler saw it. */
  readonly message: Delivery
  readonly kind: Provenance.Kind
  readonly reason: string
  readonly detail: string
  readonly attempts: number
  readonly firstFailure: number
  readonly lastFailure: number
  /** Where the replay stands that brought it; 0 for the message itself. */
  readonly replaySequence: number
  readonly replays: number
  /** The id that the message had; empty for none. */
  readonly messageId: string
}

/** A letter is the same whoever writes it, however often. The time tells a stream from one made anew under its name. */
export const idOf = ({ consumer, message, replaySequence, stream }: Case): string =>
  `dlq:${stream}:${message.streamSequence}:${consumer}:${message.timestamp}${
    replaySequence === 0 ? "" : `:${replaySequence}`
  }`

export const letterOf = (subject: string, options: DeadLetterOptions, given: Case): Outgoing => {
  const { message } = given
  const headers = Result.getOrElse(message.headers, () => Headers.empty)
  const [policy, payload] = payloadOf(options, message.payload)
  const provenance = provenanceOf(given, policy)
  const told = Provenance.toHeaders(provenance, headers)
  return {
    subject: `${subject}.${given.kind}`,
    payload,
    // A message whose headers do not fit beside these is not all here: a replay fetches it.
    headers: policy === "full" && !carries(told, headers)
      ? Provenance.toHeaders({ ...provenance, payload: "redacted" })
      : told,
    id: idOf(given),
    expect: { stream: options.stream ?? STREAM }
  }
}

/** A message on its way into the retry stream; nothing if its headers do not fit beside what has to be said. */
export const postponed = (
  { into, subject }: Postponing,
  given: Case,
  delivery: Delivery,
  dueAt: number
): Outgoing | undefined => {
  const own = Result.getOrElse(given.message.headers, () => Headers.empty)
  const told = Provenance.toHeaders(provenanceOf(given, "full"), own)
  const due = Headers.set(told, retryHeaders.due, String(dueAt))
  const { consumer, stream } = given
  return !carries(told, own) ? undefined : {
    subject,
    payload: given.message.payload,
    headers: Headers.set(due, retryHeaders.replay, String(given.replaySequence)),
    // Whoever has this delivery in hands, and however often: it waits once.
    id: `retry:${stream}:${consumer}:${delivery.stream}:${delivery.streamSequence}:${delivery.timestamp}`,
    expect: { stream: into }
  }
}

/** The same letter without its payload, for a broker that takes no message as large as that. */
export const withoutPayload = (letter: Outgoing): Outgoing => {
  const provenance = Option.getOrThrow(Provenance.fromHeaders(letter.headers))
  return {
    ...letter,
    payload: nothing,
    headers: Provenance.toHeaders({ ...provenance, payload: "reference" }, letter.headers)
  }
}

const provenanceOf = (given: Case, payload: Provenance.Provenance["payload"]): Provenance.Provenance => {
  const { message, replaySequence: _, ...facts } = given
  return {
    ...facts,
    subject: message.subject,
    sequence: message.streamSequence,
    timestamp: message.timestamp,
    payload
  }
}

const carries = (told: Headers.Headers, own: Headers.Headers): boolean =>
  [...Provenance.withoutProvenance(Headers.withoutReserved(own)).keys()].every((name) => told.has(name))

const nothing = new Uint8Array()

/** A function that throws has redacted nothing: then nothing goes. */
const payloadOf = (
  { payload = "full" }: DeadLetterOptions,
  bytes: Uint8Array
): readonly [Provenance.Provenance["payload"], Uint8Array] => {
  if (typeof payload !== "function") {
    return [payload, payload === "full" ? bytes : nothing]
  }
  try {
    return ["redacted", payload(bytes.slice())]
  } catch {
    return ["reference", nothing]
  }
}
