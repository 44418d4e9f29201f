/** What a consumer has delivered and nobody has answered: on a lease, given back with a delay, or due once more. */
import { Heap } from "./heap.ts"

export interface Pending {
  readonly sequence: number
  /** Of the first delivery: what the ack floor counts in. */
  readonly consumerSequence: number
  deliveries: number
  state: "leased" | "delayed" | "due"
  /** When the lease or the delay ends, or has ended. */
  deadline: number
  /** How long the last lease was to last, in ms. */
  lease: number
}

/** Leases of the same length: the one that ends first in front. */
type Leases = Map<number, Pending>

export class Unanswered {
  /** How many of them were delivered more than once. */
  redelivered = 0
  readonly #pending = new Map<number, Pending>()
  /** Those on a lease, by its length in ms. There are as many lengths as a backoff list has entries, or one. */
  readonly #leased = new Map<number, Leases>()
  /** Those with a delay, and leftovers: answered since, or delayed again. */
  readonly #delayed = new Heap<Pending>()
  /** To be delivered again, in this order from `#head` on; some may have been answered since. */
  #due: Array<Pending> = []
  #head = 0

  get size(): number {
    return this.#pending.size
  }

  /** All of them, by sequence. */
  get all(): ReadonlyArray<Pending> {
    return [...this.#pending.values()].sort((a, b) => a.sequence - b.sequence)
  }

  get(sequence: number): Pending | undefined {
    return this.#pending.get(sequence)
  }

  /** When the next lease or delay ends. */
  get deadline(): number {
    let deadline = this.#delayed.first
    for (const leases of this.#leased.values()) {
      for (const first of leases.values()) {
        deadline = Math.min(deadline, first.deadline)
        break
      }
    }
    return deadline
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
  delivered(sequence: number, consumerSequence: number): Pending {
    let pending = this.#pending.get(sequence)
    if (pending === undefined) {
      pending = { sequence, consumerSequence, deliveries: 0, state: "due", deadline: 0, lease: 0 }
      this.#pending.set(sequence, pending)
    }
    pending.deliveries++
    this.redelivered += pending.deliveries === 2 ? 1 : 0
    return pending
  }

  /** A lease of so many milliseconds begins now. */
  lease(pending: Pending, now: number, millis: number): void {
    this.#unlease(pending)
    pending.state = "leased"
    pending.deadline = now + millis
    pending.lease = millis
    let leases = this.#leased.get(millis)
    if (leases === undefined) {
      leases = new Map()
      this.#leased.set(millis, leases)
    }
    leases.set(pending.sequence, pending)
  }

  delay(pending: Pending, until: number): void {
    this.#unlease(pending)
    pending.state = "delayed"
    pending.deadline = until
    this.#delayed.push(until, pending)
  }

  /** Puts it at the end of those to be delivered again. */
  repeat(pending: Pending, now: number): void {
    if (pending.state !== "due") {
      this.#unlease(pending)
      pending.state = "due"
      pending.deadline = now
      this.#due.push(pending)
    }
  }

  drop(pending: Pending): void {
    this.#pending.delete(pending.sequence)
    this.#unlease(pending)
    this.redelivered -= pending.deliveries > 1 ? 1 : 0
  }

  /** Those whose lease or delay has ended, by sequence. */
  expired(now: number): ReadonlyArray<Pending> {
    const expired: Array<Pending> = []
    for (const leases of this.#leased.values()) {
      for (const pending of leases.values()) {
        if (pending.deadline > now) {
          break
        }
        expired.push(pending)
      }
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

  #unlease(pending: Pending): void {
    if (pending.state === "leased") {
      this.#leased.get(pending.lease)?.delete(pending.sequence)
    }
  }
}
