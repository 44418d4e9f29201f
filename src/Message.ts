/**
 * A message on its way out, and a delivery on its way in.
 *
 * Both are plain: bytes, a subject, headers. Types come in at the two ends (`Topic`), so that nothing between broker
 * and handler has to decode.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Headers from "./Headers.ts"

/**
 * What a publish demands of the stream before it stores the message; see
 * [ADR-8/JetStream headers](https://docs.nats.io/nats-concepts/jetstream/headers).
 *
 * @category models
 * @since 0.1.0
 */
export interface Expectation {
  /** The stream that must store it. */
  readonly stream?: string
  /** The stream's last sequence; 0 for an empty stream. */
  readonly lastSequence?: number
  /** The last sequence of this very subject; 0 if it has none. */
  readonly lastSubjectSequence?: number
}

/**
 * A message to publish.
 *
 * **Example** (What a topic makes of a value)
 *
 * ```ts import.meta.vitest
 * import type * as Message from "effect-sluice/Message"
 * import * as Topic from "effect-sluice/Topic"
 * import * as Result from "effect/Result"
 * import * as Schema from "effect/Schema"
 *
 * const ticks = Topic.make("ticks.{room}", { schema: Schema.Number })
 * const message: Message.Outgoing = Result.getOrThrow(ticks.encode({ room: "attic" }, 21, { id: "t-1" }))
 * message.subject // => "ticks.attic"
 * message.id // => "ticks.{room}:t-1"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Outgoing {
  readonly subject: string
  readonly payload: Uint8Array
  readonly headers: Headers.Headers
  /** The message id (`Nats-Msg-Id`): the broker stores one message per id and dedupe window, per stream. */
  readonly id: string
  readonly expect?: Expectation
}

/**
 * A message as the broker delivered it, once. The same message delivered again is another `Delivery` with the same
 * `streamSequence` and a higher `deliveryCount`.
 *
 * @category models
 * @since 0.1.0
 */
export class Delivery {
  readonly subject: string
  readonly payload: Uint8Array
  readonly stream: string
  readonly consumer: string
  /** The message's place in its stream: what orders messages, and what names them. */
  readonly streamSequence: number
  /** The place of this delivery among the deliveries of the consumer. */
  readonly consumerSequence: number
  /** How often the broker has delivered this message to this consumer, this time included: 1 for the first. */
  readonly deliveryCount: number
  /** When the broker stored it, in milliseconds since 1970. */
  readonly timestamp: number
  /** How many more messages waited for this consumer at that moment. */
  readonly pending: number
  /** What it occupies in memory and on the wire: subject, headers, payload and ack address, in bytes. */
  readonly bytes: number
  readonly #headerBytes: Uint8Array
  #headers: Result.Result<Headers.Headers, Headers.Malformed> | undefined

  constructor(parts: {
    readonly subject: string
    readonly payload: Uint8Array
    readonly headerBytes: Uint8Array
    readonly stream: string
    readonly consumer: string
    readonly streamSequence: number
    readonly consumerSequence: number
    readonly deliveryCount: number
    readonly timestamp: number
    readonly pending: number
    readonly overheadBytes: number
  }) {
    this.subject = parts.subject
    this.payload = parts.payload
    this.stream = parts.stream
    this.consumer = parts.consumer
    this.streamSequence = parts.streamSequence
    this.consumerSequence = parts.consumerSequence
    this.deliveryCount = parts.deliveryCount
    this.timestamp = parts.timestamp
    this.pending = parts.pending
    this.bytes = parts.subject.length + parts.payload.length + parts.headerBytes.length + parts.overheadBytes
    this.#headerBytes = parts.headerBytes
  }

  /** The header block as it travelled, undecoded and unchecked; empty for none. */
  get headerBytes(): Uint8Array {
    return this.#headerBytes
  }

  /**
   * The headers, decoded at the first look: a bad header block is a failure value, never a throw, and costs nothing
   * until somebody asks.
   */
  get headers(): Result.Result<Headers.Headers, Headers.Malformed> {
    return this.#headers ??= Headers.decode(this.#headerBytes)
  }
}
