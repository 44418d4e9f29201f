/**
 * What a process wrote down before it acted: records of 32 bytes, only ever appended, one file for each process.
 *
 * `write(2)` returns before the act begins, so a process that is killed loses nothing that it had written: the page cache
 * is the machine's, not the process's. Each record carries its own number: one that is missing shows.
 */
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs"

export const KINDS = {
  /** A publisher is about to try it; then what became of it. */
  intent: 1,
  confirmed: 2,
  notSent: 3,
  ambiguous: 4,
  /** A handler begins with a delivery; is about to make its effect; is done. */
  start: 10,
  effect: 11,
  end: 12,
  /** A worker process is there; what its library says of it at its end. */
  began: 13,
  ledger: 14,
  /** An independent subscriber saw this verdict on its way to the server. */
  acked: 20,
  returned: 21,
  /** The server said: everything up to `seq` is acknowledged, and `n` are unanswered. */
  floor: 22,
  /** What the program tells of itself. */
  healthy: 30,
  unhealthy: 31,
  /** A fault begins; is over; a message that was stored after that is `seq` or higher. */
  fault: 40,
  healed: 41,
  /** A worker process is gone: `flag` is its exit code, `n` how long it took in ms since it was told. */
  gone: 42,
  /** At the very end: what the stream holds, and which effects there are. */
  stored: 50,
  made: 51,
  /** Memory of the worker in KB. */
  memory: 60
} as const

export type Kind = keyof typeof KINDS

/** One record. What it does not need is 0. */
export interface Entry {
  readonly kind: Kind
  /** Milliseconds of the machine's monotonic clock: the same for all its processes. */
  readonly at: number
  readonly flag: number
  /** Who published it, and which of his it is. In the records of faults: the kind, and the fault's number. */
  readonly pub: number
  readonly n: number
  /** Its sequence in the stream. */
  readonly seq: number
  /** How often the server had delivered it. */
  readonly count: number
  readonly hash: number
}

export const SIZE = 32

const names = new Map<number, Kind>(Object.entries(KINDS).map(([name, code]) => [code, name as Kind]))

export const now = (): number => Number(process.hrtime.bigint()) / 1e6

const put = (view: DataView, entry: Partial<Entry> & { readonly kind: Kind }, no: number, at: number): void => {
  const seq = entry.seq ?? 0
  view.setUint8(0, KINDS[entry.kind])
  view.setUint8(1, entry.flag ?? 0)
  view.setUint16(2, entry.pub ?? 0)
  view.setUint32(4, entry.n ?? 0)
  view.setUint32(8, seq % 2 ** 32)
  view.setUint16(12, Math.floor(seq / 2 ** 32))
  view.setUint16(14, entry.count ?? 0)
  view.setFloat64(16, entry.at ?? at)
  view.setUint32(24, entry.hash ?? 0)
  view.setUint32(28, no)
}

export type Writing = Partial<Entry> & { readonly kind: Kind }

export const encode = (entries: ReadonlyArray<Writing>, from = 0): Uint8Array => {
  const bytes = new Uint8Array(entries.length * SIZE)
  const at = now()
  for (const [index, entry] of entries.entries()) {
    put(new DataView(bytes.buffer, index * SIZE, SIZE), entry, from + index, at)
  }
  return bytes
}

/** An open journal. `write` returns when the system has it. */
export class Journal {
  readonly #file: number
  readonly #one = new Uint8Array(SIZE)
  readonly #view = new DataView(this.#one.buffer)
  #no = 0

  constructor(path: string) {
    this.#file = openSync(path, "a")
  }

  write(entry: Writing): void {
    put(this.#view, entry, this.#no++, now())
    writeSync(this.#file, this.#one)
  }

  writeAll(entries: ReadonlyArray<Writing>): void {
    writeSync(this.#file, encode(entries, this.#no))
    this.#no += entries.length
  }

  close(): void {
    closeSync(this.#file)
  }
}

export interface Read {
  readonly entries: ReadonlyArray<Entry>
  /** What is wrong with the journal itself. */
  readonly damage: ReadonlyArray<string>
}

/** A record that is cut off at the end was never followed by its act: `write` had not returned. */
export const decode = (name: string, bytes: Uint8Array): Read => {
  const entries: Array<Entry> = []
  const damage: Array<string> = []
  for (let at = 0; at + SIZE <= bytes.length; at += SIZE) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, SIZE)
    const kind = names.get(view.getUint8(0))
    const no = view.getUint32(28)
    if (kind === undefined || (no !== at / SIZE && damage.length === 0)) {
      damage.push(`journal ${name}: record ${at / SIZE} is ${kind ?? "unknown"} and numbered ${no}`)
    }
    if (kind !== undefined) {
      entries.push({
        kind,
        flag: view.getUint8(1),
        pub: view.getUint16(2),
        n: view.getUint32(4),
        seq: view.getUint32(8) + view.getUint16(12) * 2 ** 32,
        count: view.getUint16(14),
        at: view.getFloat64(16),
        hash: view.getUint32(24)
      })
    }
  }
  return { entries, damage }
}

/** Reads what is new in a journal that is still written. */
export class Follower {
  readonly #path: string
  #file: number | undefined
  #at = 0

  constructor(path: string) {
    this.#path = path
  }

  next(): ReadonlyArray<Entry> {
    try {
      this.#file ??= openSync(this.#path, "r")
    } catch {
      return []
    }
    const bytes = new Uint8Array(SIZE * 4_096)
    const all: Array<Entry> = []
    for (;;) {
      const length = readSync(this.#file, bytes, 0, bytes.length, this.#at)
      const whole = length - length % SIZE
      if (whole === 0) {
        return all
      }
      this.#at += whole
      all.push(...decode("", bytes.subarray(0, whole)).entries)
    }
  }

  close(): void {
    if (this.#file !== undefined) {
      closeSync(this.#file)
    }
  }
}

export const read = (name: string, path: string): Read => decode(name, readFileSync(path))
