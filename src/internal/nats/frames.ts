/**
 * Messages in the words of the protocol, many in one piece of memory: the client spends more on taking a message in than
 * on sending it.
 *
 * Nothing is checked here: the addresses are the server's, ours, or were checked before.
 */
import { Buffer } from "node:buffer"

/** A message of text, without headers. */
export const line = (subject: string, text: string, reply?: string): string =>
  reply === undefined
    ? `PUB ${subject} ${Buffer.byteLength(text)}\r\n${text}\r\n`
    : `PUB ${subject} ${reply} ${Buffer.byteLength(text)}\r\n${text}\r\n`

/** A header block. Text is cheaper, where there is one. */
export type HeaderBlock = string | Uint8Array

interface Frame {
  /** Up to the payload, or up to a header block in bytes. */
  readonly text: string
  readonly header: Uint8Array
  readonly payload: Uint8Array
}

const EMPTY = new Uint8Array(0)
const CR = 13
const LF = 10
const CRLF_LENGTH = 2
const UTF8_MAX = 3

export class Frames {
  readonly #frames: Array<Frame> = []
  /** At most: to count the bytes of a text costs as much as to write it. */
  #size = 0

  get isEmpty(): boolean {
    return this.#size === 0
  }

  /** The length of the header block is in bytes. */
  add(subject: string, reply: string, header: HeaderBlock, headerLength: number, payload: Uint8Array): void {
    const isText = typeof header === "string"
    const head = `HPUB ${subject} ${reply} ${headerLength} ${headerLength + payload.length}\r\n`
    this.#frames.push({ text: isText ? head + header : head, header: isText ? EMPTY : header, payload })
    this.#size += head.length * UTF8_MAX + headerLength + payload.length + CRLF_LENGTH
  }

  /** All of it, as it goes on the wire. */
  get bytes(): Uint8Array {
    const bytes = Buffer.allocUnsafeSlow(this.#size)
    let at = 0
    for (const { header, payload, text } of this.#frames) {
      at += bytes.write(text, at)
      if (header.length > 0) {
        bytes.set(header, at)
        at += header.length
      }
      bytes.set(payload, at)
      at += payload.length
      bytes[at++] = CR
      bytes[at++] = LF
    }
    return bytes.subarray(0, at)
  }
}
