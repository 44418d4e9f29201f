/**
 * How far a source without a memory of its own has been read, so that another thread can go on where this one stopped: a
 * durable consumer's place is known to the broker, all others are known only to who reads.
 */
import type { Source } from "../../Transport.ts"
import type { Crossed } from "./packing.ts"

export class Place {
  readonly #source: Source
  /** Beyond everything that has come. */
  #next = 0
  /** What has come and has no verdict, by number. Only what is acknowledged at all. */
  readonly #open = new Map<number, number>()

  constructor(source: Source) {
    this.#source = source
  }

  came(deliveries: ReadonlyArray<Crossed>): void {
    if (this.#source._tag === "durable") {
      return
    }
    for (const { number, streamSequence } of deliveries) {
      this.#next = Math.max(this.#next, streamSequence + 1)
      if (this.#source._tag === "ephemeral" && number > 0) {
        this.#open.set(number, streamSequence)
      }
    }
  }

  settled(number: number): void {
    if (this.#source._tag === "ephemeral") {
      this.#open.delete(number)
    }
  }

  /** The source from where reading goes on. What has come and has no verdict will come again. */
  get rest(): Source {
    if (this.#next === 0) {
      return this.#source
    }
    let sequence = this.#next
    for (const open of this.#open.values()) {
      sequence = Math.min(sequence, open)
    }
    this.#next = sequence
    this.#open.clear()
    return this.#source._tag === "durable" ? this.#source : { ...this.#source, start: { _tag: "sequence", sequence } }
  }
}
