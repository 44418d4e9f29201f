/**
 * Ack addresses and verdicts as JetStream writes them
 * ([ADR-15](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-15.md)).
 *
 * Version 1: `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>`; version 2 has
 * `<domain>.<account>` in front of the stream, and may have a random token at the end.
 */
import type { Settlement } from "../../Settlement.ts"

export interface AckAddress {
  readonly stream: string
  readonly consumer: string
  readonly deliveryCount: number
  readonly streamSequence: number
  readonly consumerSequence: number
  /** Milliseconds, with the nanoseconds as a fraction as far as a number holds them. */
  readonly timestamp: number
  readonly pending: number
}

const V1_TOKENS = 9
const V2_TOKENS_MIN = 11

/** Reads an ack address; `undefined` for anything else, which is then not a delivery of ours. */
export const parse = (reply: string): AckAddress | undefined => {
  if (!reply.startsWith("$JS.ACK.")) {
    return undefined
  }
  const tokens = reply.split(".")
  const at = tokens.length === V1_TOKENS ? 2 : tokens.length >= V2_TOKENS_MIN ? 4 : 0
  if (at === 0) {
    return undefined
  }
  const address = {
    stream: tokens[at] as string,
    consumer: tokens[at + 1] as string,
    deliveryCount: Number(tokens[at + 2]),
    streamSequence: Number(tokens[at + 3]),
    consumerSequence: Number(tokens[at + 4]),
    timestamp: Number(tokens[at + 5]) / 1e6,
    pending: Number(tokens[at + 6])
  }
  return Number.isSafeInteger(address.streamSequence) && Number.isSafeInteger(address.deliveryCount)
    ? address
    : undefined
}

const encoder = new TextEncoder()
const ACK = encoder.encode("+ACK")
const NAK = encoder.encode("-NAK")
const TERM = encoder.encode("+TERM")

/** `+WPI`: the work is in progress, start the ack wait anew. */
export const IN_PROGRESS: Uint8Array = encoder.encode("+WPI")

/** A verdict in the broker's words. The reason of a term is sent where the server reads it (2.11 and newer). */
export const encode = (settlement: Settlement, termReason: boolean): Uint8Array => {
  switch (settlement._tag) {
    case "Ack":
      return ACK
    case "Nak":
      return settlement.delayMs > 0
        ? encoder.encode(`-NAK {"delay": ${Math.round(settlement.delayMs * 1e6)}}`)
        : NAK
    case "Term":
      return termReason && settlement.reason !== "" ? encoder.encode(`+TERM ${settlement.reason}`) : TERM
  }
}
