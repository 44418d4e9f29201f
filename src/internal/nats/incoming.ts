/**
 * Takes apart what comes from the socket: messages for who listens here are read here, and everything else is handed to
 * the vendor's client, one whole frame after the other.
 *
 * The client's own parser spends more on a message than all that becomes of it afterwards: it looks at each byte of what is
 * in front of the payload, and makes six objects of it, of which a reader needs two strings (decision 0017).
 *
 * [The protocol](https://docs.nats.io/reference/reference-protocols/nats-protocol):
 * `MSG <subject> <sid> [reply] <size>`, `HMSG <subject> <sid> [reply] <size of headers> <size>`, then so many bytes. All
 * other frames are one line.
 */
import { Buffer } from "node:buffer"
import { Raw } from "./raw.ts"

export type Listener = (message: Raw) => void

/** What the client has to go on with: a frame that is not for anybody here. */
type Pass = (frame: Uint8Array) => void

const LF = 10
const CR = 13
const SPACE = 32
const ZERO = 48
const NINE = 57
const H = 72
const M = 77
const CRLF_LENGTH = 2
const MSG_LENGTH = "MSG ".length
const HMSG_LENGTH = "HMSG ".length
/** No line is longer, and no message: the first word of a server names all servers of its cluster. */
const LINE_MAX = 1024 * 1024
const SIZE_MAX = 64 * 1024 * 1024
const SUBJECT_MAX = 256

export class Incoming {
  readonly #listeners = new Map<number, Listener>()
  readonly #pass: Pass
  /** The beginning of a frame whose end has not come. */
  #parts: Array<Uint8Array> = []
  #have = 0
  /** So much of it is needed to go on; 0 while its first line has no end. */
  #needs = 0
  /** The subject that was read last: most messages of a reader have the one of the message before. */
  readonly #subjectBytes = Buffer.alloc(SUBJECT_MAX)
  #subjectLength = -1
  #subject = ""

  constructor(pass: Pass) {
    this.#pass = pass
  }

  listen(sid: number, listener: Listener): void {
    this.#listeners.set(sid, listener)
  }

  ignore(sid: number): void {
    this.#listeners.delete(sid)
  }

  /** Nobody listens any more. */
  end(): void {
    this.#listeners.clear()
  }

  /** Takes what has come. Throws where it is not the protocol. */
  feed(chunk: Uint8Array): void {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    for (let at = this.#complete(bytes); at < bytes.length;) {
      const length = this.#frame(bytes, at)
      if (length === 0) {
        this.#keep(bytes.subarray(at))
        return
      }
      at += length
    }
  }

  // internals

  #keep(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#have += bytes.length
  }

  /**
   * Goes on with a frame that had begun: first to the end of its line, which says how long it is, then to its own. It is put
   * together when all of it is there: a large message comes in hundreds of pieces. Where the next frame begins.
   */
  #complete(bytes: Buffer): number {
    let at = 0
    while (this.#have > 0 && at < bytes.length) {
      const isLine = this.#needs === 0
      const end = isLine ? bytes.indexOf(LF, at) + 1 : at + this.#needs - this.#have
      const isWhole = isLine ? end > 0 : end <= bytes.length
      const to = isWhole ? end : bytes.length
      this.#keep(bytes.subarray(at, to))
      at = to
      if (!isWhole) {
        this.#checkLine()
        break
      }
      const begun = Buffer.concat(this.#parts, this.#have)
      this.#parts = []
      this.#have = 0
      if (this.#frame(begun, 0) === 0) {
        this.#keep(begun)
      }
    }
    return at
  }

  #checkLine(): void {
    if (this.#needs === 0 && this.#have > LINE_MAX) {
      throw new Error("the server sends a line without an end")
    }
  }

  /** Reads the frame that begins there. Its length; 0 while there is not all of it. */
  #frame(bytes: Buffer, at: number): number {
    const lineEnd = bytes.indexOf(LF, at)
    if (lineEnd === -1) {
      this.#needs = 0
      return 0
    }
    const first = bytes[at]
    return first === M || first === H
      ? this.#message(bytes, at, lineEnd, first === H)
      : this.#other(bytes, at, lineEnd + 1)
  }

  #other(bytes: Buffer, at: number, end: number): number {
    this.#pass(bytes.subarray(at, end))
    return end - at
  }

  /** From both ends of the line: what stands between is the reply, and may be long. */
  #message(bytes: Buffer, at: number, lineEnd: number, hasHeaders: boolean): number {
    const subjectFrom = at + (hasHeaders ? HMSG_LENGTH : MSG_LENGTH)
    let subjectTo = subjectFrom
    while (bytes[subjectTo] !== SPACE && subjectTo < lineEnd) {
      subjectTo++
    }
    let sid = 0
    let sidTo = subjectTo + 1
    for (; bytes[sidTo] !== SPACE && sidTo < lineEnd; sidTo++) {
      sid = sid * 10 + digit(bytes[sidTo])
    }
    const sizeTo = bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd
    const sizeFrom = startOfNumber(bytes, sizeTo)
    const headerTo = sizeFrom - 1
    const headerFrom = hasHeaders ? startOfNumber(bytes, headerTo) : sizeFrom
    const size = number(bytes, sizeFrom, sizeTo)
    const headerLength = hasHeaders ? number(bytes, headerFrom, headerTo) : 0
    // Behind the sid stands the reply, or nothing.
    const replyTo = headerFrom - 1
    if (!(sid > 0 && replyTo >= sidTo && headerLength <= size && size <= SIZE_MAX)) {
      throw new Error(`not a message: ${bytes.toString("latin1", at, Math.min(lineEnd, at + SUBJECT_MAX))}`)
    }
    const from = lineEnd + 1
    const length = from + size + CRLF_LENGTH - at
    if (at + length > bytes.length) {
      this.#needs = length
      return 0
    }
    const listener = this.#listeners.get(sid)
    if (listener === undefined) {
      return this.#other(bytes, at, at + length)
    }
    const reply = replyTo > sidTo ? bytes.toString(undefined, sidTo + 1, replyTo) : ""
    listener(new Raw(this.#subjectOf(bytes, subjectFrom, subjectTo), reply, bytes, from, headerLength, from + size))
    return length
  }

  #subjectOf(bytes: Buffer, from: number, to: number): string {
    const length = to - from
    let same = length === this.#subjectLength ? 0 : -1
    while (same >= 0 && same < length) {
      same = bytes[from + same] === this.#subjectBytes[same] ? same + 1 : -1
    }
    if (same >= 0) {
      return this.#subject
    }
    const subject = bytes.toString(undefined, from, to)
    if (length <= SUBJECT_MAX) {
      bytes.copy(this.#subjectBytes, 0, from, to)
      this.#subjectLength = length
      this.#subject = subject
    }
    return subject
  }
}

// internals

const digit = (code: number | undefined): number =>
  code !== undefined && code >= ZERO && code <= NINE ? code - ZERO : Number.NaN

const startOfNumber = (bytes: Uint8Array, to: number): number => {
  let from = to
  while (from > 0 && bytes[from - 1] !== SPACE && bytes[from - 1] !== LF) {
    from--
  }
  return from
}

const number = (bytes: Uint8Array, from: number, to: number): number => {
  let value = from < to ? 0 : Number.NaN
  for (let at = from; at < to; at++) {
    value = value * 10 + digit(bytes[at])
  }
  return value
}
