/**
 * Batches as two buffers: the bytes of all messages behind one another, and a table of numbers with a row for each. Both
 * are transferred, not copied.
 */
import { Buffer } from "node:buffer"
import * as Headers from "../../Headers.ts"
import { Delivery, type Expectation, type Outgoing } from "../../Message.ts"
import * as Settlement from "../../Settlement.ts"
import type { Receipt } from "../../Transport.ts"
import { plain, type PlainReason, reasonOf } from "./plain.ts"

// deliveries

export interface PackedDeliveries {
  readonly stream: string
  readonly consumer: string
  /** Each once; most batches have few. */
  readonly subjects: ReadonlyArray<string>
  readonly bytes: ArrayBuffer
  readonly table: ArrayBuffer
}

/** A delivery on the application's side: it knows where the I/O thread keeps it. */
export class Crossed extends Delivery {
  readonly number: number
  readonly place: number

  constructor(parts: ConstructorParameters<typeof Delivery>[0], number: number, place: number) {
    super(parts)
    this.number = number
    this.place = place
  }
}

/** What a row holds: number, place, sequences, count, timestamp, pending, size, subject, and where headers and payload end. */
const COLUMNS = 11

export const packDeliveries = (
  deliveries: ReadonlyArray<Delivery>,
  keep: (delivery: Delivery) => { readonly number: number; readonly place: number }
): PackedDeliveries => {
  let size = 0
  for (const { headerBytes, payload } of deliveries) {
    size += headerBytes.length + payload.length
  }
  const bytes = new Uint8Array(size)
  const table = new Float64Array(deliveries.length * COLUMNS)
  const subjects = new Map<string, number>()
  let at = 0
  let row = 0
  for (const delivery of deliveries) {
    const { number, place } = keep(delivery)
    const { headerBytes, payload, subject } = delivery
    let known = subjects.get(subject)
    if (known === undefined) {
      subjects.set(subject, known = subjects.size)
    }
    table[row] = number
    table[row + 1] = place
    table[row + 2] = delivery.streamSequence
    table[row + 3] = delivery.consumerSequence
    table[row + 4] = delivery.deliveryCount
    table[row + 5] = delivery.timestamp
    table[row + 6] = delivery.pending
    table[row + 7] = delivery.bytes
    table[row + 8] = known
    if (headerBytes.length > 0) {
      bytes.set(headerBytes, at)
      at += headerBytes.length
    }
    table[row + 9] = at
    bytes.set(payload, at)
    table[row + 10] = at += payload.length
    row += COLUMNS
  }
  const { consumer, stream } = deliveries[0]!
  return { stream, consumer, subjects: [...subjects.keys()], bytes: bytes.buffer, table: table.buffer }
}

const EMPTY = new Uint8Array(0)

export const unpackDeliveries = (
  { bytes, consumer, stream, subjects, table }: PackedDeliveries
): Array<Crossed> => {
  const numbers = new Float64Array(table)
  const deliveries: Array<Crossed> = []
  let from = 0
  for (let row = 0; row < numbers.length; row += COLUMNS) {
    const headersEnd = numbers[row + 9]!
    const end = numbers[row + 10]!
    const subject = subjects[numbers[row + 8]!]!
    deliveries.push(
      new Crossed(
        {
          subject,
          headerBytes: headersEnd === from ? EMPTY : new Uint8Array(bytes, from, headersEnd - from),
          payload: new Uint8Array(bytes, headersEnd, end - headersEnd),
          stream,
          consumer,
          streamSequence: numbers[row + 2]!,
          consumerSequence: numbers[row + 3]!,
          deliveryCount: numbers[row + 4]!,
          timestamp: numbers[row + 5]!,
          pending: numbers[row + 6]!,
          overheadBytes: numbers[row + 7]! - subject.length - (end - from)
        },
        numbers[row]!,
        numbers[row + 1]!
      )
    )
    from = end
  }
  return deliveries
}

// verdicts

export interface PackedVerdicts {
  /** Three numbers for each: the delivery's, its place, and the nak's delay, or -1 for an ack, -2 for a term, -3 for none. */
  readonly table: ArrayBuffer
  /** The reasons of the terms, in order. */
  readonly reasons: ReadonlyArray<string>
}

const VERDICT_COLUMNS = 3
const ACK = -1
const TERM = -2
const NONE = -3

/** Verdicts that are to cross together. */
export class Verdicts {
  readonly #numbers: Array<number> = []
  readonly #reasons: Array<string> = []

  get isEmpty(): boolean {
    return this.#numbers.length === 0
  }

  /** Without a settlement: the delivery was lost, and the application has let go of it. */
  add({ number, place }: Pick<Crossed, "number" | "place">, settlement: Settlement.Settlement | undefined): void {
    this.#numbers.push(number, place, this.#code(settlement))
  }

