/** What a server says about a pull, in the headers of a message without a body. */
import * as Headers from "../../Headers.ts"
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

export const parse = (raw: Raw): Status | undefined => {
  const status = Headers.decodeStatus(raw.headers)
  return status === undefined ? undefined : {
    code: status.code,
    id: raw.number,
    owed: {
      messages: numberIn(status.headers, "Nats-Pending-Messages"),
      bytes: numberIn(status.headers, "Nats-Pending-Bytes")
    },
    lastConsumerSequence: numberIn(status.headers, "Nats-Last-Consumer")
  }
}

const numberIn = (headers: Headers.Headers, name: string): number | undefined => {
  const value = Number(headers.get(name)?.[0] ?? Number.NaN)
  return Number.isSafeInteger(value) ? value : undefined
}
