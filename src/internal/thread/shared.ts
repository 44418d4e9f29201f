/**
 * The memory of one inlet that both threads see, without a message: a thread that was busy for a minute must know at once
 * which of its deliveries are lost, before it reads the first message of its port.
 */
import type { Ledger } from "../../Transport.ts"

/** Memory that both sides see. */
export interface SharedMemory {
  readonly ledger: SharedArrayBuffer
  /** Of each place: whether the lease of what is there has run out, and how often a handler has begun or ended there. */
  readonly lost: SharedArrayBuffer
  readonly runs: SharedArrayBuffer
}

export const NOTHING: Ledger = {
  delivered: 0,
  settled: 0,
  displaced: 0,
  returned: 0,
  lost: 0,
  swallowed: 0,
  unconfirmed: 0,
  held: 0
}

const FIELDS = Object.keys(NOTHING) as ReadonlyArray<keyof Ledger>

export const sum = (a: Ledger, b: Ledger): Ledger => {
  const ledger: Record<string, number> = {}
  for (const field of FIELDS) {
    ledger[field] = a[field] + b[field]
  }
  return ledger as unknown as Ledger
}

/** More than any reader has in its hands at once, also of what it lost and has not noticed. */
const PLACES_SPARE = 1_024

/** Room for an inlet that holds so many deliveries at most. */
export const allocate = (messages: number): SharedMemory => ({
  ledger: new SharedArrayBuffer(FIELDS.length * Float64Array.BYTES_PER_ELEMENT),
  lost: new SharedArrayBuffer(messages * 2 + PLACES_SPARE),
  runs: new SharedArrayBuffer(messages * 2 + PLACES_SPARE)
})

export class Shared {
  readonly #ledger: Float64Array
  readonly #lost: Uint8Array
  readonly #runs: Uint8Array

  constructor(memory: SharedMemory) {
    this.#runs = new Uint8Array(memory.runs)
    this.#ledger = new Float64Array(memory.ledger)
    this.#lost = new Uint8Array(memory.lost)
  }

  /** Only the I/O thread writes. */
  set ledger(ledger: Ledger) {
    for (let index = 0; index < FIELDS.length; index++) {
      this.#ledger[index] = ledger[FIELDS[index]!]
    }
  }

  get ledger(): Ledger {
    const ledger: Record<string, number> = {}
    for (let index = 0; index < FIELDS.length; index++) {
      ledger[FIELDS[index]!] = this.#ledger[index]!
    }
    return ledger as unknown as Ledger
  }

  /** Whether the lease of the delivery at a place has run out. */
  isLost(place: number): boolean {
    return place >= 0 && place < this.#lost.length && Atomics.load(this.#lost, place) === 1
  }

  /** Only the application writes: it counts on, to an odd number where a handler begins, and to an even one where it ends. */
  setRuns(place: number, isRunning: boolean): void {
    if (place >= 0 && place < this.#runs.length) {
      const count = Atomics.load(this.#runs, place)
      Atomics.store(this.#runs, place, count + (count % 2 === (isRunning ? 0 : 1) ? 1 : 2))
    }
  }

  /** A number that changes whenever a handler begins or ends there, and is odd while one runs. */
  runs(place: number): number {
    return place < this.#runs.length ? Atomics.load(this.#runs, place) : 0
  }

  setLost(place: number, isLost: boolean): void {
    if (place < this.#lost.length) {
      Atomics.store(this.#lost, place, isLost ? 1 : 0)
    }
  }
}
