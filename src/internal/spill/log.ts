/**
 * Deliveries on disk, in order: written at the end, read back from the front, removed by the segment.
 *
 * Whoever uses it writes, reads and flushes one at a time each, but all three at once. What fails can be tried again.
 */
import { Buffer } from "node:buffer"
import { join } from "node:path"
import type { Delivery } from "../../Message.ts"
import type * as Spill from "../../Spill.ts"
import type { File, Files } from "./files.ts"
import { Frames } from "./frames.ts"
import { type Owner, read, sizeOf, write } from "./record.ts"
import { headerOf, listed, Segment } from "./segment.ts"

/** A delivery, and where it lies. */
export interface Kept {
  readonly delivery: Delivery
  readonly segment: Segment
  readonly slot: number
}

interface Cursor {
  readonly segment: Segment
  offset: number
  slot: number
}

const REMEMBERED_MAX = 8_192

export class Log {
  /** What the process before this one has left unsettled. */
  recovered = 0
  /** What stood behind the last whole delivery, and was cut off. */
  cutBytes = 0
  /** Deliveries that were written and can no longer be read. */
  damaged = 0
  /** What the directory holds. */
  bytes = 0
  /** The messages that were written last before this process began: those whose acks may never have arrived. */
  readonly #recent = new Map<number, number>()
  readonly #files: Files
  readonly #settings: Spill.Settings
  readonly #owner: Owner
  readonly #header: Buffer
  /** In order. Only the last one is written to, until it is sealed. */
  #segments: Array<Segment> = []
  #writing: File | undefined
  #reading: Frames | undefined
  #isReading = false
  #cursor: Cursor | undefined
  #next = 0
  #unsettled = 0

  constructor(files: Files, settings: Spill.Settings, owner: Owner) {
    this.#files = files
    this.#settings = settings
    this.#owner = owner
    this.#header = headerOf(owner)
  }

