/** One file of a spill, and what is known of the deliveries in it. They are counted from 0: their slots. */
import { Buffer } from "node:buffer"
import { join } from "node:path"
import type { Files } from "./files.ts"
import { Frames } from "./frames.ts"
import { codeOf } from "./lock.ts"
import { bodies, frame, nameOf, type Owner } from "./record.ts"

const SEGMENT = ".segment"
const MARKS = ".marks"
const NUMBER_DIGITS = 16
const FORMAT = 1

/** The first word of a frame of marks: slots that are settled, or how far a session has handed on. */
const SETTLED = 0
const BEGUN = 1

const pathOf = (directory: string, base: number, kind: string): string =>
  join(directory, `${String(base).padStart(NUMBER_DIGITS, "0")}${kind}`)

/** The bases of the segments in a directory, in order, and files that belong to none of them. */
export const listed = (names: ReadonlyArray<string>): {
  readonly bases: ReadonlyArray<number>
  readonly orphans: ReadonlyArray<string>
} => {
  const of = (kind: string) => names.filter((name) => new RegExp(`^\\d{${NUMBER_DIGITS}}\\${kind}$`).test(name))
  const segments = of(SEGMENT)
  return {
    bases: segments.map((name) => Number.parseInt(name, 10)).toSorted((a, b) => a - b),
    orphans: of(MARKS).filter((name) => !segments.includes(name.replace(MARKS, SEGMENT)))
  }
}

/** The file begins with whom it is for. */
export const headerOf = ({ consumer, stream }: Owner): Buffer =>
  frame(Buffer.from(JSON.stringify({ format: FORMAT, stream, consumer })))

/** Somebody else's directory, or of another format: nothing here may be touched. */
export class Foreign extends Error {}

const checkHeader = (body: Buffer, { consumer, stream }: Owner): void => {
  const found = JSON.parse(body.toString()) as Record<string, unknown>
  if (found["format"] !== FORMAT) {
    throw new Foreign(`it is of format ${String(found["format"])}, and this is ${FORMAT}`)
  }
  if (found["stream"] !== stream || found["consumer"] !== consumer) {
    throw new Foreign(`it belongs to ${String(found["stream"])}/${String(found["consumer"])}`)
  }
}

export class Segment {
  /** The number of its first delivery among all that were ever written. */
  readonly base: number
  readonly path: string
  readonly #directory: string
  /** How many deliveries it holds. */
  records = 0
  /** Where the first of them begins, and where the last one ends. */
  startsAt = 0
  bytes = 0
  marksBytes = 0
  /** Nothing more is written to it. */
  sealed = false
  /** It is on its way out: nothing in it is asked for any more. */
  removed = false
  /** Something in it cannot be read: its slots can no longer be counted on. */
  damaged = false
  /** How many are settled. */
  settled = 0
  /** Which were settled before this process began. */
  readonly skipped = new Set<number>()
  /** How far earlier processes have handed on, each. */
  #begunBefore: ReadonlyArray<number> = []
  /** How far this one has. */
  #begun = 0
  #begunTold = 0
  #marks: Array<number> = []

  constructor(directory: string, base: number) {
    this.base = base
    this.#directory = directory
    this.path = pathOf(directory, base, SEGMENT)
  }

  get isComplete(): boolean {
    return this.settled >= this.records
  }

