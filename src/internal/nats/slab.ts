/** A place for small messages. */
const SLAB_BYTES = 8 * 1024
let slab = new Uint8Array(SLAB_BYTES)
let used = 0

/**
 * Bytes that may be kept: a small message must not keep the whole chunk of the socket alive that it came in, and a piece of
 * memory for each costs more than what it holds. So small ones share one.
 */
export const keep = (data: Uint8Array): Uint8Array => {
  const { length } = data
  if (length * 2 >= data.buffer.byteLength) {
    return new Uint8Array(data.buffer, data.byteOffset, length)
  }
  if (length * 4 > SLAB_BYTES) {
    return new Uint8Array(data)
  }
  if (used + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES)
    used = 0
  }
  slab.set(data, used)
  const own = new Uint8Array(slab.buffer, used, length)
  used += length
  return own
}
