/**
 * Under `upTo`: what the broker has delivered and this reader has not seen.
 *
 * An earlier reader may have died with messages in its hands, or a connection with messages on it. The broker delivers
 * them again when their leases are over, and meanwhile goes on with later ones. One ack for a later one would cover them,
 * and nobody would ever see them. So with every connection acks wait, until the broker has said how many messages are
 * unanswered, and so many have come. Some may never come: answered by a reader that had not quite ended, or deleted. So
 * the broker is asked again now and then; and because a server goes on counting some that were deleted, the wait ends when
 * none has come for long.
 */
import type * as Topology from "../Topology.ts"

/** What the broker says about a consumer. */
export interface Standing extends Pick<Topology.ConsumerInfo, "ackFloor" | "ackPending" | "delivered"> {
  /** How long it waits for an answer now, in ms, where somebody may have changed that. */
  readonly leaseMs?: number
}

const ASK_EVERY_MS = 1_000
/** What nobody has seen for so long after its lease, or after the delay of a reader that gave it back, is gone. */
const GONE_MIN_MS = 120_000

export class Unseen {
  /** Whether acks have to wait. */
  waits = true
  readonly #leaseMs: number
  #standing: Standing | undefined
  /** Which of the unanswered ones have come. */
  readonly #seen = new Set<number>()
  #askAt = 0
  #spareAt = 0
  /** When the wait began, or one of them came. */
  #newsAt = 0

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs
  }

  /** A new connection: the broker may have written to the old one what never arrived. */
  connected(now: number): void {
    this.waits = true
    this.#newsAt = now
    this.#standing = undefined
    this.#seen.clear()
    this.#askAt = 0
  }

  /** Whether it is time to ask the broker. */
  asks(now: number): boolean {
    if (!this.waits || now < this.#askAt) {
      return false
    }
    this.#askAt = now + ASK_EVERY_MS
    return true
  }

  /** The broker's answer, and what is held here by now. Whether acks may go out from now on. */
  learned(standing: Standing, held: Iterable<number>): boolean {
    if (!this.waits) {
      return false
    }
    this.#standing = standing
    this.#seen.clear()
    for (const sequence of held) {
      this.#count(sequence)
    }
    return this.#ends()
  }

  /** A delivery came. Whether acks may go out from now on. */
  saw(sequence: number, now: number): boolean {
    if (!this.waits) {
      return false
    }
    const before = this.#seen.size
    this.#count(sequence)
    this.#newsAt = this.#seen.size > before ? now : this.#newsAt
    return this.#ends()
  }

  /** Whether acks may go out from now on, because what has not come by now never will. */
  givesUp(now: number): boolean {
    const isOver = this.waits && this.#standing !== undefined
      && now - this.#newsAt >= Math.max(GONE_MIN_MS, 2 * this.#leaseMs)
    this.waits &&= !isOver
    return isOver
  }

  /**
   * Whether one more may be pulled although everything is full: full, perhaps, of what waits for those that have no
   * room to come. The broker prefers what it delivers again. Where it sends something new instead, none was due.
   */
  isSpare(now: number): boolean {
    return now >= this.#spareAt
  }

  /** Something that has no room is due from now on. */
  due(): void {
    this.#spareAt = 0
  }

  /** More is held than fits. */
  overfull(deliveryCount: number, now: number): void {
    if (deliveryCount === 1) {
      this.#spareAt = now + this.#leaseMs
    }
  }

  #count(sequence: number): void {
    if (this.#standing !== undefined && sequence > this.#standing.ackFloor && sequence <= this.#standing.delivered) {
      this.#seen.add(sequence)
    }
  }

  #ends(): boolean {
    this.waits = this.#standing === undefined || this.#seen.size < this.#standing.ackPending
    return !this.waits
  }
}
