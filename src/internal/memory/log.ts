/**
 * The messages of one stream, by sequence and by subject. Every operation takes constant time, amortised: what was
 * removed from the middle is skipped when somebody comes across its place.
 */

export interface Stored {
  readonly sequence: number
  readonly subject: Subject
  readonly timestamp: number
  readonly headers: Uint8Array
  /** Only a test that corrupts it writes this. */
  payload: Uint8Array
  /** What it counts in the stream's limit of bytes. */
  readonly bytes: number
}

/** What a server's store counts for a message besides its parts: sequence, timestamp; in a file lengths and a checksum, too. */
const RECORD_BYTES = { memory: 16, file: 34 }
/** Places at the front are given up in one go, once they are so many and most of all. */
const WASTE_MAX = 1_024

/** What is known of one subject while the stream has messages of it. */
export class Subject {
  readonly name: string
  /** How many messages there are. */
  messages = 0
  /** Their sequences, and some that are gone. */
  sequences: Array<number> = []
  head = 0
  /** Who reads this subject, as the stream last worked out. */
  readers: ReadonlyArray<unknown> = []
  readersAt = -1

  constructor(name: string) {
    this.name = name
  }
}

export class Log {
  readonly subjects = new Map<string, Subject>()
  /** The first sequence that is left; one past the last if none is. */
  first = 1
  last = 0
  messages = 0
  bytes = 0
  #slots: Array<Stored | undefined> = []
  /** The sequence of the first slot. */
  #base = 1
  readonly #recordBytes: number

  constructor(storage: "memory" | "file" = "memory") {
    this.#recordBytes = RECORD_BYTES[storage]
  }

  /** How many places it keeps: for what it has, and for some that is gone. */
  get places(): number {
    return this.#slots.length
  }

  get(sequence: number): Stored | undefined {
    return this.#slots[sequence - this.#base]
  }

  /** Everything there is, in order. */
  get all(): ReadonlyArray<Stored> {
    return this.#slots.filter((stored) => stored !== undefined)
  }

  /** What a message would count in the stream's limit of bytes. */
  recordBytes(subject: string, headers: Uint8Array, payload: Uint8Array): number {
    return subject.length + headers.length + payload.length + this.#recordBytes
  }

  append(subject: string, headers: Uint8Array, payload: Uint8Array, timestamp: number): Stored {
    const of = this.subject(subject)
    const bytes = this.recordBytes(subject, headers, payload)
    const stored = { sequence: ++this.last, subject: of, timestamp, headers, payload, bytes }
    this.#slots.push(stored)
    of.sequences.push(stored.sequence)
    of.messages++
    this.messages++
    this.bytes += stored.bytes
    return stored
  }

  /** Uses up a sequence for a message that nobody wants. */
  skip(): number {
    this.#slots.push(undefined)
    this.last++
    this.#trim()
    return this.last
  }

  remove(stored: Stored): void {
    if (this.get(stored.sequence) !== stored) {
      return
    }
    this.#slots[stored.sequence - this.#base] = undefined
    this.messages--
    this.bytes -= stored.bytes
    stored.subject.messages--
    if (stored.subject.messages === 0) {
      this.subjects.delete(stored.subject.name)
    } else {
      this.firstOf(stored.subject)
    }
    this.#trim()
  }

  /** The next message gets this sequence, or a later one. Only for a log that is empty. */
  continueAt(sequence: number): void {
    if (this.messages === 0 && sequence > this.last) {
      this.#slots = []
      this.#base = sequence
      this.first = sequence
      this.last = sequence - 1
    }
  }

  /** The subject's entry. It is kept only if a message follows. */
  subject(name: string): Subject {
    let found = this.subjects.get(name)
    if (found === undefined) {
      found = new Subject(name)
      this.subjects.set(name, found)
    }
    return found
  }

  /** The oldest message of a subject. */
  firstOf(subject: Subject): Stored | undefined {
    const { sequences } = subject
    while (subject.head < sequences.length) {
      const stored = this.get(sequences[subject.head]!)
      if (stored !== undefined) {
        return stored
      }
      subject.head++
      if (subject.head > WASTE_MAX && subject.head * 2 > sequences.length) {
        sequences.splice(0, subject.head)
        subject.head = 0
      }
    }
    return undefined
  }

  /** The newest message of a subject. */
  lastOf(name: string): Stored | undefined {
    const sequences = this.subjects.get(name)?.sequences ?? []
    while (sequences.length > 0) {
      const stored = this.get(sequences.at(-1)!)
      if (stored !== undefined) {
        return stored
      }
      sequences.pop()
    }
    return undefined
  }

  #trim(): void {
    while (this.first <= this.last && this.get(this.first) === undefined) {
      this.first++
    }
    const waste = this.first - this.#base
    if (waste > WASTE_MAX && waste * 2 > this.#slots.length) {
      this.#slots.splice(0, waste)
      this.#base = this.first
    }
  }
}
