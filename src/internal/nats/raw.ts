import type { Buffer } from "node:buffer"

/** A message as it came from the socket. What it holds is a part of the socket's bytes: whoever keeps it copies it. */
export class Raw {
  readonly subject: string
  readonly reply: string
  /** Where its header block is, and behind it its payload. */
  readonly bytes: Buffer
  readonly from: number
  readonly payloadFrom: number
  readonly to: number

  constructor(subject: string, reply: string, bytes: Buffer, from: number, headerLength: number, to: number) {
    this.subject = subject
    this.reply = reply
    this.bytes = bytes
    this.from = from
    this.payloadFrom = from + headerLength
    this.to = to
  }

  /** What its subject ends with: which pull, batch or publish of ours it answers. */
  get number(): number {
    return Number(this.subject.slice(this.subject.lastIndexOf(".") + 1))
  }

  get hasHeaders(): boolean {
    return this.payloadFrom > this.from
  }

  get headers(): Uint8Array {
    return this.hasHeaders ? this.bytes.subarray(this.from, this.payloadFrom) : EMPTY
  }

  get payload(): Uint8Array {
    return this.bytes.subarray(this.payloadFrom, this.to)
  }
}

const EMPTY = new Uint8Array(0)
