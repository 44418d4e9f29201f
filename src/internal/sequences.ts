/**
 * A map by sequence, for tables that something enters and leaves with every message.
 *
 * `Map` would do, but each time that so many have come and gone it makes itself a new table, to which the old one points.
 * Once one of them is in V8's old space, all that follow are kept until that is collected, and with them all that stood in
 * them: everything that was read in a quarter of a second. This one is changed in its place: open addressing, and what
 * stands behind a gap moves up.
 */

const PLACES_MIN = 32
/** An odd number near 2^32 divided by the golden ratio. */
const SPREAD = 0x9e3779b1

export class Sequences<A> {
  #size = 0
  #mask = PLACES_MIN - 1
  #shift = 32 - Math.log2(PLACES_MIN)
  #keys = new Float64Array(PLACES_MIN)
  #values: Array<A | undefined> = places(PLACES_MIN)

  get size(): number {
    return this.#size
  }

  get(sequence: number): A | undefined {
    return this.#values[this.#placeOf(sequence)]
  }

  set(sequence: number, value: A): void {
    const place = this.#placeOf(sequence)
    if (this.#values[place] === undefined) {
      this.#size++
      this.#keys[place] = sequence
    }
    this.#values[place] = value
    if (this.#size * 2 > this.#mask) {
      this.#grow()
    }
  }

  delete(sequence: number): void {
    let gap = this.#placeOf(sequence)
    if (this.#values[gap] === undefined) {
      return
    }
    this.#size--
    for (let place = this.#next(gap); this.#values[place] !== undefined; place = this.#next(place)) {
      // Moves up unless it would then stand before where looking for it begins.
      const home = this.#home(this.#keys[place]!)
      if (((place - home) & this.#mask) >= ((place - gap) & this.#mask)) {
        this.#keys[gap] = this.#keys[place]!
        this.#values[gap] = this.#values[place]
        gap = place
      }
    }
    this.#values[gap] = undefined
  }

  clear(): void {
    this.#values.fill(undefined)
    this.#size = 0
  }

  /** What is in it now, in no order; the table may change meanwhile. */
  get all(): Array<A> {
    return this.#size === 0 ? [] : this.#values.filter((value) => value !== undefined)
  }

  // internals

  #placeOf(sequence: number): number {
    let place = this.#home(sequence)
    while (this.#values[place] !== undefined && this.#keys[place] !== sequence) {
      place = this.#next(place)
    }
    return place
  }

  /** Eight neighbours stand side by side, in one line of the processor's cache; eights stand anywhere. */
  #home(sequence: number): number {
    const eight = Math.imul(sequence >>> 3, SPREAD) >>> this.#shift
    return (eight & ~7) | (sequence & 7)
  }

  #next(place: number): number {
    return (place + 1) & this.#mask
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values]
    const size = values.length * 2
    this.#mask = size - 1
    this.#shift--
    this.#keys = new Float64Array(size)
    this.#values = places(size)
    for (const [at, value] of values.entries()) {
      if (value !== undefined) {
        const place = this.#placeOf(keys[at]!)
        this.#keys[place] = keys[at]!
        this.#values[place] = value
      }
    }
  }
}

// internals

/** One by one: `Array.from` takes ten times as long. */
const places = <A>(size: number): Array<A | undefined> => {
  const all: Array<A | undefined> = []
  while (all.length < size) {
    all.push(undefined)
  }
  return all
}
