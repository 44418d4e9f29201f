/** One stream: what it keeps, what it refuses, and whom it tells. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Headers from "../../Headers.ts"
import type { Expectation } from "../../Message.ts"
import * as Patterns from "../../Subject.ts"
import type * as Topology from "../../Topology.ts"
import type { Purge, Receipt } from "../../Transport.ts"
import { type Reason, Rejected, WrongLastSequence } from "../../TransportError.ts"
import { Log, type Stored, type Subject } from "./log.ts"
import type { Timed, Timers } from "./timers.ts"

/** A message on its way into a stream. */
export interface Arriving {
  readonly subject: string
  /** As they travel, the message id among them. */
  readonly headers: Uint8Array
  readonly payload: Uint8Array
  readonly id: string
  readonly expect: Expectation | undefined
}

/** What is left after a purge. */
export interface Purged {
  /** Of which subjects messages went; of all, if there is none. */
  readonly filter: string | undefined
  /** The first message of these subjects that is left, if there is one. */
  readonly next: number | undefined
  /** The last sequence of the stream. */
  readonly last: number
  readonly isGone: (sequence: number) => boolean
}

/** Whom a stream tells what happens to the messages of the subjects that it reads: a consumer. */
export interface Follower {
  /** Everything up to here is answered. */
  readonly floor: number
  readonly reads: (subject: string) => boolean
  readonly stored: (message: Stored) => void
  readonly removed: (message: Stored) => void
  readonly purged: (purged: Purged) => void
  /** Whether the message still has to be delivered or acknowledged. */
  readonly needs: (message: Stored) => boolean
}

export class Stream<F extends Follower> implements Timed {
  readonly config: Topology.Stream
  readonly log: Log
  readonly consumers = new Map<string, F>()
  /** Between two leaders nobody answers. */
  leaderless = false
  armed = Number.POSITIVE_INFINITY
  readonly #timers: Timers
  readonly #ids = new Map<string, { readonly sequence: number; readonly at: number }>()
  /** Grows whenever a consumer comes or goes. */
  #version = 0
  /** A stream that had no message yet, and was never emptied, has no first sequence either. */
  #begun = false

  constructor(config: Topology.Stream, timers: Timers) {
    this.config = config
    this.log = new Log(config.storage)
    this.#timers = timers
  }

  get info(): Topology.StreamInfo {
    const { bytes, first, last, messages } = this.log
    return { stream: this.config, messages, bytes, firstSequence: this.#begun ? first : 0, lastSequence: last }
  }

  store(message: Arriving, now: number): Receipt {
    // First what is expected, then the id: a repeat is refused as well, if others have written in between.
    const surprise = this.#surprise(message)
    if (surprise !== undefined) {
      return notSent(surprise)
    }
    const known = this.#recall(message.id, now)
    if (known !== undefined) {
      return { _tag: "Confirmed", stream: this.config.name, sequence: known, duplicate: true }
    }
    const refusal = this.#refusal(message)
    if (refusal !== undefined) {
      return notSent(refusal)
    }
    const sequence = this.#keep(message, now)
    if (this.config.duplicateWindowMs > 0) {
      this.#ids.set(message.id, { sequence, at: now })
    }
    return { _tag: "Confirmed", stream: this.config.name, sequence, duplicate: false }
  }

  /** Forgets a message, and tells everybody who reads it. */
  remove(message: Stored): void {
    this.log.remove(message)
    for (const follower of this.#followers(message.subject)) {
      follower.removed(message)
    }
  }

  /** Forgets what a purge applies to, and says how much that was. */
  purge({ filter, keep = 0, upTo = Number.POSITIVE_INFINITY }: Purge): number {
    const found: Array<Stored> = []
    for (let sequence = this.log.first; sequence <= this.log.last && sequence < upTo; sequence++) {
      const message = this.log.get(sequence)
      if (message !== undefined && (filter === undefined || matches(filter, message.subject.name))) {
        found.push(message)
      }
    }
    const gone = found.slice(0, Math.max(0, found.length - keep))
    for (const message of gone) {
      this.log.remove(message)
    }
    this.#begun ||= filter === undefined && keep === 0 && !Number.isFinite(upTo)
    if (filter === undefined && Number.isFinite(upTo)) {
      this.log.continueAt(upTo)
    }
    const { first, last } = this.log
    const next = filter === undefined
      ? first
      : this.log.all.find((message) => matches(filter, message.subject.name))?.sequence
    for (const follower of this.consumers.values()) {
      follower.purged({ filter, next, last, isGone: (sequence) => this.log.get(sequence) === undefined })
    }
    return gone.length
  }

  follow(name: string, follower: F): void {
    this.consumers.set(name, follower)
    this.#version++
  }

  unfollow(name: string): void {
    const floor = this.consumers.get(name)?.floor ?? 0
    this.consumers.delete(name)
    this.#version++
    if (this.config.retention !== "interest") {
      return
    }
    if (this.consumers.size === 0) {
      this.purge({})
      return
    }
    // Not below its floor: what was given up there, and stayed for it, stays for good.
    for (let sequence = Math.max(floor, this.log.first); sequence <= this.log.last; sequence++) {
      this.release(sequence)
    }
  }

  /** A consumer needs this message no more; with work queues and interest it may go then. */
  release(sequence: number): void {
    const message = this.log.get(sequence)
    if (message === undefined || this.config.retention === "limits") {
      return
    }
    if (this.config.retention === "workqueue" || !this.#followers(message.subject).some((f) => f.needs(message))) {
      this.remove(message)
    }
  }

  /** Messages have come of age. */
  expire(now: number): void {
    if (this.config.maxAgeMs <= 0) {
      return
    }
    for (let oldest = this.#oldest(); oldest !== undefined; oldest = this.#oldest()) {
      const due = oldest.timestamp + this.config.maxAgeMs
      if (due > now) {
        this.#timers.arm(this, due)
        return
      }
      this.remove(oldest)
    }
  }

  /** The server runs again: it has learnt the ids anew, from the messages that are left. */
  restarted(now: number): void {
    this.#ids.clear()
    for (const { headers, sequence, timestamp } of this.log.all) {
      const id = now - timestamp < this.config.duplicateWindowMs ? idOf(headers) : undefined
      if (id !== undefined) {
        this.#ids.set(id, { sequence, at: timestamp })
      }
    }
    this.expire(now)
  }

  /** The sequence under which this id was stored within the window. The window starts with the first one, and stays. */
  #recall(id: string, now: number): number | undefined {
    for (const [oldest, { at }] of this.#ids) {
      if (now - at < this.config.duplicateWindowMs) {
        break
      }
      this.#ids.delete(oldest)
    }
    return this.#ids.get(id)?.sequence
  }

