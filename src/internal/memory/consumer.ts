/**
 * One consumer: who gets which message next, and what the broker waits for. It does as nats-server does, down to the
 * order of redeliveries and the ack floor.
 */
import * as Subject from "../../Subject.ts"
import type * as Topology from "../../Topology.ts"
import type { Stored } from "./log.ts"
import { beginning, countFrom } from "./start.ts"
import type { Follower, Stream } from "./stream.ts"
import type { Timed, Timers } from "./timers.ts"
import { type Pending, Unanswered } from "./unanswered.ts"
import type { Advisory } from "./words.ts"

/** Somebody who pulls from a consumer. */
export interface Puller {
  readonly deliver: (message: Stored, consumerSequence: number, deliveryCount: number, pending: number) => void
  /** One pull is over, and so much of it will not come. `isServed`: because all of it has come, or no more would fit. */
  readonly returned: (messages: number, bytes: number, why: Ending) => void
  /** The consumer was deleted. */
  readonly lost: (consumer: Consumer) => void
}

/**
 * Why a pull is over: it is served; it has no room for the next message; its consumer has lost its leader; nobody is there
 * to answer it.
 */
export type Ending = "served" | "bytes" | "leader" | "nobody"

interface Request {
  readonly puller: Puller
  messages: number
  bytes: number
}

export interface Environment {
  readonly timers: Timers
  readonly now: () => number
  /** There may be something to deliver. */
  readonly wake: (consumer: Consumer) => void
  /** Nobody has pulled for too long. */
  readonly abandon: (consumer: Consumer) => void
  readonly advise: (advisory: Advisory) => void
}

/** About what an ack address takes on the wire. */
export const ACK_ADDRESS_BYTES = 64

export class Consumer implements Follower, Timed {
  readonly config: Topology.Consumer
  readonly stream: Stream<Consumer>
  /** It lies in memory, whatever the stream does. */
  readonly ephemeral: boolean
  readonly pullers = new Set<Puller>()
  armed = Number.POSITIVE_INFINITY
  readonly #environment: Environment
  readonly #requests: Array<Request> = []
  /** Whose turn it is among the requests. */
  #turn = 0
  readonly #unanswered = new Unanswered()
  #next: number
  readonly #latest: Set<number>
  /** How many messages were not delivered yet. */
  #unread: number
  #consumerSequence = 0
  /** Everything up to here is answered: in the stream's sequence, and in this consumer's. */
  #floor: number
  #consumerFloor = 0
  #lastPull: number
  #ended = false

  constructor(config: Topology.Consumer, stream: Stream<Consumer>, environment: Environment, ephemeral: boolean) {
    this.config = config
    this.ephemeral = ephemeral
    this.stream = stream
    this.#environment = environment
    const { latest, next } = beginning(config.start, stream.log, this.reads)
    this.#next = next
    this.#latest = latest
    this.#unread = latest.size + countFrom(stream.log, next, this.reads)
    this.#floor = this.#position - 1
    this.#lastPull = environment.now()
    this.#watchActivity(this.#lastPull)
  }

  get info(): Topology.ConsumerInfo {
    return {
      consumer: this.config,
      pending: this.#unread,
      ackPending: this.#unanswered.size,
      redelivered: this.#unanswered.redelivered,
      ackFloor: this.#floor,
      delivered: this.#position - 1,
      waiting: this.#requests.length
    }
  }

  get unanswered(): ReadonlyArray<Pending> {
    return this.#unanswered.all
  }

  // the stream's side

  readonly reads = (subject: string): boolean => {
    const { filters } = this.config
    return filters.length === 0 || filters.some((filter) => Subject.matches(filter as Subject.Pattern, subject))
  }

  stored(_message: Stored): void {
    this.#unread++
    if (this.#requests.length > 0) {
      this.#environment.wake(this)
    }
  }

  removed(message: Stored): void {
    const pending = this.#unanswered.get(message.sequence)
    if (pending !== undefined) {
      this.#answer(pending)
    } else if (message.sequence >= this.#next || this.#latest.delete(message.sequence)) {
      this.#unread--
    }
  }

