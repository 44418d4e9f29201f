/**
 * How things lie on the disk: in frames, each with its length and a checksum over both length and body, so that a write
 * that was cut short is told from a whole one.
 */
import { Buffer } from "node:buffer"
import { crc32 } from "node:zlib"
import { Delivery } from "../../Message.ts"

/** Length and checksum. */
export const FRAME_BYTES = 8
/** Numbers of a delivery: sequences, timestamp, pending, count, and the sizes of what follows. */
const NUMBERS_BYTES = 48
/** Longer is no frame of ours, whatever its checksum. */
const BODY_MAX = 0x7fff_ffff - FRAME_BYTES

// frames

/** Closes the frame whose body has been written behind `at`, up to `end`. */
const seal = (bytes: Buffer, at: number, end: number): void => {
  const length = end - at - FRAME_BYTES
  bytes.writeUInt32LE(length, at)
  bytes.writeUInt32LE(crc32(bytes.subarray(at + FRAME_BYTES, end), length), at + 4)
}

export const frame = (body: Uint8Array): Buffer => {
  const bytes = Buffer.allocUnsafe(FRAME_BYTES + body.length)
  bytes.set(body, FRAME_BYTES)
  seal(bytes, 0, bytes.length)
  return bytes
}

/** Where a frame that begins here says that it ends; undefined if its beginning is not all there, or is none. */
export const frameEnd = (bytes: Buffer, at: number): number | undefined => {
  if (at + FRAME_BYTES > bytes.length) {
    return undefined
  }
  const length = bytes.readUInt32LE(at)
  return length === 0 || length > BODY_MAX ? undefined : at + FRAME_BYTES + length
}

/** Whether the frame from `at` to `end` is whole. */
export const isWhole = (bytes: Buffer, at: number, end: number): boolean =>
  end <= bytes.length
  && crc32(bytes.subarray(at + FRAME_BYTES, end), end - at - FRAME_BYTES) === bytes.readUInt32LE(at + 4)

/** The bodies of the whole frames from the beginning, and where the last of them ends. */
export const bodies = (bytes: Buffer): { readonly bodies: ReadonlyArray<Buffer>; readonly end: number } => {
  const found: Array<Buffer> = []
  let at = 0
  for (let end = frameEnd(bytes, at); end !== undefined && isWhole(bytes, at, end); end = frameEnd(bytes, at)) {
    found.push(bytes.subarray(at + FRAME_BYTES, end))
    at = end
  }
  return { bodies: found, end: at }
}

// deliveries

export const sizeOf = ({ headerBytes, payload, subject }: Delivery): number =>
  FRAME_BYTES + NUMBERS_BYTES + Buffer.byteLength(subject) + headerBytes.length + payload.length

/** Writes a delivery as a frame, and gives its end. */
export const write = (bytes: Buffer, at: number, delivery: Delivery): number => {
  const { headerBytes, payload, subject } = delivery
  let to = at + FRAME_BYTES
  const end = to + NUMBERS_BYTES
  const subjectLength = bytes.write(subject, end)
  to = bytes.writeDoubleLE(delivery.streamSequence, to)
  to = bytes.writeDoubleLE(delivery.consumerSequence, to)
  to = bytes.writeDoubleLE(delivery.timestamp, to)
  to = bytes.writeDoubleLE(delivery.pending, to)
  to = bytes.writeUInt32LE(delivery.deliveryCount, to)
  to = bytes.writeUInt32LE(overheadOf(delivery), to)
  to = bytes.writeUInt32LE(headerBytes.length, to)
  to = bytes.writeUInt32LE(subjectLength, to)
  to += subjectLength
  bytes.set(headerBytes, to)
  bytes.set(payload, to + headerBytes.length)
  to += headerBytes.length + payload.length
  seal(bytes, at, to)
  return to
}

/** Who a log is for: what its deliveries do not each say. */
export interface Owner {
  readonly stream: string
  readonly consumer: string
}

/** The delivery in a frame. It has been begun `begun` times before, as far as is known. */
export const read = (bytes: Buffer, at: number, end: number, { consumer, stream }: Owner, begun: number): Delivery => {
  const from = at + FRAME_BYTES
  const headersAt = from + NUMBERS_BYTES + bytes.readUInt32LE(from + 44)
  const headersLength = bytes.readUInt32LE(from + 40)
  // Copied: one delivery that is held must not hold all that was read with it.
  const own = new Uint8Array(end - headersAt)
  own.set(bytes.subarray(headersAt, end))
  return new Delivery({
    stream,
    consumer,
    subject: bytes.toString("utf8", from + NUMBERS_BYTES, headersAt),
    headerBytes: own.subarray(0, headersLength),
    payload: own.subarray(headersLength),
    streamSequence: bytes.readDoubleLE(from),
    consumerSequence: bytes.readDoubleLE(from + 8),
    timestamp: bytes.readDoubleLE(from + 16),
    pending: bytes.readDoubleLE(from + 24),
    deliveryCount: bytes.readUInt32LE(from + 32) + begun,
    overheadBytes: bytes.readUInt32LE(from + 36)
  })
}

/** What names a stored message, without the rest of it: its sequence, and when it was stored. */
export const nameOf = (bytes: Buffer, at: number): readonly [sequence: number, timestamp: number] => [
  bytes.readDoubleLE(at + FRAME_BYTES),
  bytes.readDoubleLE(at + FRAME_BYTES + 16)
]

/** The same message, delivered once more from here. */
export const again = (delivery: Delivery): Delivery =>
  new Delivery({
    subject: delivery.subject,
    payload: delivery.payload,
    headerBytes: delivery.headerBytes,
    stream: delivery.stream,
    consumer: delivery.consumer,
    streamSequence: delivery.streamSequence,
    consumerSequence: delivery.consumerSequence,
    timestamp: delivery.timestamp,
    pending: delivery.pending,
    deliveryCount: delivery.deliveryCount + 1,
    overheadBytes: overheadOf(delivery)
  })

// internals

const overheadOf = ({ bytes, headerBytes, payload, subject }: Delivery): number =>
  bytes - subject.length - payload.length - headerBytes.length
