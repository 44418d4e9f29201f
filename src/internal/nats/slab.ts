import type { Buffer } from "node:buffer"

/** A place for messages of about a size. */
class Slab {
  readonly #bytes: number
  #place = new Uint8Array(0)
  #used = 0

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  copy(data: Buffer, from: number, to: number): Uint8Array {
    if (this.#used + to - from > this.#place.length) {
      this.#place = new Uint8Array(this.#bytes)
      this.#used = 0
    }
    data.copy(this.#place, this.#used, from, to)
    const own = new Uint8Array(this.#place.buffer, this.#used, to - from)
    this.#used += to - from
    return own
  }
}

/** What is kept of one keeps alive at most this much: no message may cost many times what it holds. */
const SMALL_BYTES = 8 * 1024
const LARGE_BYTES = 64 * 1024
const small = new Slab(SMALL_BYTES)
const large = new Slab(LARGE_BYTES)

/**
 * Bytes that may be kept: a small message must not keep the whole chunk of the socket alive that it came in, and a piece of
 * memory for each costs more than what it holds. So those that are a quarter of a place, or less, share one.
 */
export const keep = (data: Buffer, from: number, to: number): Uint8Array => {
  const length = to - from
  if (length * 2 >= data.buffer.byteLength) {
    return new Uint8Array(data.buffer, data.byteOffset + from, length)
  }
  if (length * 4 <= SMALL_BYTES) {
    return small.copy(data, from, to)
  }
  return length * 4 <= LARGE_BYTES ? large.copy(data, from, to) : new Uint8Array(data.subarray(from, to))
}
