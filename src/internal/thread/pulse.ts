/**
 * The sign of life of the application's thread: a counter in shared memory that its event loop moves on. Whoever blocks the
 * event loop stops it.
 */

export const BEAT_MS = 100
/** So long without a beat, and the thread counts as blocked. */
export const BLOCKED_AFTER_MS = 1_000

/** Beats until the returned function is called. It does not keep the process alive. */
export const beat = (memory: SharedArrayBuffer): () => void => {
  const counter = new Int32Array(memory)
  const timer = setInterval(() => Atomics.add(counter, 0, 1), BEAT_MS)
  timer.unref()
  return () => clearInterval(timer)
}

export const allocatePulse = (): SharedArrayBuffer => new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)

/** Feels the pulse, from the other thread. */
export class Pulse {
  readonly #counter: Int32Array
  #last = 0
  #at: number

  constructor(memory: SharedArrayBuffer, now: number) {
    this.#counter = new Int32Array(memory)
    this.#at = now
  }

  /** For how long the thread has not beaten, in ms. */
  silence(now: number): number {
    const count = Atomics.load(this.#counter, 0)
    if (count !== this.#last) {
      this.#last = count
      this.#at = now
    }
    return now - this.#at
  }
}
