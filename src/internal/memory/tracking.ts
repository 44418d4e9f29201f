/**
 * What became of a consumer's deliveries: who holds which for how long, what comes again, what was given up, and how far
 * everything is answered. As `consumer.go` of nats-server keeps it.
 */
import type * as Topology from "../../Topology.ts"
import { Ledger } from "./ledger.ts"
import { type Pending, Unanswered } from "./unanswered.ts"

/** Which delivery somebody answers. */
export interface Address {
  readonly sequence: number
  readonly consumerSequence: number
  readonly deliveries: number
}

/** What is told of a delivery. */
export type News =
  | { readonly _tag: "MaxDeliveries"; readonly sequence: number; readonly deliveries: number }
  | ({ readonly _tag: "Naked" } & Address)
  | ({ readonly _tag: "Terminated"; readonly reason: string } & Address)

export interface Options {
  readonly config: Topology.Consumer
  readonly now: () => number
  /** Everything below is delivered, or is passed over. */
  readonly position: () => number
  readonly tell: (news: News) => void
  /** Wakes the consumer at this time. */
  readonly arm: (at: number) => void
}

/** After that a server looks for what has expired after 500 to 1,500 ms, by chance. */
const FIRST_LOOK_MS = 1_000
const DELETED = "Unacknowledged message was deleted"

export class Tracking {
  readonly unanswered = new Unanswered()
  /** How often a message was delivered again. Stays when it is given up, so that its stream keeps it. */
  readonly redelivered = new Map<number, number>()
  readonly ledger: Ledger
  /** Everything up to here is answered: in the stream's sequence, and in this consumer's. */
  floor: number
  #consumerFloor = 0
  #consumerSequence = 0
  readonly #options: Options

  constructor(options: Options) {
    const { ack, maxDeliver } = options.config
    this.#options = options
    this.floor = options.position() - 1
    this.ledger = new Ledger(this.floor, { acksAll: ack === "all", maxDeliver })
  }

  get isFull(): boolean {
    const { ack, maxAckPending } = this.#options.config
    return ack !== "none" && maxAckPending > 0 && this.unanswered.size >= maxAckPending
  }

  deliveriesOf(sequence: number): number {
    return (this.redelivered.get(sequence) ?? 0) + 1
  }

  // deliveries

  /** It goes out, for the first time or again. Gives the address of the delivery. */
  deliver(sequence: number, again: Pending | undefined): Address {
    const consumerSequence = ++this.#consumerSequence
    if (this.#options.config.ack === "none") {
      this.#consumerFloor = consumerSequence
      this.floor = sequence
      this.ledger.noteUnacknowledged(sequence, consumerSequence)
      return { sequence, consumerSequence, deliveries: 1 }
    }
    const deliveries = this.deliveriesOf(sequence)
    const pending = again ?? this.unanswered.add(sequence, consumerSequence)
    this.#lease(pending)
    this.ledger.noteDelivery(sequence, consumerSequence, deliveries, pending.since)
    return { sequence, consumerSequence, deliveries }
  }

  /** What is due again. A message that was delivered often enough is given up when its turn comes, not before. */
  again(): Pending | undefined {
    for (let pending = this.unanswered.next(); pending !== undefined; pending = this.unanswered.next()) {
      const { consumerSequence, sequence } = pending
      const times = (this.redelivered.get(sequence) ?? 0) + 1
      this.redelivered.set(sequence, times)
      const { maxDeliver } = this.#options.config
      if (maxDeliver <= 0 || times < maxDeliver) {
        return pending
      }
      if (times === maxDeliver) {
        this.#options.tell({ _tag: "MaxDeliveries", sequence, deliveries: times })
      }
      this.unanswered.drop(pending)
      this.ledger.noteDelivery(sequence, consumerSequence, times + 1, pending.since)
      this.#moveFloor(sequence, consumerSequence)
    }
    return undefined
  }

  /** Nobody could take it: then it is the last in the queue. */
  takeBack(pending: Pending): void {
    const times = (this.redelivered.get(pending.sequence) ?? 1) - 1
    if (times > 0) {
      this.redelivered.set(pending.sequence, times)
    } else {
      this.redelivered.delete(pending.sequence)
    }
    this.unanswered.repeat(pending, pending.deadline)
  }