  needs(message: Stored): boolean {
    return message.sequence >= this.#next || this.#latest.has(message.sequence)
      || this.#unanswered.get(message.sequence) !== undefined
  }

  // the clients' side

  pull(puller: Puller, messages: number, bytes: number): void {
    if (this.#ended) {
      return
    }
    if (this.stream.leaderless) {
      puller.returned(messages, bytes, "nobody")
      return
    }
    this.#lastPull = this.#environment.now()
    this.#requests.push({ puller, messages, bytes })
    this.#environment.wake(this)
  }

  /** It was deleted: nothing is delivered any more, and nothing is waited for. */
  end(): void {
    this.#ended = true
    this.#requests.length = 0
    this.#unanswered.clear()
  }

  /** Whoever waits is told, and has to ask again. */
  leaderChanged(): void {
    for (const { bytes, messages, puller } of this.#requests.splice(0)) {
      puller.returned(messages, bytes, "leader")
    }
  }

  /** Drops whatever this puller has asked for. */
  withdraw(puller: Puller): void {
    for (let index = this.#requests.length - 1; index >= 0; index--) {
      if (this.#requests[index]!.puller === puller) {
        this.#requests.splice(index, 1)
      }
    }
    this.#lastPull = this.#environment.now()
    this.#watchActivity(this.#lastPull)
  }

  ack(sequence: number, consumerSequence: number): void {
    if (this.config.ack === "all") {
      this.#ackUpTo(sequence, consumerSequence)
      return
    }
    const pending = this.#unanswered.get(sequence)
    if (pending !== undefined) {
      this.#answer(pending)
      this.stream.release(sequence)
    }
  }

  nak(sequence: number, delayMs: number): void {
    const pending = this.#unanswered.get(sequence)
    if (pending === undefined || pending.state === "due") {
      return
    }
    if (delayMs > 0) {
      this.#unanswered.delay(pending, this.#environment.now() + delayMs)
      this.#environment.timers.arm(this, pending.deadline)
    } else {
      this.#repeat(pending)
    }
  }

  /** The lease starts anew. */
  extend(sequence: number): void {
    const pending = this.#unanswered.get(sequence)
    if (pending !== undefined && pending.state !== "due") {
      this.#lease(pending)
    }
  }

  /** Delivers what it can, at most `budget` messages. Whether there is more. */
  pump(budget: number): boolean {
    for (let left = budget; this.#requests.length > 0; left--) {
      const message = this.#upcoming()
      if (message === undefined) {
        return false
      }
      if (left <= 0) {
        return true
      }
      const request = this.#requests[this.#turn % this.#requests.length]!
      const bytes = wireBytes(message)
      if (bytes > request.bytes) {
        this.#end(request, "bytes")
        continue
      }
      request.messages--
      request.bytes -= bytes
      this.#deliver(message, request.puller)
      this.#turn++
      if (request.messages === 0) {
        this.#end(request, "served")
      }
    }
    return false
  }

  /** Leases and delays have ended, or nobody pulls any more. */
  expire(now: number): void {
    if (this.#ended) {
      return
    }
    for (const pending of this.#unanswered.expired(now)) {
      this.#repeat(pending)
    }
    this.#environment.timers.arm(this, this.#unanswered.deadline)
    this.#watchActivity(now)
  }

  // internals

