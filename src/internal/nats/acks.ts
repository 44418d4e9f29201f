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
import type { Raw } from "./raw.ts"
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
/** Behind the prefix. */
const V1_TOKENS = 7
const V2_TOKENS_MIN = 9
const ACK = "+ACK"
const ACK_END = ` ${ACK.length}\r\n${ACK}\r\n`
const DOT = 46
const ZERO = 48
const NINE = 57

/** Whether a message is a delivery of some consumer. */
export const isAddress = (reply: string): boolean => reply.startsWith(PREFIX)

/**
 * Reads ack addresses of one consumer, and has the fields of the last one that it read. There is one for each message, and
 * all of them begin alike: that is looked at once, and what follows is read without taking it apart first.
 */
export class AddressReader implements AckAddress {
  stream = ""
  consumer = ""
  deliveryCount = 0
  streamSequence = 0
  consumerSequence = 0
  timestamp = 0
  pending = 0
  #alike = ""
  #address = ""
  #at = 0

  /** Whether it is an address of this consumer. */
  read(address: string, stream: string, consumer: string): boolean {
    if (this.consumer !== consumer || this.#alike === "" || !address.startsWith(this.#alike)) {
      const alike = beginning(address, stream, consumer)
      if (alike === undefined) {
        return false
      }
      this.#alike = alike
      this.stream = stream
      this.consumer = consumer
    }
    this.#address = address
    this.#at = this.#alike.length
    this.deliveryCount = this.#number()
    this.streamSequence = this.#number()
    this.consumerSequence = this.#number()
    this.timestamp = this.#number() / 1e6
    this.pending = this.#number()
    return Number.isSafeInteger(this.streamSequence) && Number.isSafeInteger(this.deliveryCount)
  }

  #number(): number {
    const address = this.#address
    let number = 0
    let at = this.#at
    for (; at < address.length; at++) {
      const code = address.charCodeAt(at)
      if (code === DOT) {
        at++
        break
      }
      number = code < ZERO || code > NINE ? Number.NaN : number * 10 + (code - ZERO)
    }
    this.#at = at
    return number
  }
}

/** Field by field: there is one for each message, and a spread would cost more than all the rest. */
export const deliveryOf = (raw: Raw, address: AckAddress): Delivery => {
  const bytes = keep(raw.bytes, raw.from, raw.to)
  const headerLength = raw.payloadFrom - raw.from
  return new Delivery({
    subject: raw.subject,
    payload: headerLength === 0 ? bytes : bytes.subarray(headerLength),
    headerBytes: headerLength === 0 ? EMPTY : bytes.subarray(0, headerLength),
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
  const words: Array<string> = []
  for (let i = 0; i <= last; i++) {
    const { settlement, token } = entries[i]!
    if (settlement?._tag === "Ack" && i < last) {
      words.push("PUB ", token, ACK_END)
    } else {
      words.push(line(token, encode(settlement ?? Settlement.ack, termReason), i === last ? confirmTo : undefined))
    }
  }
  // Not one to the other: each step would make a string of its own.
  return words.join("")
}

/** `+WPI`: the work is in progress, start the ack wait anew. The last one asks for an answer there. */
export const renewals = (entries: ReadonlyArray<Answer>, confirmTo: string): string => {
  const last = entries.length - 1
  return entries.map(({ token }, i) => line(token, "+WPI", i === last ? confirmTo : undefined)).join("")
}

// internals

/** What all addresses of this consumer begin with, if this is one of them. */
const beginning = (address: string, stream: string, consumer: string): string | undefined => {
  if (!isAddress(address)) {
    return undefined
  }
  const tokens = address.slice(PREFIX.length).split(".")
  const before = tokens.length === V1_TOKENS ? 0 : 2
  const isOurs = (before === 0 || tokens.length >= V2_TOKENS_MIN)
    && tokens[before] === stream && tokens[before + 1] === consumer
  return isOurs ? `${PREFIX}${tokens.slice(0, before + 2).join(".")}.` : undefined
}

/** A verdict in the broker's words. The reason of a term is sent where the server reads it (2.11 and newer). */
const encode = (settlement: Settlement.Settlement, termReason: boolean): string => {
  switch (settlement._tag) {
    case "Ack":
      return ACK
    case "Nak":
      return settlement.delayMs > 0 ? `-NAK {"delay": ${Math.round(settlement.delayMs * 1e6)}}` : "-NAK"
    case "Term":
      return termReason && settlement.reason !== "" ? `+TERM ${settlement.reason}` : "+TERM"
  }
}