  // answers

  /** A message is done, whoever says so. Whether it was open. */
  answer(sequence: number, consumerSequence: number): boolean {
    const pending = this.unanswered.get(sequence)
    if (pending !== undefined) {
      this.unanswered.drop(pending)
      this.#moveFloor(sequence, pending.consumerSequence)
    }
    this.redelivered.delete(sequence)
    this.ledger.noteAnswer(sequence, pending?.consumerSequence ?? consumerSequence)
    return pending !== undefined
  }

  /** Everything up to a message is done. Which of them were open. */
  answerUpTo(sequence: number, consumerSequence: number): ReadonlyArray<number> {
    if (consumerSequence <= this.#consumerFloor || sequence <= this.floor) {
      return []
    }
    const before = this.floor
    this.#consumerFloor = consumerSequence
    this.floor = sequence
    const covered: Array<number> = []
    for (let below = before + 1; below <= sequence; below++) {
      const pending = this.unanswered.get(below)
      if (pending !== undefined) {
        this.unanswered.drop(pending)
        this.redelivered.delete(below)
        covered.push(below)
      }
    }
    this.ledger.noteAnswer(sequence, consumerSequence)
    return covered
  }

  /** Whether it is due at once. */
  nak({ consumerSequence, deliveries, sequence }: Address, delayMs: number): boolean {
    const pending = this.unanswered.get(sequence)
    const isOutOfRange = consumerSequence <= this.#consumerFloor || consumerSequence > this.#consumerSequence + 1
    if (pending === undefined || isOutOfRange) {
      return false
    }
    const now = this.#options.now()
    this.#options.tell({ _tag: "Naked", sequence, consumerSequence, deliveries })
    if (delayMs > 0) {
      // The server sets the clock back by the first deadline, whichever of a backoff list it is at.
      pending.since = now + delayMs - this.#options.config.ackWaitMs
      this.ledger.noteDelivery(sequence, consumerSequence, deliveries, pending.since)
      this.unanswered.until(pending, "delayed", Math.max(now, pending.since + this.#waitFor(sequence)))
      this.#options.arm(pending.deadline)
      return false
    }
    if (pending.state !== "due") {
      this.unanswered.repeat(pending, now)
    }
    return true
  }

  /** The lease starts anew. What is due comes again all the same. */
  extend(sequence: number): void {
    const pending = this.unanswered.get(sequence)
    if (pending === undefined) {
      return
    }
    if (pending.state === "due") {
      pending.since = this.#options.now()
    } else {
      this.#lease(pending)
    }
    this.ledger.noteDelivery(sequence, pending.consumerSequence, 1, pending.since)
  }

  /** The stream has removed a message. If it was open, the others that count as done with it. */
  removed(sequence: number): ReadonlyArray<number> | undefined {
    const pending = this.unanswered.get(sequence)
    if (pending === undefined) {
      this.redelivered.delete(sequence)
      this.ledger.redelivered.delete(sequence)
      return undefined
    }
    const { consumerSequence } = pending
    // The server leaves out the first delivery here, once there are more.
    const deliveries = this.redelivered.get(sequence) ?? 1
    const covered = this.#answerFor(sequence, consumerSequence)
    this.#options.tell({ _tag: "Terminated", sequence, consumerSequence, deliveries, reason: DELETED })
    return covered
  }

  // time

  /** Leases and delays have ended. */
  expire(now: number): void {
    for (const pending of this.unanswered.expired(now)) {
      if (!this.#givesUp(pending)) {
        pending.since = now
        this.unanswered.repeat(pending, now)
      }
    }
    if (this.unanswered.size === 0 && this.#options.config.ack !== "none") {
      this.#raiseFloorToEnd()
    }
    this.#options.arm(this.unanswered.deadline)
  }

  /** Everything below `next` is gone, and what `isGone` says. What was due waits for its lease to end. */
  skipTo(next: number, isGone: (sequence: number) => boolean): void {
    if (this.floor < next) {
      this.floor = next - 1
      for (const pending of this.unanswered.all) {
        if (pending.sequence < next || isGone(pending.sequence)) {
          this.#consumerFloor = Math.max(this.#consumerFloor, pending.consumerSequence)
          this.unanswered.drop(pending)
          this.redelivered.delete(pending.sequence)
        }
      }
    }
    if (this.unanswered.size === 0) {
      this.redelivered.clear()
      this.#raiseFloorToEnd()
    }
    for (const pending of this.unanswered.takeDue()) {
      this.unanswered.until(pending, "leased", pending.since + this.#waitFor(pending.sequence))
    }
    this.#options.arm(this.unanswered.deadline)
    this.ledger.rewrite({
      delivered: this.#options.position() - 1,
      consumerDelivered: this.#consumerSequence,
      floor: this.floor,
      consumerFloor: this.#consumerFloor,
      pending: this.unanswered.all.map((one) => [one.sequence, one]),
      redelivered: this.redelivered
    })
  }

  /**
   * The server was restarted, or there is another leader: what the ledger says is true again. Nothing is due, because that
   * was not written down; what has expired meanwhile is found a little later.
   */
  restore(): void {
    const { consumerDelivered, consumerFloor, floor, pending, redelivered } = this.ledger
    this.#consumerSequence = consumerDelivered
    this.floor = floor
    this.#consumerFloor = consumerFloor
    this.unanswered.clear()
    this.redelivered.clear()
    for (const [sequence, times] of redelivered) {
      this.redelivered.set(sequence, times)
    }
    const firstLook = this.#options.now() + Math.min(FIRST_LOOK_MS, this.#options.config.ackWaitMs)
    for (const [sequence, { consumerSequence, since }] of pending) {
      const restored = this.unanswered.add(sequence, consumerSequence)
      restored.since = since
      this.unanswered.until(restored, "leased", Math.max(firstLook, since + this.#waitFor(sequence)))
    }
    this.#options.arm(this.unanswered.deadline)
  }

  // internals

  /** As if the reader had said so: where one ack is for a prefix, it is so here as well. */
  #answerFor(sequence: number, consumerSequence: number): ReadonlyArray<number> {
    if (this.#options.config.ack === "all") {
      return this.answerUpTo(sequence, consumerSequence)
    }
    this.answer(sequence, consumerSequence)
    return []
  }

  #lease(pending: Pending): void {
    this.unanswered.lease(pending, this.#options.now(), this.#waitFor(pending.sequence))
    this.#options.arm(pending.deadline)
  }

  /** How long it may stay unanswered; with a backoff list it depends on the deliveries. */
  #waitFor(sequence: number): number {
    const { ackWaitMs, backoffMs } = this.#options.config
    return backoffMs[Math.min(this.redelivered.get(sequence) ?? 0, backoffMs.length - 1)] ?? ackWaitMs
  }

  /**
   * When its lease ends, a message that comes only once is given up. Of more deliveries than one the server counts one
   * too few here, and gives up when its turn comes.
   */
  #givesUp(pending: Pending): boolean {
    const { consumerSequence, sequence } = pending
    const counted = Math.max(1, this.redelivered.get(sequence) ?? 0)
    const { maxDeliver } = this.#options.config
    if (maxDeliver <= 0 || counted < maxDeliver) {
      return false
    }
    if (counted === maxDeliver) {
      this.#options.tell({ _tag: "MaxDeliveries", sequence, deliveries: counted })
    }
    this.unanswered.drop(pending)
    this.ledger.noteDelivery(sequence, consumerSequence, counted + 1, pending.since)
    this.redelivered.set(sequence, counted)
    return true
  }

  /** The floor rises to just below the lowest that is open. */
  #moveFloor(sequence: number, consumerSequence: number): void {
    if (this.unanswered.size === 0) {
      this.#raiseFloorToEnd()
    } else if (consumerSequence === this.#consumerFloor + 1) {
      this.#consumerFloor = consumerSequence
      this.floor = sequence
      for (let above = sequence + 1; above < this.#options.position(); above++) {
        const open = this.unanswered.get(above)
        if (open !== undefined) {
          this.#consumerFloor = open.consumerSequence - 1
          this.floor = above - 1
          break
        }
      }
    }
  }

  #raiseFloorToEnd(): void {
    this.#consumerFloor = this.#consumerSequence
    this.floor = this.#options.position() - 1
  }
}
