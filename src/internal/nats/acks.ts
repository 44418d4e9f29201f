/**
 * Ack addresses and verdicts as JetStream writes them
 * ([ADR-15](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-15.md)).
 *
 * Version 1: `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>`; version 2 has
 * `<domain>.<account>` in front of the stream, and may have a random token at the end.
 */
import { Delivery } from "../../Message.ts"
import * as Settlement from "../../Settlement.ts"
import type { Answer } from "../remembered.ts"
import { line } from "./frames.ts"
import type { Raw } from "./link.ts"
import { keep } from "./slab.ts"

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

const EMPTY = new Uint8Array(0)
const PREFIX = "$JS.ACK."
/** Dots behind the prefix. */
const V1_DOTS = 6
const V2_DOTS_MIN = 8
const DOT = 46
const ZERO = 48
const NINE = 57

/** Reads an ack address; `undefined` for anything else, which is then not a delivery of ours. */
export const parse = (reply: string): AckAddress | undefined => {
  if (!reply.startsWith(PREFIX)) {
    return undefined
  }
  const tokens = new Tokens(reply, PREFIX.length)
  const dots = tokens.dots
  if (dots !== V1_DOTS && dots < V2_DOTS_MIN) {
    return undefined
  }
  if (dots !== V1_DOTS) {
    tokens.text()
    tokens.text()
  }
  const address = {
    stream: tokens.text(),
    consumer: tokens.text(),
    deliveryCount: tokens.number(),
    streamSequence: tokens.number(),
    consumerSequence: tokens.number(),
    timestamp: tokens.number() / 1e6,
    pending: tokens.number()
  }
  return Number.isSafeInteger(address.streamSequence) && Number.isSafeInteger(address.deliveryCount)
    ? address
    : undefined
}

/** Field by field: there is one for each message, and a spread would cost more than all the rest. */
export const deliveryOf = (raw: Raw, address: AckAddress): Delivery => {
  const bytes = keep(raw.bytes)
  return new Delivery({
    subject: raw.subject,
    payload: raw.headerLength === 0 ? bytes : bytes.subarray(raw.headerLength),
    headerBytes: raw.headerLength === 0 ? EMPTY : bytes.subarray(0, raw.headerLength),
    stream: address.stream,
    consumer: address.consumer,
    streamSequence: address.streamSequence,
    consumerSequence: address.consumerSequence,
    deliveryCount: address.deliveryCount,
    timestamp: address.timestamp,
    pending: address.pending,
    overheadBytes: raw.reply.length
  })
}

/** The verdicts in the order of their entries. The last one asks for an answer there. */
export const lines = (entries: ReadonlyArray<Answer>, termReason: boolean, confirmTo: string): string => {
  const last = entries.length - 1
  let text = ""
  for (let i = 0; i <= last; i++) {
    const { settlement, token } = entries[i]!
    text += line(token, encode(settlement ?? Settlement.ack, termReason), i === last ? confirmTo : undefined)
  }
  return text
}

/** `+WPI`: the work is in progress, start the ack wait anew. */
export const IN_PROGRESS = "+WPI"

// internals

/** Reads one token after the other: each delivery has an address, and splitting it would cost most of what reading does. */
class Tokens {
  readonly #address: string
  #at: number

  constructor(address: string, from: number) {
    this.#address = address
    this.#at = from
  }

  get dots(): number {
    let dots = 0
    for (let at = this.#at; at < this.#address.length; at++) {
      if (this.#address.charCodeAt(at) === DOT) {
        dots++
      }
    }
    return dots
  }

  text(): string {
    const end = this.#address.indexOf(".", this.#at)
    const text = this.#address.slice(this.#at, end)
    this.#at = end + 1
    return text
  }

  number(): number {
    let number = 0
    for (; this.#at < this.#address.length; this.#at++) {
      const code = this.#address.charCodeAt(this.#at)
      if (code === DOT) {
        this.#at++
        break
      }
      number = code < ZERO || code > NINE ? Number.NaN : number * 10 + (code - ZERO)
    }
    return number
  }
}

/** A verdict in the broker's words. The reason of a term is sent where the server reads it (2.11 and newer). */
const encode = (settlement: Settlement.Settlement, termReason: boolean): string => {
  switch (settlement._tag) {
    case "Ack":
      return "+ACK"
    case "Nak":
      return settlement.delayMs > 0 ? `-NAK {"delay": ${Math.round(settlement.delayMs * 1e6)}}` : "-NAK"
    case "Term":
      return termReason && settlement.reason !== "" ? `+TERM ${settlement.reason}` : "+TERM"
  }
}