  get hasMarks(): boolean {
    return !this.damaged && (this.#marks.length > 0 || this.#begun > this.#begunTold)
  }

  /** How often the delivery of a slot was handed on by processes before this one. */
  begunBefore(slot: number): number {
    let count = 0
    for (const upTo of this.#begunBefore) {
      count += slot < upTo ? 1 : 0
    }
    return count
  }

  begin(slot: number): void {
    this.#begun = Math.max(this.#begun, slot + 1)
  }

  settle(slot: number): void {
    this.settled++
    this.#marks.push(slot)
  }

  /** Writes down what was settled since the last time. What cannot be written is kept for the next time. */
  async writeMarks(files: Files): Promise<number> {
    const marks = this.#marks
    const begun = this.#begun
    const words = [Uint32Array.of(SETTLED, ...marks)].filter(() => marks.length > 0)
    if (begun > this.#begunTold) {
      words.push(Uint32Array.of(BEGUN, this.#begunBefore.length, begun))
    }
    const bytes = Buffer.concat(words.map((numbers) => frame(new Uint8Array(numbers.buffer))))
    this.#marks = []
    try {
      const file = await files.open(this.#marksPath, "update")
      try {
        await file.write(bytes, this.marksBytes)
      } finally {
        await file.close()
      }
    } catch (error) {
      this.#marks = marks.concat(this.#marks)
      throw error
    }
    this.#begunTold = begun
    this.marksBytes += bytes.length
    return bytes.length
  }

  /** Removes it; or puts it aside for somebody to look at. The marks go last: without them, all of it would come again. */
  async remove(files: Files): Promise<void> {
    this.removed = true
    await (this.damaged ? files.rename(this.path, `${this.path}.damaged`) : files.remove(this.path))
    await files.remove(this.#marksPath)
  }

  /** What a process before this one has left. `next` is the base of the segment after it; there is none after the last. */
  async recover(files: Files, owner: Owner, next: number | undefined): Promise<Recovered> {
    const file = await files.open(this.path, "read")
    const found: Recovered = { cutBytes: 0, names: [] }
    try {
      const size = await file.size()
      this.sealed = true
      this.records = next === undefined ? 0 : next - this.base
      const frames = new Frames(file)
      if (await lookAt(frames, 0, size) !== "whole") {
        this.damaged = next !== undefined
        return { ...found, cutBytes: size }
      }
      const at = frames.local(frames.end)
      checkHeader(frames.bytes.subarray(8, at), owner)
      this.startsAt = frames.end
      this.bytes = size
      if (next === undefined) {
        await this.#count(frames, size, found.names)
        found.cutBytes = size - this.bytes
      }
    } finally {
      await file.close()
    }
    await this.#recall(files)
    return found
  }

  // internals

  get #marksPath(): string {
    return pathOf(this.#directory, this.base, MARKS)
  }

  /** The last segment may end in the middle of a delivery: there it is cut. Nothing behind that was acknowledged. */
  async #count(frames: Frames, size: number, names: Array<readonly [number, number]>): Promise<void> {
    let at = this.startsAt
    while (true) {
      const found = await lookAt(frames, at, size)
      const { end } = frames
      if (found === "none" || (found === "damaged" && await lookAt(frames, end, size) !== "whole")) {
        break
      }
      if (found === "whole") {
        names.push(nameOf(frames.bytes, frames.local(at)))
      }
      this.records++
      at = end
    }
    this.bytes = at
  }

  async #recall(files: Files): Promise<void> {
    const file = await files.open(this.#marksPath, "read").catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") {
        return undefined
      }
      throw error
    })
    if (file === undefined) {
      return
    }
    try {
      const bytes = Buffer.alloc(await file.size())
      await file.read(bytes, 0)
      const { bodies: marks, end } = bodies(bytes)
      const begun = new Map<number, number>()
      for (const body of marks) {
        const [kind, ...numbers] = new Uint32Array(Uint8Array.from(body).buffer)
        if (kind === BEGUN) {
          begun.set(numbers[0]!, Math.max(numbers[1]!, begun.get(numbers[0]!) ?? 0))
        } else {
          numbers.forEach((slot) => slot < this.records && this.skipped.add(slot))
        }
      }
      this.settled = this.skipped.size
      this.#begunBefore = [...begun.values()]
      this.marksBytes = end
    } finally {
      await file.close()
    }
  }
}

export interface Recovered {
  /** What stood behind the last whole delivery. */
  cutBytes: number
  /** Of the last segment: which messages are in it. */
  readonly names: Array<readonly [sequence: number, timestamp: number]>
}

// internals

const lookAt = async (frames: Frames, at: number, limit: number): Promise<"whole" | "damaged" | "none"> => {
  let found = frames.look(at, limit)
  while (found === "more") {
    await frames.fill(at)
    found = frames.look(at, limit)
  }
  return found
}
