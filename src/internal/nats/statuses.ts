/** What a server says about a pull, in the headers of a message without a body. */
import type { Owed } from "./pulls.ts"
import type { Raw } from "./raw.ts"

export const HEARTBEAT = 100
export const CONFLICT = 409
export const NO_RESPONDERS = 503

export interface Status {
  readonly code: number
  /** The pull it is about. */
  readonly id: number
  readonly owed: Owed
  /** In heartbeats: the consumer sequence of the last delivery. */
  readonly lastConsumerSequence: number | undefined
}

/** Read as text: there is one for each pull, and of its headers three numbers are of use. */
export const parse = (raw: Raw): Status | undefined => {
  const text = raw.hasHeaders
    ? raw.bytes.toString("latin1", raw.from, Math.min(raw.payloadFrom, raw.from + LENGTH_MAX))
    : ""
  const code = CODE.exec(text)?.[1]
  return code === undefined ? undefined : {
    code: Number(code),
    id: raw.number,
    owed: {
      messages: numberIn(text, "Nats-Pending-Messages"),
      bytes: numberIn(text, "Nats-Pending-Bytes")
    },
    lastConsumerSequence: numberIn(text, "Nats-Last-Consumer")
  }
}

const CODE = /^NATS\/1\.0 ([1-9]\d\d)[ \r]/
const LENGTH_MAX = 4_096

const numberIn = (text: string, name: string): number | undefined => {
  const from = text.indexOf(`\r\n${name}:`)
  const value = from === -1 ? "" : text.slice(from + name.length + 3, text.indexOf("\r", from + 2)).trim()
  const number = value === "" ? Number.NaN : Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}
