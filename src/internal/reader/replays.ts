/**
 * What a replay brings: the message as it was, for the handler that failed it.
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Headers from "../../Headers.ts"
import { Delivery } from "../../Message.ts"
import * as Provenance from "../../Provenance.ts"
import { retryHeaders } from "./letters.ts"

/** The message that a replay carries; whatever else comes that way is left as it is, and will not decode. */
export const messageOf = (delivery: Delivery): Delivery => {
  const headers = Result.getOrElse(delivery.headers, () => Headers.empty)
  const provenance = Option.getOrUndefined(Provenance.fromHeaders(headers))
  return provenance === undefined ? delivery : new Delivery({
    subject: provenance.subject,
    payload: delivery.payload,
    headerBytes: Headers.encode(Provenance.withoutProvenance(Headers.withoutReserved(headers))),
    stream: provenance.stream,
    consumer: provenance.consumer,
    streamSequence: provenance.sequence,
    consumerSequence: delivery.consumerSequence,
    deliveryCount: delivery.deliveryCount,
    timestamp: provenance.timestamp,
    pending: delivery.pending,
    overheadBytes: 0
  })
}

/** Where the replay stands that brought a message, the how many-th it is, and what is known of it from before. */
export const replayOf = (delivery: Delivery, message: Delivery): {
  readonly replaySequence: number
  readonly replays: number
  readonly messageId: string
} => {
  const headers = Result.getOrElse(delivery.headers, () => Headers.empty)
  if (delivery === message) {
    const messageId = Option.getOrElse(Headers.get(headers, "Nats-Msg-Id"), () => "")
    return { replaySequence: 0, replays: 0, messageId }
  }
  const before = Option.getOrUndefined(Provenance.fromHeaders(headers))
  const [replays, messageId] = [before?.replays ?? 0, before?.messageId ?? ""]
  const waited = waitedOf(delivery)
  return waited === undefined
    ? { replaySequence: delivery.streamSequence, replays: replays + 1, messageId }
    : { replaySequence: waited.replaySequence, replays, messageId }
}

/** What a message brings from the retry stream; nothing for any other. */
export const waitedOf = (delivery: Delivery): {
  readonly dueAt: number
  readonly replaySequence: number
  readonly attempts: number
  readonly firstFailure: number
} | undefined => {
  const headers = Result.getOrElse(delivery.headers, () => Headers.empty)
  const due = Headers.get(headers, retryHeaders.due)
  const before = Option.getOrUndefined(Provenance.fromHeaders(headers))
  return Option.isNone(due) || before === undefined ? undefined : {
    dueAt: wholeOf(due.value),
    replaySequence: wholeOf(Option.getOrElse(Headers.get(headers, retryHeaders.replay), () => "0")),
    attempts: before.attempts,
    firstFailure: before.firstFailure
  }
}

const wholeOf = (text: string): number => {
  const value = Number(text)
  return Number.isSafeInteger(value) && value >= 0 ? value : 0
}