  #surprise({ expect, subject }: Arriving): Reason | undefined {
    if (expect === undefined) {
      return undefined
    }
    if (expect.stream !== undefined && expect.stream !== this.config.name) {
      return rejected(10_060, "expected stream does not match", false)
    }
    const lastOfSubject = expect.lastSubjectSequence
    if (lastOfSubject !== undefined) {
      const last = this.log.lastOf(subject)?.sequence ?? 0
      if (last !== lastOfSubject) {
        return wrongLast(subject, last)
      }
    }
    if (expect.lastSequence !== undefined && expect.lastSequence !== this.log.last) {
      return wrongLast(subject, this.log.last)
    }
    return undefined
  }

  #refusal({ headers, payload, subject }: Arriving): Reason | undefined {
    const { discard, maxBytes, maxMessages, retention } = this.config
    // What nobody wants needs no room.
    if (discard === "old" || (retention === "interest" && !this.#isWanted(subject))) {
      return undefined
    }
    const leaves = this.#leavesFor(subject)
    if (maxMessages > 0 && this.log.messages >= maxMessages && leaves === undefined) {
      return full("maximum messages exceeded")
    }
    const bytes = this.log.recordBytes(subject, headers, payload)
    const isFull = maxBytes > 0 && this.log.bytes + bytes > maxBytes
    return isFull && (leaves === undefined || leaves.bytes < bytes) ? full("maximum bytes exceeded") : undefined
  }

  /** The oldest message of a full subject makes room for the new one, whatever is discarded otherwise. */
  #leavesFor(name: string): Stored | undefined {
    const { maxPerSubject } = this.config
    const subject = this.log.subjects.get(name)
    return subject !== undefined && maxPerSubject > 0 && subject.messages >= maxPerSubject
      ? this.log.firstOf(subject)
      : undefined
  }

  #keep(message: Arriving, now: number): number {
    this.#begun = true
    if (this.config.retention === "interest" && !this.#isWanted(message.subject)) {
      return this.log.skip()
    }
    const stored = this.log.append(message.subject, message.headers, message.payload, now)
    for (const follower of this.#followers(stored.subject)) {
      follower.stored(stored)
    }
    this.#enforceLimits(stored.subject)
    if (this.config.maxAgeMs > 0) {
      this.#timers.arm(this, now + this.config.maxAgeMs)
    }
    return stored.sequence
  }

  #enforceLimits(subject: Subject): void {
    const { maxBytes, maxMessages, maxPerSubject } = this.config
    while (maxPerSubject > 0 && subject.messages > maxPerSubject) {
      this.remove(this.log.firstOf(subject)!)
    }
    while ((maxMessages > 0 && this.log.messages > maxMessages) || (maxBytes > 0 && this.log.bytes > maxBytes)) {
      this.remove(this.#oldest()!)
    }
  }

  #oldest(): Stored | undefined {
    return this.log.get(this.log.first)
  }

  #isWanted(subject: string): boolean {
    for (const follower of this.consumers.values()) {
      if (follower.reads(subject)) {
        return true
      }
    }
    return false
  }

  /** Worked out once per subject, until a consumer comes or goes. */
  #followers(subject: Subject): ReadonlyArray<F> {
    if (subject.readersAt !== this.#version) {
      subject.readers = [...this.consumers.values()].filter((follower) => follower.reads(subject.name))
      subject.readersAt = this.#version
    }
    return subject.readers as ReadonlyArray<F>
  }
}

// internals

const idOf = (headers: Uint8Array): string | undefined =>
  Option.getOrUndefined(
    Option.flatMap(Result.getSuccess(Headers.decode(headers)), (decoded) => Headers.get(decoded, "Nats-Msg-Id"))
  )

const matches = (pattern: string, subject: string): boolean => Patterns.matches(pattern as Patterns.Pattern, subject)

const notSent = (reason: Reason): Receipt => ({ _tag: "NotSent", reason })

const wrongLast = (subject: string, last: number): Reason =>
  new WrongLastSequence({ subject, detail: `wrong last sequence: ${last}` })

const rejected = (code: number, detail: string, transient: boolean): Reason =>
  new Rejected({ operation: "publish", code, detail, transient })

const full = (detail: string): Reason => rejected(10_077, detail, true)
