/**
 * Finds messages that nobody will get any more and that nobody has given up.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { AckPolicy, Concurrent, Retryable } from "../../AckPolicy.ts"
import type { Delivery } from "../../Message.ts"
import * as Publisher from "../../Publisher.ts"
import * as Reader from "../../Reader.ts"
import * as Topic from "../../Topic.ts"
import type { Transport } from "../../Transport.ts"
import type { Reason, TransportError } from "../../TransportError.ts"
import * as Letters from "../reader/letters.ts"
import { replayOf } from "../reader/replays.ts"
import { readOne } from "./scanning.ts"

export const STREAM = "DLQ_ADVISORIES"

const events = "$JS.EVENT.ADVISORY.CONSUMER"

export const SUBJECTS: ReadonlyArray<string> = [`${events}.MAX_DELIVERIES.>`, `${events}.MSG_TERMINATED.>`]

export interface Options extends Pick<Reader.DeadLetterOptions, "stream" | "prefix" | "payload"> {
  /** The stream of advisories. Default `DLQ_ADVISORIES`. */
  readonly advisories?: string
  /** The durable consumer that reads it; all that watch together share one. Default `dead-letters`. */
  readonly consumer?: string
  /** Only messages of these handlers, each `STREAM/consumer`. Default: of all. */
  readonly handlers?: ReadonlyArray<string>
}

/** No letter could be stored; its advisory comes again. */
class NotStored extends Data.TaggedError("NotStored")<{ readonly reason: Reason }> {}

const Advisory = Schema.Struct({
  type: Schema.String,
  stream: Schema.String,
  consumer: Schema.String,
  stream_seq: Schema.Number,
  deliveries: Schema.Number
})

const topic = Topic.make("advisories", { schema: Advisory })

export const watch = (options: Options): Effect.Effect<
  void,
  TransportError,
  Transport | AckPolicy | Retryable | Concurrent
> => {
  const handlers = options.handlers === undefined ? undefined : new Set(options.handlers)
  return Reader.handle(topic, {
    stream: options.advisories ?? STREAM,
    consumer: options.consumer ?? "dead-letters",
    filters: [],
    lanes: 8,
    maxAttempts: Number.POSITIVE_INFINITY
  }, (advisory, delivery) => {
    const { consumer, stream, type } = advisory
    const isOurs = type.endsWith(".max_deliver") && (handlers === undefined || handlers.has(`${stream}/${consumer}`))
    return isOurs ? bury(advisory, delivery, options) : Effect.void
  })
}

// internals

const bury = (advisory: typeof Advisory.Type, told: Delivery, options: Options) =>
  Effect.gen(function*() {
    const { consumer, deliveries, stream, stream_seq: sequence } = advisory
    const found = yield* readOne(stream, sequence).pipe(
      Effect.catchReason("TransportError", "StreamNotFound", () => Effect.succeedNone)
    )
    const subject = Letters.subjectOf(Letters.prefixOf(options), stream, consumer)
    if (Option.isNone(found) || Result.isFailure(subject)) {
      const why = Option.isNone(found) ? "it is gone from its stream" : "its handler's name is too long for a subject"
      return yield* Effect.logWarning(`a message was delivered too often, and no letter can be made of it: ${why}`, {
        stream,
        consumer,
        sequence
      })
    }
    const message = found.value
    const letter = Letters.letterOf(subject.success, options, {
      stream,
      consumer,
      message,
      kind: "lost",
      reason: "MaxDeliveries",
      detail: "",
      attempts: deliveries,
      firstFailure: told.timestamp,
      lastFailure: told.timestamp,
      ...replayOf(message, message)
    })
    const [receipt] = yield* Publisher.publishRaw([letter])
    const [last] = receipt._tag === "NotSent" && receipt.reason._tag === "PayloadTooLarge" && letter.payload.length > 0
      ? yield* Publisher.publishRaw([Letters.withoutPayload(letter)])
      : [receipt]
    return last._tag === "Confirmed" ? undefined : yield* new NotStored({ reason: last.reason })
  })
