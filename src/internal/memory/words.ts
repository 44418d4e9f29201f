/** What a broker in memory shows of itself, as plain data; `layers/Memory` publishes it. */
import type * as Headers from "../../Headers.ts"

/**
 * A message as the stream keeps it.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredMessage {
  readonly sequence: number
  readonly subject: string
  readonly headers: Headers.Headers
  readonly payload: Uint8Array
  /** When it was stored, in milliseconds. */
  readonly timestamp: number
}

/**
 * A delivery that nobody has answered.
 *
 * - `leased`: somebody has it, until `until`.
 * - `delayed`: it was given back with a delay, until `until`.
 * - `due`: since `until` it waits for a pull.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unanswered {
  readonly sequence: number
  readonly deliveries: number
  readonly state: "leased" | "delayed" | "due"
  /** In milliseconds. */
  readonly until: number
}

interface OfStream {
  readonly stream: string
  /** When it happened, in milliseconds. */
  readonly at: number
}

interface OfConsumer extends OfStream {
  readonly consumer: string
}

interface OfDelivery extends OfConsumer {
  readonly sequence: number
  readonly deliveries: number
}

/**
 * What the broker tells whoever listens, as JetStream does below `$JS.EVENT.ADVISORY`
 * ([ADR-1](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-1.md)). Nothing keeps it.
 *
 * | | JetStream's subject, below `$JS.EVENT.ADVISORY` |
 * | --- | --- |
 * | `StreamCreated`, `StreamDeleted` | `STREAM.CREATED.*`, `STREAM.DELETED.*` |
 * | `ConsumerCreated`, `ConsumerDeleted` | `CONSUMER.CREATED.*.*`, `CONSUMER.DELETED.*.*` |
 * | `MaxDeliveries` | `CONSUMER.MAX_DELIVERIES.*.*` |
 * | `Naked` | `CONSUMER.MSG_NAKED.*.*` |
 * | `Terminated` | `CONSUMER.MSG_TERMINATED.*.*` |
 * | `StreamLeader`, `ConsumerLeader` | `STREAM.LEADER_ELECTED.*`, `CONSUMER.LEADER_ELECTED.*.*` |
 *
 * @category models
 * @since 0.1.0
 */
export type Advisory =
  | ({ readonly _tag: "StreamCreated" | "StreamDeleted" | "StreamLeader" } & OfStream)
  | ({ readonly _tag: "ConsumerCreated" | "ConsumerDeleted" | "ConsumerLeader" } & OfConsumer)
  /** It was delivered as often as the consumer allows, and not answered: it will not come again. */
  | ({ readonly _tag: "MaxDeliveries" } & OfDelivery)
  /** It was given back. */
  | ({ readonly _tag: "Naked"; readonly consumerSequence: number } & OfDelivery)
  /** It will not come again, because a reader said so, or because the stream has it no more. */
  | ({ readonly _tag: "Terminated"; readonly consumerSequence: number; readonly reason: string } & OfDelivery)
