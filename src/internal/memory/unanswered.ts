/** What a consumer has delivered and nobody has answered: on a lease, given back with a delay, or due once more. */
import { Heap } from "./heap.ts"

export interface Pending {
  readonly sequence: number
  /** Of the first delivery: what the ack floor counts in. */
  readonly consumerSequence: number
  state: "leased" | "delayed" | "due"
  /** Since when its time runs, in ms. */
  since: number
  /** When the lease or the delay ends, or has ended. */
  deadline: number
  /** The leases that it is among. */
  leases: Leases | undefined
}

/** Leases of the same length: the one that ends first in front. */
type Leases = Map<number, Pending>

export class Unanswered {
  readonly #pending = new Map<number, Pending>()
  /** Leases by their length in ms. There are as many lengths as a backoff list has entries, or one. */
  readonly #leased = new Map<number, Leases>()
  /** Those that wait for a moment of their own, and leftovers: answered since, or with another moment. */
  readonly #timed = new Heap<Pending>()
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
    let deadline = this.#timed.first
    for (const leases of this.#leased.values()) {
      for (const first of leases.values()) {
        deadline = Math.min(deadline, first.deadline)
        break
      }
    }
    return deadline
  }

  /** Takes the one that is next to be delivered again. */
  next(): Pending | undefined {
    while (this.#head < this.#due.length) {
      const first = this.#due[this.#head++]!
      if (this.#isDue(first)) {
        return first
      }
    }
    this.#due = []
    this.#head = 0
    return undefined
  }

  /** How many are to be delivered again. */
  get due(): number {
    let count = 0
    for (let index = this.#head; index < this.#due.length; index++) {
      count += this.#isDue(this.#due[index]!) ? 1 : 0
    }
    return count
  }

  /** It is delivered for the first time. */
  add(sequence: number, consumerSequence: number): Pending {
    const pending: Pending = {
      sequence,
      consumerSequence,
      state: "due",
      since: 0,
      deadline: 0,
      leases: undefined
    }
    this.#pending.set(sequence, pending)
    return pending
  }

  /** A lease of so many milliseconds begins now. */
  lease(pending: Pending, now: number, millis: number): void {
    this.#unlease(pending)
    pending.state = "leased"
    pending.since = now
    pending.deadline = now + millis
    let leases = this.#leased.get(millis)
    if (leases === undefined) {
      leases = new Map()
      this.#leased.set(millis, leases)
    }
    leases.set(pending.sequence, pending)
    pending.leases = leases
  }

  /** It is due at a moment of its own. */
  until(pending: Pending, state: "leased" | "delayed", deadline: number): void {
    this.#unlease(pending)
    pending.state = state
    pending.deadline = deadline
    this.#timed.push(deadline, pending)
  }

  /** Puts it at the end of those to be delivered again. */
  repeat(pending: Pending, now: number): void {
    this.#unlease(pending)
    pending.state = "due"
    pending.deadline = now
    this.#due.push(pending)
  }

  drop(pending: Pending): void {
    this.#pending.delete(pending.sequence)
    this.#unlease(pending)
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
    while (this.#timed.first <= now) {
      const at = this.#timed.first
      const pending = this.#timed.pop()!
      const isStill = pending.state !== "due" && pending.leases === undefined && pending.deadline === at
      if (isStill && this.#pending.get(pending.sequence) === pending) {
        expired.push(pending)
      }
    }
    return expired.sort((a, b) => a.sequence - b.sequence)
  }

  /** Nothing is due any more. What was. */
  takeDue(): ReadonlyArray<Pending> {
    const due: Array<Pending> = []
    for (let next = this.next(); next !== undefined; next = this.next()) {
      due.push(next)
    }
    return due
  }

  clear(): void {
    this.#pending.clear()
    this.#leased.clear()
    this.#due = []
    this.#head = 0
  }

  /** Entries of the queue are leftovers once they were answered, delayed, or delivered. */
  #isDue(pending: Pending): boolean {
    return pending.state === "due" && this.#pending.get(pending.sequence) === pending
  }

  #unlease(pending: Pending): void {
    pending.leases?.delete(pending.sequence)
    pending.leases = undefined
  }
}
