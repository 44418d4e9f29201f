/**
 * What the broker was asked for and still owes; never more than there is room for, in messages and bytes (I3).
 *
 * A delivery counts against the capacity from the pull that asks for it until the broker has confirmed its verdict. Acks
 * travel ahead of the pull that they make room for, but brokers read acks and pulls from different queues; only the
 * confirmation proves that the broker counts the message no longer.
 */
import type { InFlight } from "./inflight.ts"

export class Credit {
  #messages = 0
  #bytes = 0
  readonly #capacity: { readonly messages: number; readonly bytes: number }
  readonly #pullBytesMin: number

  constructor(capacity: { readonly messages: number; readonly bytes: number }, pullBytesMin: number) {
    this.#capacity = capacity
    this.#pullBytesMin = pullBytesMin
  }

  /** Whether the broker owes no message. */
  get isSpent(): boolean {
    return this.#messages === 0
  }

  /** A delivery came. */
  spend(bytes: number): void {
    this.returned(1, bytes)
  }

  /** So much will not come, or has come. */
  returned(messages: number, bytes: number): void {
    this.#messages = Math.max(0, this.#messages - messages)
    this.#bytes = Math.max(0, this.#bytes - bytes)
  }

  /** The broker has forgotten what it was asked for. */
  void(): void {
    this.#messages = 0
    this.#bytes = 0
  }

  /**
   * Takes as much credit as there is room for. A quarter of the capacity at least, so that pulls are few; less only if
   * the broker owes nothing.
   */
  take(table: InFlight): { readonly messages: number; readonly bytes: number } | undefined {
    const messages = this.#capacity.messages - table.counted - this.#messages
    const roomBytes = this.#capacity.bytes - table.bytes - this.#bytes
    const worthIt = this.#messages === 0 || messages >= this.#capacity.messages / 4
    if (messages <= 0 || !worthIt || roomBytes < this.#pullBytesMin) {
      return undefined
    }
    // Half of what is left, so that the next pull can go out before this one is used up.
    const bytes = Math.max(this.#pullBytesMin, Math.floor(roomBytes / 2))
    this.#messages += messages
    this.#bytes += bytes
    return { messages, bytes }
  }

  /** One message more than there is room for, if the broker owes nothing. */
  one(): { readonly messages: number; readonly bytes: number } | undefined {
    if (this.#messages > 0) {
      return undefined
    }
    this.#messages = 1
    this.#bytes += this.#pullBytesMin
    return { messages: 1, bytes: this.#pullBytesMin }
  }
}
