/**
 * What the server has written down about a consumer: what it reports, and what it finds again after a restart. In a few
 * cases that is not what the consumer works with: the floor that it reports stays below a message that was given up.
 *
 * As `consumerFileStore` of nats-server does it.
 */

interface Noted {
  readonly consumerSequence: number
  /** Since when its time runs, in ms. */
  since: number
}

export class Ledger {
  /** The highest delivered, in the stream's sequence and in the consumer's. */
  delivered: number
  consumerDelivered = 0
  /** Everything up to here is answered, in both. */
  floor: number
  consumerFloor = 0
  readonly pending = new Map<number, Noted>()
  /** How often a message was delivered again. */
  readonly redelivered = new Map<number, number>()
  readonly #acksAll: boolean
  readonly #maxDeliver: number

  constructor(before: number, options: { readonly acksAll: boolean; readonly maxDeliver: number }) {
    this.delivered = before
    this.floor = before
    this.#acksAll = options.acksAll
    this.#maxDeliver = options.maxDeliver
  }

  /** It was delivered for the `deliveries`-th time, or its time runs anew. */
  noteDelivery(sequence: number, consumerSequence: number, deliveries: number, since: number): void {
    if (consumerSequence <= this.consumerFloor) {
      return
    }
    if (sequence > this.delivered) {
      this.pending.set(sequence, { consumerSequence, since })
      this.delivered = sequence
    } else {
      const known = this.pending.get(sequence)
      if (known !== undefined) {
        known.since = since
      }
    }
    this.consumerDelivered = Math.max(this.consumerDelivered, consumerSequence)
    if (deliveries > 1) {
      if (this.#maxDeliver > 0 && deliveries > this.#maxDeliver) {
        this.pending.delete(sequence)
      }
      this.redelivered.set(sequence, Math.max(this.redelivered.get(sequence) ?? 0, deliveries - 1))
    }
  }

  /** Where nothing is acknowledged, delivered is done. */
  noteUnacknowledged(sequence: number, consumerSequence: number): void {
    this.delivered = Math.max(this.delivered, sequence)
    this.consumerDelivered = consumerSequence
    this.floor = sequence
    this.consumerFloor = consumerSequence
  }

  noteAnswer(sequence: number, consumerSequence: number): void {
    if (consumerSequence <= this.consumerFloor) {
      return
    }
    const noted = this.pending.get(sequence)
    if (noted === undefined) {
      this.redelivered.delete(sequence)
      return
    }
    if (this.#acksAll) {
      this.consumerFloor = consumerSequence
      this.floor = sequence
      for (const covered of this.pending.keys()) {
        if (covered > sequence) {
          break
        }
        this.pending.delete(covered)
        this.redelivered.delete(covered)
      }
      return
    }
    this.pending.delete(sequence)
    this.redelivered.delete(sequence)
    this.#rise(sequence, Math.min(consumerSequence, noted.consumerSequence))
  }

  /** What the consumer works with is written down whole. */
  rewrite(from: {
    readonly delivered: number
    readonly consumerDelivered: number
    readonly floor: number
    readonly consumerFloor: number
    readonly pending: Iterable<readonly [sequence: number, noted: Noted]>
    readonly redelivered: Iterable<readonly [sequence: number, times: number]>
  }): void {
    this.delivered = from.delivered
    this.consumerDelivered = from.consumerDelivered
    this.floor = from.floor
    this.consumerFloor = from.consumerFloor
    refill(this.pending, from.pending)
    refill(this.redelivered, from.redelivered)
  }

  #rise(sequence: number, consumerSequence: number): void {
    if (this.pending.size === 0) {
      this.consumerFloor = this.consumerDelivered
      this.floor = this.delivered
    } else if (consumerSequence === this.consumerFloor + 1) {
      this.consumerFloor = consumerSequence
      this.floor = sequence
      for (let above = sequence + 1; above <= this.delivered; above++) {
        const open = this.pending.get(above)
        if (open !== undefined) {
          this.consumerFloor = open.consumerSequence - 1
          this.floor = above - 1
          break
        }
      }
    }
  }
}

const refill = <K, V>(map: Map<K, V>, entries: Iterable<readonly [K, V]>): void => {
  const all = [...entries]
  map.clear()
  for (const [key, value] of all) {
    map.set(key, value)
  }
}
