/**
 * How messages ended lately (decision 0004): by stream sequence, bounded in count and age, the oldest forgotten first.
 *
 * A ring keeps the order of forgetting, and what is forgotten takes the next one in: there is one for each message, and it lives
 * long enough to be in the way.
 */
import type { Delivery } from "../Message.ts"
import type { Settlement } from "../Settlement.ts"
import { Sequences } from "./sequences.ts"

/** A verdict and where it goes. */
export interface Answer {
  /** The address of the newest delivery of this message. */
  readonly token: string
  readonly settlement: Settlement | undefined
}

interface Ended extends Answer {
  sequence: number
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
  readonly #ended = new Sequences<Ended>()
  readonly #order: Array<Ended> = []
  readonly #countMax: number
  #oldest = 0
  #forgetAfter = 0

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  add({ streamSequence: sequence, timestamp }: Delivery, token: string, settlement: Settlement, now: number): void {
    const known = this.#ended.get(sequence)
    if (known === undefined && this.#ended.size < this.#countMax) {
      this.#remember({ sequence, timestamp, token, settlement, at: now })
      return
    }
    const ended = known ?? this.#forgetOldest()
    ended.sequence = sequence
    ended.timestamp = timestamp
    ended.token = token
    ended.settlement = settlement
    ended.at = now
    if (known === undefined) {
      this.#remember(ended)
    }
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
    const told = this.#inOrder.filter(({ token }) => token !== "")
    return told.map(({ settlement, token }) => ({ settlement, token }))
  }

  /** What they were answers to is no more. That they ended is still so. */
  forgetTokens(): void {
    for (const ended of this.#ended.all) {
      ended.token = ""
    }
  }

  reconnected(now: number): void {
    this.#forgetAfter = now + AFTER_RECONNECT_MS
  }

  /** Forgets what is old. */
  forget(now: number): void {
    while (now >= this.#forgetAfter && this.#ended.size > 0) {
      if (now - this.#order[this.#oldest]!.at < REMEMBERED_MS) {
        return
      }
      this.#forgetOldest()
    }
  }

  clear(): void {
    this.#ended.clear()
  }

  /** The oldest first. */
  get #inOrder(): Array<Ended> {
    return Array.from({ length: this.#ended.size }, (_, after) => this.#order[(this.#oldest + after) % this.#countMax]!)
  }

  #remember(ended: Ended): void {
    this.#order[(this.#oldest + this.#ended.size) % this.#countMax] = ended
    this.#ended.set(ended.sequence, ended)
  }

  #forgetOldest(): Ended {
    const ended = this.#order[this.#oldest]!
    this.#ended.delete(ended.sequence)
    this.#oldest = (this.#oldest + 1) % this.#countMax
    return ended
  }
}
