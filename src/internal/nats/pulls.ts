/**
 * The pulls that are out, as leases on the server's attention (I6).
 *
 * Each pull has its own reply subject, so that a status belongs to one of them. A pull ends when it is served, when the
 * server says so (404, 408, 409, 503, told apart by code), or when the server has been silent for two heartbeats; what
 * it still owed is returned to the intake, which asks again at once.
 */

interface PullOut {
  readonly id: number
  messages: number
  bytes: number
}

export interface Limits {
  readonly maxBatch: number
  readonly maxExpiresMs: number
  readonly maxPullBytes: number
}

const EXPIRES_MS = 30_000
/** A heartbeat every second; two missed ones and a half end the pull. */
const HEARTBEAT_MS = 1_000
const SILENCE_MAX_MS = 2_500
const NANOS = 1e6

export class Pulls {
  readonly #out = new Map<number, PullOut>()
  readonly #returned: (messages: number, bytes: number) => void
  #last = 0
  #heardAt = 0

  constructor(returned: (messages: number, bytes: number) => void) {
    this.#returned = returned
  }

  /** Registers a pull and gives its id and its request; what the consumer's limits forbid is returned at once. */
  ask(messages: number, bytes: number, limits: Limits, now: number): { readonly id: number; readonly body: string } {
    const pull = {
      id: ++this.#last,
      messages: Math.min(messages, limits.maxBatch),
      bytes: Math.min(bytes, limits.maxPullBytes)
    }
    if (this.#out.size === 0) {
      this.#heardAt = now
    }
    this.#out.set(pull.id, pull)
    this.#returned(messages - pull.messages, bytes - pull.bytes)
    const expires = Math.min(EXPIRES_MS, limits.maxExpiresMs)
    const body = JSON.stringify({
      batch: pull.messages,
      max_bytes: pull.bytes,
      expires: expires * NANOS,
      idle_heartbeat: Math.min(HEARTBEAT_MS, Math.floor(expires / 2)) * NANOS
    })
    return { id: pull.id, body }
  }

  /** A message came: the server serves pulls in the order of their arrival. */
  served(bytes: number, now: number): void {
    this.#heardAt = now
    for (const pull of this.#out.values()) {
      pull.messages--
      pull.bytes -= bytes
      if (pull.messages <= 0) {
        this.#out.delete(pull.id)
        this.#returned(0, Math.max(0, pull.bytes))
      }
      return
    }
  }

  heard(now: number): void {
    this.#heardAt = now
  }

  /** The server ended a pull; whether it was still owed something. */
  ended(id: number): boolean {
    const pull = this.#out.get(id)
    if (pull === undefined) {
      return false
    }
    this.#out.delete(id)
    this.#returned(pull.messages, Math.max(0, pull.bytes))
    return pull.messages > 0
  }

  /** Whether the server owes something and has said nothing for too long. */
  isSilent(now: number): boolean {
    return this.#out.size > 0 && now - this.#heardAt > SILENCE_MAX_MS
  }

  endAll(): void {
    for (const id of [...this.#out.keys()]) {
      this.ended(id)
    }
  }
}
