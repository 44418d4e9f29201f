/**
 * How messages ended lately (decision 0004): by stream sequence, bounded in count and age, the oldest forgotten first.
 *
 * A ring keeps the order of forgetting. A map alone would do, but finding its first entry again and again means stepping
 * over all the deleted ones.
 */
import type { Delivery } from "../Message.ts"
import type { Settlement } from "../Settlement.ts"

/** A verdict and where it goes. */
export interface Answer {
  /** The address of the newest delivery of this message. */
  readonly token: string
  readonly settlement: Settlement | undefined
}

interface Ended extends Answer {
  token: string
  settlement: Settlement
  timestamp: number
  at: number
}

/** How long the end of a message is remembered, in ms: servers write acks down within a fraction of a second. */
const REMEMBERED_MS = 10_000
/** A server that was restarted repeats what it forgot; nothing is forgotten by age for so long after a new connection. */
const AFTER_RECONNECT_MS = 60_000

export class Remembered {
  readonly #ended = new Map<number, Ended>()
  readonly #order: Array<number> = []
  readonly #countMax: number
  #oldest = 0
  #forgetAfter = 0

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  add(delivery: Delivery, token: string, settlement: Settlement, now: number): void {
    const { streamSequence, timestamp } = delivery
    let ended = this.#ended.get(streamSequence)
    if (ended === undefined) {
      // What is forgotten takes the new one in: there is one for each message, and it lives long enough to be in the way.
      ended = this.#ended.size >= this.#countMax ? this.#forgetOldest() : undefined
      this.#order[(this.#oldest + this.#ended.size) % this.#countMax] = streamSequence
    }
    if (ended === undefined) {
      this.#ended.set(streamSequence, { timestamp, token, settlement, at: now })
      return
    }
    ended.timestamp = timestamp
    ended.token = token
    ended.settlement = settlement
    ended.at = now
    this.#ended.set(streamSequence, ended)
  }

  /**
   * How this message ended, if it did so lately. The timestamp must agree too: a stream that was deleted and made anew
   * uses the same sequences for other messages.
   */
  recall(delivery: Delivery): Settlement | undefined {
    const ended = this.#ended.get(delivery.streamSequence)
    return ended !== undefined && ended.timestamp === delivery.timestamp ? ended.settlement : undefined
  }

  /** What a new connection should hear once more. Copies: what is remembered is used again for others. */
  get answers(): ReadonlyArray<Answer> {
    const told = [...this.#ended.values()].filter(({ token }) => token !== "")
    return told.map(({ settlement, token }) => ({ settlement, token }))
  }

  /** What they were answers to is no more. That they ended is still so. */
  forgetTokens(): void {
    for (const ended of this.#ended.values()) {
      ended.token = ""
    }
  }

  reconnected(now: number): void {
    this.#forgetAfter = now + AFTER_RECONNECT_MS
  }

  /** Forgets what is old. */
  forget(now: number): void {
    while (now >= this.#forgetAfter && this.#ended.size > 0) {
      const oldest = this.#ended.get(this.#order[this.#oldest] as number)
      if (oldest !== undefined && now - oldest.at < REMEMBERED_MS) {
        return
      }
      this.#forgetOldest()
    }
  }

  clear(): void {
    this.#ended.clear()
  }

  #forgetOldest(): Ended | undefined {
    const sequence = this.#order[this.#oldest] as number
    const ended = this.#ended.get(sequence)
    this.#ended.delete(sequence)
    this.#oldest = (this.#oldest + 1) % this.#countMax
    return ended
  }
}
