/** What a consumer has delivered and nobody has answered: on a lease, given back with a delay, or due once more. */
import { Heap } from "./heap.ts"

export interface Pending {
  readonly sequence: number
  /** Of the first delivery: what the ack floor counts in. */
  readonly consumerSequence: number
  deliveries: number
  state: "leased" | "delayed" | "due"
  /** When the lease or the delay ends. */
  deadline: number
}

export class Unanswered {
  /** How many of them were delivered more than once. */
  redelivered = 0
  readonly #pending = new Map<number, Pending>()
  /** Those on a lease, the one that ends first in front. */
  readonly #leased = new Map<number, Pending>()
  /** Those with a delay, and leftovers: answered since, or delayed again. */
  readonly #delayed = new Heap<Pending>()
  /** To be delivered again, in this order from `#head` on; some may have been answered since. */
  #due: Array<Pending> = []
  #head = 0

  get size(): number {
    return this.#pending.size
  }

  get(sequence: number): Pending | undefined {
    return this.#pending.get(sequence)
  }

  /** When the next lease or delay ends. */
  get deadline(): number {
    for (const first of this.#leased.values()) {
      return Math.min(first.deadline, this.#delayed.first)
    }
    return this.#delayed.first
  }

  /** The one that is next to be delivered again. */
  get next(): Pending | undefined {
    for (; this.#head < this.#due.length; this.#head++) {
      const first = this.#due[this.#head]!
      if (first.state === "due" && this.#pending.get(first.sequence) === first) {
        return first
      }
    }
    if (this.#head > 0) {
      this.#due = []
      this.#head = 0
    }
    return undefined
  }

  /** It was delivered, for the first time or again. */
  delivered(sequence: number, consumerSequence: number, until: number): Pending {
    let pending = this.#pending.get(sequence)
    if (pending === undefined) {
      pending = { sequence, consumerSequence, deliveries: 0, state: "leased", deadline: until }
      this.#pending.set(sequence, pending)
    }
    pending.deliveries++
    this.redelivered += pending.deliveries === 2 ? 1 : 0
    this.lease(pending, until)
    return pending
  }

  lease(pending: Pending, until: number): void {
    pending.state = "leased"
    pending.deadline = until
    this.#leased.delete(pending.sequence)
    this.#leased.set(pending.sequence, pending)
  }

  delay(pending: Pending, until: number): void {
    pending.state = "delayed"
    pending.deadline = until
    this.#leased.delete(pending.sequence)
    this.#delayed.push(until, pending)
  }

  /** Puts it at the end of those to be delivered again. */
  repeat(pending: Pending): void {
    if (pending.state !== "due") {
      pending.state = "due"
      this.#leased.delete(pending.sequence)
      this.#due.push(pending)
    }
  }

  drop(pending: Pending): void {
    this.#pending.delete(pending.sequence)
    this.#leased.delete(pending.sequence)
    this.redelivered -= pending.deliveries > 1 ? 1 : 0
  }

  /** Those whose lease or delay has ended, by sequence. */
  expired(now: number): ReadonlyArray<Pending> {
    const expired: Array<Pending> = []
    for (const pending of this.#leased.values()) {
      if (pending.deadline > now) {
        break
      }
      expired.push(pending)
    }
    while (this.#delayed.first <= now) {
      const at = this.#delayed.first
      const pending = this.#delayed.pop()!
      const isStill = pending.state === "delayed" && pending.deadline === at
      if (isStill && this.#pending.get(pending.sequence) === pending) {
        expired.push(pending)
      }
    }
    return expired.sort((a, b) => a.sequence - b.sequence)
  }

  clear(): void {
    this.#pending.clear()
    this.#leased.clear()
    this.#due = []
    this.#head = 0
    this.redelivered = 0
  }
}
