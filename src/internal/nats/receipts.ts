/** Reads publish acks: `{"stream":…,"seq":…,"duplicate":…}` or `{"error":{…}}`. */
import type { Outgoing } from "../../Message.ts"
import type { Receipt } from "../../Transport.ts"
import { Invalid, NoResponders } from "../../TransportError.ts"
import * as Codes from "./codes.ts"
import type { Raw } from "./raw.ts"
import { NO_RESPONDERS, statusOf } from "./requests.ts"

const decoder = new TextDecoder()
const ZERO = 48
const NINE = 57
const BRACE = 125
/** An ack of which nothing but the sequence is its own. */
const PLAIN = /^\{"stream":"[^"\\]*", ?"seq":\d+\}$/

/**
 * Nearly every ack differs from the one before it in the last few digits: what comes before them is compared, and the rest
 * is not parsed.
 */
export class Receipts {
  #stream = ""
  /** `{"stream":"ORDERS", "seq":` */
  #prefix = new Uint8Array(0)

  read(raw: Raw, { subject }: Outgoing): Receipt {
    const sequence = this.#sequenceOf(raw)
    if (sequence > 0) {
      return { _tag: "Confirmed", stream: this.#stream, sequence, duplicate: false }
    }
    if (statusOf(raw) === NO_RESPONDERS) {
      return { _tag: "NotSent", reason: new NoResponders({ subject }) }
    }
    try {
      const text = decoder.decode(raw.payload)
      const ack = JSON.parse(text) as {
        readonly stream?: string
        readonly seq?: number
        readonly duplicate?: boolean
        readonly error?: unknown
      }
      if (Codes.isApiError(ack.error)) {
        return { _tag: "NotSent", reason: Codes.toReason(ack.error, "publish", { subject }) }
      }
      if (typeof ack.stream === "string" && typeof ack.seq === "number") {
        if (PLAIN.test(text)) {
          this.#stream = ack.stream
          this.#prefix = new TextEncoder().encode(text.slice(0, text.lastIndexOf(":") + 1))
        }
        return { _tag: "Confirmed", stream: ack.stream, sequence: ack.seq, duplicate: ack.duplicate === true }
      }
    } catch {
      // Not a publish ack: something else listens on this subject and answered.
    }
    const problem = `publish to "${subject}": the answer is not a stream's`
    const hint = "A service answers on this subject, and no stream stores it."
    return { _tag: "Ambiguous", reason: new Invalid({ what: "publish", problem, hint }) }
  }

  /** The sequence in an ack like the last plain one; 0 for any other. */
  #sequenceOf({ bytes, payloadFrom, to }: Raw): number {
    const prefix = this.#prefix
    const digitsFrom = payloadFrom + prefix.length
    const end = to - 1
    if (prefix.length === 0 || end <= digitsFrom || bytes[end] !== BRACE) {
      return 0
    }
    for (let i = 0; i < prefix.length; i++) {
      if (bytes[payloadFrom + i] !== prefix[i]) {
        return 0
      }
    }
    let sequence = 0
    for (let i = digitsFrom; i < end; i++) {
      const digit = bytes[i]!
      if (digit < ZERO || digit > NINE) {
        return 0
      }
      sequence = sequence * 10 + (digit - ZERO)
    }
    return sequence
  }
}
