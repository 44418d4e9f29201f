/** What every layer does with a message before it goes out: checks it, and encodes its headers. */
import { Buffer } from "node:buffer"
import * as Headers from "../Headers.ts"
import type { Outgoing } from "../Message.ts"
import { Invalid, PayloadTooLarge, type Reason } from "../TransportError.ts"

/** The header block is text where nobody has put anything into it. */
type Prepared =
  | { readonly header: string | Uint8Array; readonly headerLength: number; readonly bytes: number }
  | { readonly reason: Reason }

const UNSAFE = /[\s\0*>]/
const CONTROL = /[\r\n\0]/
const SUBJECT_MAX = 255

/** Encodes the headers and checks what a server would close the whole connection for. */
export const prepare = (message: Outgoing, maxPayload: number): Prepared => {
  const { subject } = message
  if (subject.length === 0 || subject.length > SUBJECT_MAX || UNSAFE.test(subject) || CONTROL.test(message.id)) {
    const problem = "the subject or the message id has characters that must not go on the wire, or is too long"
    return { reason: new Invalid({ what: "publish", problem, hint: "Build subjects with Subject or Topic." }) }
  }
  const header = encodeHeaders(message)
  const headerLength = typeof header === "string" ? Buffer.byteLength(header) : header.length
  const bytes = headerLength + message.payload.length
  return bytes > maxPayload
    ? { reason: new PayloadTooLarge({ subject, bytes, limit: maxPayload }) }
    : { header, headerLength, bytes: bytes + subject.length }
}

// internals

/** The message id and what is expected of the stream are among the headers. */
const encodeHeaders = ({ expect, headers, id }: Outgoing): string | Uint8Array => {
  if (headers.size === 0 && expect === undefined) {
    // By far the most common case, and the caller has checked the id.
    return `NATS/1.0\r\nNats-Msg-Id: ${id}\r\n\r\n`
  }
  let all = Headers.set(headers, "Nats-Msg-Id", id)
  if (expect?.stream !== undefined) {
    all = Headers.set(all, "Nats-Expected-Stream", expect.stream)
  }
  if (expect?.lastSequence !== undefined) {
    all = Headers.set(all, "Nats-Expected-Last-Sequence", String(expect.lastSequence))
  }
  if (expect?.lastSubjectSequence !== undefined) {
    all = Headers.set(all, "Nats-Expected-Last-Subject-Sequence", String(expect.lastSubjectSequence))
  }
  return Headers.encode(all)
}
