/**
 * What a replay brings: the message as it was, for the handler that failed it.
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Headers from "../../Headers.ts"
import { Delivery } from "../../Message.ts"
import * as Provenance from "../../Provenance.ts"

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

/** Where the replay stands that brought a message, the how many-th it is, and the id that the message had once. */
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
  return {
    replaySequence: delivery.streamSequence,
    replays: (before?.replays ?? 0) + 1,
    messageId: before?.messageId ?? ""
  }
}