  pack(): PackedVerdicts {
    return { table: new Float64Array(this.#numbers).buffer, reasons: this.#reasons }
  }

  #code(settlement: Settlement.Settlement | undefined): number {
    switch (settlement?._tag) {
      case undefined:
        return NONE
      case "Ack":
        return ACK
      case "Nak":
        return settlement.delayMs
      case "Term":
        this.#reasons.push(settlement.reason)
        return TERM
    }
  }
}

export const eachVerdict = (
  { reasons, table }: PackedVerdicts,
  each: (number: number, place: number, settlement: Settlement.Settlement | undefined) => void
): void => {
  const numbers = new Float64Array(table)
  let terms = 0
  for (let row = 0; row < numbers.length; row += VERDICT_COLUMNS) {
    const what = numbers[row + 2]!
    each(
      numbers[row]!,
      numbers[row + 1]!,
      what === ACK
        ? Settlement.ack
        : what === TERM
        ? Settlement.term(reasons[terms++]!)
        : what === NONE
        ? undefined
        : { _tag: "Nak", delayMs: what }
    )
  }
}

// publishes

export interface PackedOutgoing {
  readonly bytes: ArrayBuffer
  /** Where subject, id and payload of each end. */
  readonly table: ArrayBuffer
  /** Of those that have any, by index. */
  readonly headers: ReadonlyMap<number, ReadonlyMap<string, ReadonlyArray<string>>>
  readonly expect: ReadonlyMap<number, Expectation>
}

export const packOutgoing = (batch: ReadonlyArray<Outgoing>): PackedOutgoing => {
  let size = 0
  for (const { id, payload, subject } of batch) {
    size += (subject.length + id.length) * 3 + payload.length
  }
  const bytes = Buffer.from(new ArrayBuffer(size))
  const table = new Float64Array(batch.length * 3)
  const headers = new Map<number, Headers.Headers>()
  const expect = new Map<number, Expectation>()
  let at = 0
  for (const [index, message] of batch.entries()) {
    table[index * 3] = at += bytes.write(message.subject, at, "utf8")
    table[index * 3 + 1] = at += bytes.write(message.id, at, "utf8")
    bytes.set(message.payload, at)
    table[index * 3 + 2] = at += message.payload.length
    if (message.headers.size > 0) {
      headers.set(index, message.headers)
    }
    if (message.expect !== undefined) {
      expect.set(index, message.expect)
    }
  }
  return { bytes: bytes.buffer, table: table.buffer, headers, expect }
}

export const unpackOutgoing = ({ bytes, expect, headers, table }: PackedOutgoing): Array<Outgoing> => {
  const all = Buffer.from(bytes)
  const ends = new Float64Array(table)
  const batch: Array<Outgoing> = []
  let from = 0
  for (let row = 0; row < ends.length; row += 3) {
    const index = row / 3
    const expectation = expect.get(index)
    batch.push({
      subject: all.toString("utf8", from, ends[row]),
      id: all.toString("utf8", ends[row], ends[row + 1]),
      payload: new Uint8Array(bytes, ends[row + 1], ends[row + 2]! - ends[row + 1]!),
      // Each was made by `Headers` on the other side; the crossing takes only the name away.
      headers: (headers.get(index) ?? Headers.empty) as Headers.Headers,
      ...(expectation === undefined ? undefined : { expect: expectation })
    })
    from = ends[row + 2]!
  }
  return batch
}

// receipts

export interface PackedReceipts {
  /** The sequence of each, below zero for a duplicate; 0 for those that `others` knows. */
  readonly table: ArrayBuffer
  /** Which stream stored them; one for nearly every batch. */
  readonly streams: ReadonlyArray<string>
  readonly which: ArrayBuffer
  readonly others: ReadonlyMap<number, { readonly _tag: "NotSent" | "Ambiguous"; readonly reason: PlainReason }>
}

export const packReceipts = (receipts: ReadonlyArray<Receipt>): PackedReceipts => {
  const table = new Float64Array(receipts.length)
  const which = new Uint16Array(receipts.length)
  const streams: Array<string> = []
  const others = new Map<number, { readonly _tag: "NotSent" | "Ambiguous"; readonly reason: PlainReason }>()
  for (const [index, receipt] of receipts.entries()) {
    if (receipt._tag !== "Confirmed") {
      others.set(index, { _tag: receipt._tag, reason: plain(receipt.reason) })
      continue
    }
    table[index] = receipt.duplicate ? -receipt.sequence : receipt.sequence
    if (streams[streams.length - 1] !== receipt.stream) {
      streams.push(receipt.stream)
    }
    which[index] = streams.length - 1
  }
  return { table: table.buffer, streams, which: which.buffer, others }
}

export const unpackReceipts = ({ others, streams, table, which }: PackedReceipts): Array<Receipt> => {
  const sequences = new Float64Array(table)
  const stream = new Uint16Array(which)
  return Array.from(sequences, (sequence, index): Receipt => {
    const other = others.get(index)
    return other === undefined
      ? { _tag: "Confirmed", stream: streams[stream[index]!]!, sequence: Math.abs(sequence), duplicate: sequence < 0 }
      : { _tag: other._tag, reason: reasonOf(other.reason) }
  })
}