  /** Everything below is delivered, or is passed over. */
  get #position(): number {
    for (const sequence of this.#latest) {
      return sequence
    }
    return this.#next
  }

  /** The message that is next: one that is due again, else a new one, if there is room for it. */
  #upcoming(): Stored | undefined {
    const again = this.#unanswered.next
    if (again !== undefined) {
      return this.stream.log.get(again.sequence)
    }
    const { ack, maxAckPending } = this.config
    if (ack !== "none" && maxAckPending > 0 && this.#unanswered.size >= maxAckPending) {
      return undefined
    }
    for (const sequence of this.#latest) {
      return this.stream.log.get(sequence)
    }
    return this.#seek()
  }

  #seek(): Stored | undefined {
    const { log } = this.stream
    if (this.#unread === 0) {
      return undefined
    }
    for (this.#next = Math.max(this.#next, log.first); this.#next <= log.last; this.#next++) {
      const message = log.get(this.#next)
      if (message !== undefined && this.reads(message.subject.name)) {
        return message
      }
    }
    return undefined
  }

  #deliver(message: Stored, puller: Puller): void {
    const { sequence } = message
    const consumerSequence = ++this.#consumerSequence
    if (this.#unanswered.get(sequence) === undefined) {
      this.#unread--
      if (!this.#latest.delete(sequence)) {
        this.#next = sequence + 1
      }
    }
    if (this.config.ack === "none") {
      this.#consumerFloor = consumerSequence
      this.#floor = sequence
      puller.deliver(message, consumerSequence, 1, this.#unread)
      this.stream.release(sequence)
      return
    }
    const pending = this.#unanswered.delivered(sequence, consumerSequence)
    this.#lease(pending)
    puller.deliver(message, consumerSequence, pending.deliveries, this.#unread)
  }

  /** A lease begins now; with a backoff list it depends on the deliveries how long it lasts. */
  #lease(pending: Pending): void {
    const { ackWaitMs, backoffMs } = this.config
    const millis = backoffMs[Math.min(pending.deliveries, backoffMs.length) - 1] ?? ackWaitMs
    this.#unanswered.lease(pending, this.#environment.now(), millis)
    this.#environment.timers.arm(this, pending.deadline)
  }

  /** It will be delivered again, unless it was delivered often enough: then the consumer sees it no more. */
  #repeat(pending: Pending): void {
    if (this.config.maxDeliver > 0 && pending.deliveries >= this.config.maxDeliver) {
      this.#drop(pending)
    } else {
      this.#unanswered.repeat(pending, this.#environment.now())
      this.#environment.wake(this)
    }
  }

  #drop(pending: Pending): void {
    this.#unanswered.drop(pending)
    // There may be room again.
    this.#environment.wake(this)
  }

  /** A message is done: the floor rises to just below the lowest that is not. */
  #answer(pending: Pending): void {
    this.#drop(pending)
    if (this.#unanswered.size === 0) {
      this.#consumerFloor = this.#consumerSequence
      this.#floor = this.#position - 1
    } else if (pending.consumerSequence === this.#consumerFloor + 1) {
      this.#consumerFloor = pending.consumerSequence
      this.#floor = pending.sequence
      for (let sequence = pending.sequence + 1; sequence < this.#position; sequence++) {
        const open = this.#unanswered.get(sequence)
        if (open !== undefined) {
          this.#consumerFloor = open.consumerSequence - 1
          this.#floor = sequence - 1
          break
        }
      }
    }
  }

  #ackUpTo(sequence: number, consumerSequence: number): void {
    if (consumerSequence <= this.#consumerFloor || sequence <= this.#floor) {
      return
    }
    const before = this.#floor
    this.#consumerFloor = consumerSequence
    this.#floor = sequence
    for (let covered = before + 1; covered <= sequence; covered++) {
      const pending = this.#unanswered.get(covered)
      if (pending !== undefined) {
        this.#drop(pending)
        this.stream.release(covered)
      }
    }
  }

  #end(request: Request, why: Ending): void {
    this.#requests.splice(this.#requests.indexOf(request), 1)
    request.puller.returned(request.messages, request.bytes, why)
  }

  #watchActivity(now: number): void {
    const { inactiveThresholdMs } = this.config
    if (inactiveThresholdMs <= 0) {
      return
    }
    const until = (this.#requests.length > 0 ? now : this.#lastPull) + inactiveThresholdMs
    if (until > now) {
      this.#environment.timers.arm(this, until)
    } else {
      this.#environment.abandon(this)
    }
  }
}

/** What a delivery of this message takes on the wire. */
const wireBytes = (message: Stored): number =>
  message.subject.name.length + message.headers.length + message.payload.length + ACK_ADDRESS_BYTES