  /** Finds what is there. */
  async open(): Promise<void> {
    const { directory } = this.#settings
    const { bases, orphans } = listed(await this.#files.list(directory))
    for (const name of orphans) {
      await this.#files.remove(join(directory, name))
    }
    for (const [at, base] of bases.entries()) {
      const segment = new Segment(directory, base)
      const { cutBytes, names } = await segment.recover(this.#files, this.#owner, bases[at + 1])
      this.cutBytes += cutBytes
      this.#segments.push(segment)
      this.#unsettled += segment.records - segment.settled
      this.bytes += segment.bytes + segment.marksBytes
      this.#next = base + segment.records
      for (const [sequence, timestamp] of names.slice(-REMEMBERED_MAX)) {
        this.#recent.set(sequence, timestamp)
      }
    }
    this.recovered = this.#unsettled
    await this.flush()
  }

  /** How many are not settled. */
  get unsettled(): number {
    return this.#unsettled
  }

  /** Whether the process before this one had written it already. */
  knows({ deliveryCount, streamSequence, timestamp }: Delivery): boolean {
    return deliveryCount > 1 && this.#recent.get(streamSequence) === timestamp
  }

  /** Whether there is room for it. If all else is settled there always is: a segment that is done with makes way. */
  fits(delivery: Delivery): boolean {
    return this.#unsettled === 0 || this.bytes + sizeOf(delivery) <= this.#settings.maxBytes
  }

  /** Whether everything that was written has been read back, or did not have to be. */
  get isCaughtUp(): boolean {
    const cursor = this.#position()
    return cursor === undefined || cursor.segment.removed || cursor.slot >= cursor.segment.records
  }

  /** Whether it is what would be read next. */
  isNext({ segment, slot }: Kept): boolean {
    const cursor = this.#position()
    return cursor?.segment === segment && cursor.slot === slot
  }

  /** What has been written so far need not be read back: whoever wrote it has it. */
  catchUp(): void {
    const segment = this.#segments.at(-1)
    if (segment !== undefined) {
      this.#moveTo({ segment, offset: segment.bytes, slot: segment.records })
    }
  }

  /** Writes as many of them as fit into a segment and into the room there is, at least one. When it ends, they are durable. */
  async append(deliveries: ReadonlyArray<Delivery>): Promise<ReadonlyArray<Kept>> {
    const { maxBytes, segmentBytes, sync } = this.#settings
    let segment = this.#active
    if (segment !== undefined && segment.records > 0 && segment.bytes + sizeOf(deliveries[0]!) > segmentBytes) {
      await this.seal()
      segment = undefined
    }
    const from = segment?.bytes ?? this.#header.length
    let [count, length] = [0, 0]
    for (const delivery of deliveries) {
      const size = sizeOf(delivery)
      if (count > 0 && (from + length + size > segmentBytes || this.bytes + length + size > maxBytes)) {
        break
      }
      count++
      length += size
    }
    const bytes = Buffer.allocUnsafe(length)
    let at = 0
    for (let i = 0; i < count; i++) {
      at = write(bytes, at, deliveries[i]!)
    }
    const isNew = segment === undefined
    try {
      segment ??= await this.#begin()
      await this.#writing!.write(bytes, segment.bytes)
      if (sync !== "never") {
        await this.#writing!.sync()
        await (isNew ? this.#files.syncDirectory(this.#settings.directory) : undefined)
      }
    } catch (error) {
      await this.#abandon()
      throw error
    }
    const slot = segment.records
    segment.bytes += length
    segment.records += count
    this.bytes += length
    this.#next += count
    this.#unsettled += count
    const written = segment
    return deliveries.slice(0, count).map((delivery, i) => ({ delivery, segment: written, slot: slot + i }))
  }

  /** Reads on from where it stopped: up to so many, and so many bytes, but at least one if there is one. */
  async read(maxMessages: number, maxBytes: number): Promise<ReadonlyArray<Kept>> {
    this.#isReading = true
    try {
      return await this.#readOn(maxMessages, maxBytes)
    } finally {
      this.#isReading = false
      await this.#letGo()
    }
  }

  /** It was handed on. */
  begin({ segment, slot }: Kept): void {
    segment.begin(slot)
  }

  /** It is done with. */
  settle({ segment, slot }: Pick<Kept, "segment" | "slot">): void {
    segment.settle(slot)
    this.#unsettled--
  }

  /** Writes down what is settled, and removes segments of which nothing is left. */
  async flush(): Promise<void> {
    for (const segment of [...this.#segments]) {
      if (segment.isComplete && segment.sealed) {
        await segment.remove(this.#files)
        await this.#letGo()
        this.#segments = this.#segments.filter((other) => other !== segment)
        this.bytes -= segment.bytes + segment.marksBytes
      } else if (segment.hasMarks) {
        const written = await segment.writeMarks(this.#files)
        this.bytes += written
      }
    }
  }

  /** Whether everything in the segment that is being written is settled: then sealing it makes room. */
  get isIdle(): boolean {
    const active = this.#active
    return active !== undefined && active.records > 0 && active.isComplete
  }

  /** Nothing more goes into the present segment. */
  async seal(): Promise<void> {
    const segment = this.#active
    if (segment !== undefined) {
      segment.sealed = true
    }
    const file = this.#writing
    this.#writing = undefined
    await file?.close()
  }

  async close(): Promise<void> {
    try {
      await this.seal()
      await this.flush()
    } finally {
      const reading = this.#reading
      this.#reading = undefined
      await reading?.file.close()
    }
  }

  // internals

  async #readOn(maxMessages: number, maxBytes: number): Promise<ReadonlyArray<Kept>> {
    const found: Array<Kept> = []
    let bytes = 0
    for (let cursor = this.#position(); cursor !== undefined; cursor = this.#position()) {
      const { segment, slot } = cursor
      if (segment.removed || slot >= segment.records) {
        break
      }
      const frames = this.#reading ??= new Frames(await this.#files.open(segment.path, "read"))
      const look = cursor.offset === 0 ? "none" : frames.look(cursor.offset, segment.bytes)
      if (look === "more") {
        if (found.length > 0) {
          break
        }
        await frames.fill(cursor.offset)
        continue
      }
      if (look !== "whole") {
        this.#damage(segment, cursor, look === "damaged" ? frames.end : undefined)
        continue
      }
      const [at, end] = [frames.local(cursor.offset), frames.local(frames.end)]
      if (!segment.skipped.has(slot)) {
        const delivery = read(frames.bytes, at, end, this.#owner, segment.begunBefore(slot))
        if (found.length > 0 && bytes + delivery.bytes > maxBytes) {
          break
        }
        bytes += delivery.bytes
        found.push({ delivery, segment, slot })
      }
      cursor.slot++
      cursor.offset = frames.end
      if (found.length >= maxMessages) {
        break
      }
    }
    return found
  }

  get #active(): Segment | undefined {
    return this.#writing === undefined ? undefined : this.#segments.at(-1)
  }

  #isLast(segment: Segment): boolean {
    return this.#segments.at(-1) === segment
  }

  async #begin(): Promise<Segment> {
    const segment = new Segment(this.#settings.directory, this.#next)
    const file = await this.#files.open(segment.path, "new")
    segment.startsAt = segment.bytes = this.#header.length
    this.#writing = file
    this.#segments.push(segment)
    this.bytes += this.#header.length
    await file.write(this.#header, 0)
    return segment
  }

  /** A write failed, or was not made durable: after that nothing can be said of the file's end, so it is not written on. */
  async #abandon(): Promise<void> {
    const segment = this.#active
    const file = this.#writing
    this.#writing = undefined
    if (segment === undefined || file === undefined) {
      return
    }
    if (segment.records > 0) {
      segment.sealed = true
    } else {
      this.#segments = this.#segments.filter((other) => other !== segment)
      this.bytes -= segment.bytes
    }
    // As far as it works: reading ends at what is known to be good, anyway.
    await file.truncate(segment.records > 0 ? segment.bytes : 0).catch(() => undefined)
    await file.close().catch(() => undefined)
    if (segment.records === 0) {
      await this.#files.remove(segment.path).catch(() => undefined)
    }
  }

  /** Where reading goes on. What lies behind is passed over. */
  #position(): Cursor | undefined {
    const before = this.#cursor
    if (before !== undefined && !before.segment.removed) {
      if (before.slot < before.segment.records || this.#isLast(before.segment)) {
        return before
      }
    }
    // One that was given up before anything was durable in it is followed by another of the same base.
    const segment = this.#segments.find((segment) =>
      before === undefined || (segment !== before.segment && segment.base >= before.segment.base)
    )
    if (segment !== undefined) {
      this.#moveTo({ segment, offset: segment.startsAt, slot: 0 })
    }
    return this.#cursor
  }

  /** What is removed takes up its room for as long as it is open. */
  async #letGo(): Promise<void> {
    if (this.#cursor?.segment.removed === true && !this.#isReading) {
      const reading = this.#reading
      this.#reading = undefined
      await reading?.file.close()
    }
  }

  #moveTo(cursor: Cursor): void {
    if (cursor.segment !== this.#cursor?.segment) {
      const reading = this.#reading
      this.#reading = undefined
      void reading?.file.close().catch(() => undefined)
    }
    this.#cursor = cursor
  }

  /** What cannot be read is counted, and passed over. Where the next one begins is known only if its length is right. */
  #damage(segment: Segment, cursor: Cursor, end: number | undefined): void {
    segment.damaged = true
    const upTo = end === undefined ? segment.records : cursor.slot + 1
    for (let slot = cursor.slot; slot < upTo; slot++) {
      if (!segment.skipped.has(slot)) {
        this.damaged++
        this.settle({ segment, slot })
      }
    }
    cursor.slot = upTo
    cursor.offset = end ?? segment.bytes
  }
}
