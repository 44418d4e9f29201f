/**
 * The pulls that are out, as leases on the server's attention (I6).
 *
 * Each pull has its own reply subject, so that a status belongs to one of them; a message does not tell which one it
 * answers. The server serves the pulls that are out in turns, so only the sum of what they are owed is known, and how much
 * of it was one pull's is what its status says. A pull ends when all are served, when the server says so (404, 408, 409,
 * 503, told apart by code), or when the server has been silent for two heartbeats; what it was still owed is returned to
 * the intake, which asks again at once.
 */

interface PullOut {
  readonly messages: number
  readonly bytes: number
  /** When the server has ended it for certain, in ms. */
  readonly overAt: number
}

/** What a pull was still owed when the server ended it, as far as its status says. */
export interface Owed {
  readonly messages: number | undefined
  readonly bytes: number | undefined
}

export interface Limits {
  readonly maxBatch: number
  readonly maxExpiresMs: number
  readonly maxPullBytes: number
}

/**
 * A server goes on serving the pulls of a connection that is gone without its knowing, and what it gives them is lost
 * until the ack wait is over. Such a connection is found out after two seconds at the earliest: by then they are over.
 */
const EXPIRES_MS = 2_000
const EXPIRES_MARGIN_MS = 10_000
/** A heartbeat every second; two missed ones and a half end the pull. */
const HEARTBEAT_MS = 1_000
/**
 * Who reads without acks learns from a heartbeat alone that the last delivery never arrived. It comes after twice that at
 * the latest: a pull that ends in between begins to count anew.
 */
const ORDERED_HEARTBEAT_MS = 400
const SILENCE_MAX_MS = 2_500
const NANOS = 1e6
/** What a message weighs beyond its payload and headers: subject, ack address, protocol. */
const OVERHEAD_BYTES = 64 * 1024

export const pullSubject = (stream: string, consumer: string): string =>
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`

/** Enough for the largest message that the server takes. */
export const bytesMin = ({ maxPayload }: { readonly maxPayload: number }): number => maxPayload + OVERHEAD_BYTES

export class Pulls {
  /** In the order of asking. One that was served stays until all are, or until its time is over. */
  readonly #out = new Map<number, PullOut>()
  readonly #returned: (messages: number, bytes: number) => void
  readonly #heartbeatMs: number
  /** What all that are out are owed together. */
  #messages = 0
  #bytes = 0
  #last = 0
  #heardAt = 0

  constructor(returned: (messages: number, bytes: number) => void, isOrdered = false) {
    this.#returned = returned
    this.#heartbeatMs = isOrdered ? ORDERED_HEARTBEAT_MS : HEARTBEAT_MS
  }

  /** Registers a pull and gives its id and its request; what the consumer's limits forbid is returned at once. */
  ask(messages: number, bytes: number, limits: Limits, now: number): { readonly id: number; readonly body: string } {
    const batch = Math.min(messages, limits.maxBatch)
    const maxBytes = Math.min(bytes, limits.maxPullBytes)
    const expires = Math.min(EXPIRES_MS, limits.maxExpiresMs)
    if (this.#out.size === 0) {
      this.#heardAt = now
    }
    this.#dropOld(now)
    const id = ++this.#last
    this.#out.set(id, { messages: batch, bytes: maxBytes, overAt: now + expires + EXPIRES_MARGIN_MS })
    this.#messages += batch
    this.#bytes += maxBytes
    this.#returned(messages - batch, bytes - maxBytes)
    const body = JSON.stringify({
      batch,
      max_bytes: maxBytes,
      expires: expires * NANOS,
      idle_heartbeat: Math.min(this.#heartbeatMs, Math.floor(expires / 2)) * NANOS
    })
    return { id, body }
  }

  /** A message came. */
  served(bytes: number, now: number): void {
    this.#heardAt = now
    this.#messages = Math.max(0, this.#messages - 1)
    this.#bytes = Math.max(0, this.#bytes - bytes)
    if (this.#messages === 0) {
      this.endAll()
    }
  }

  /** A status for this pull came. Whether the pull is out. */
  heard(id: number, now: number): boolean {
    const isOut = this.#out.has(id)
    if (isOut) {
      this.#heardAt = now
    }
    return isOut
  }

  /** The server ended a pull; whether it was still owed something. */
  ended(id: number, owed: Owed): boolean {
    const pull = this.#out.get(id)
    if (pull === undefined) {
      return false
    }
    this.#out.delete(id)
    const isLast = this.#out.size === 0
    const messages = isLast ? this.#messages : Math.min(this.#messages, owed.messages ?? pull.messages)
    const bytes = isLast ? this.#bytes : Math.min(this.#bytes, owed.bytes ?? pull.bytes)
    this.#messages -= messages
    this.#bytes -= bytes
    this.#returned(messages, bytes)
    if (this.#messages === 0) {
      this.endAll()
    }
    return messages > 0
  }

  /** Whether the server owes something. */
  get areOut(): boolean {
    return this.#out.size > 0
  }

  /** Whether the server owes something and has said nothing for too long. */
  isSilent(now: number): boolean {
    return this.#out.size > 0 && now - this.#heardAt > SILENCE_MAX_MS
  }

  endAll(): void {
    const [messages, bytes] = [this.#messages, this.#bytes]
    this.#out.clear()
    this.#messages = 0
    this.#bytes = 0
    this.#returned(messages, bytes)
  }

  #dropOld(now: number): void {
    for (const [id, pull] of this.#out) {
      if (now < pull.overAt) {
        return
      }
      this.#out.delete(id)
    }
  }
}
