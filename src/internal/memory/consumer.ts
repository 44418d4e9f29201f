/**
 * One consumer: who gets which message next. It does as `consumer.go` of nats-server does, down to the order of
 * redeliveries, and to what it does not tell.
 */
import * as Subject from "../../Subject.ts"
import type * as Topology from "../../Topology.ts"
import type { Stored } from "./log.ts"
import { type Ask, type Asker, Requests } from "./requests.ts"
import { beginning, countFrom } from "./start.ts"
import type { Follower, Purged, Stream } from "./stream.ts"
import type { Timed, Timers } from "./timers.ts"
import { type Address, Tracking } from "./tracking.ts"
import type { Pending } from "./unanswered.ts"
import type { Advisory } from "./words.ts"

/** Somebody who pulls from a consumer. */
export interface Puller extends Asker {
  /** `pending` is what the consumer has not delivered yet. */
  readonly deliver: (message: Stored, address: Address, pending: number) => void
  /** The consumer was deleted. */
  readonly lost: (consumer: Consumer) => void
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
  armed = Number.POSITIVE_INFINITY
  readonly #environment: Environment
  readonly #requests: Requests<Puller>
  readonly #tracking: Tracking
  #next: number
  readonly #latest: Set<number>
  /** How many messages were not delivered yet. */
  #unread: number
  #lastActive: number
  #ended = false
  #halted = false

  constructor(config: Topology.Consumer, stream: Stream<Consumer>, environment: Environment, ephemeral: boolean) {
    this.config = config
    this.ephemeral = ephemeral
    this.stream = stream
    this.#environment = environment
    this.#requests = new Requests(config.maxWaiting)
    const { latest, next } = beginning(config.start, stream.log, this.reads, config.filters.length > 0)
    this.#next = next
    this.#latest = latest
    this.#unread = latest.size + countFrom(stream.log, next, this.reads)
    const of = { stream: stream.config.name, consumer: config.name }
    this.#tracking = new Tracking({
      config,
      now: environment.now,
      position: () => this.#position,
      tell: (news) => environment.advise({ ...news, ...of, at: environment.now() }),
      arm: (at) => environment.timers.arm(this, at)
    })
    this.#lastActive = environment.now()
    this.#watchActivity(this.#lastActive)
  }

  /** As the server reports it: deliveries and floor as they are written down, the rest as it works with it. */
  get info(): Topology.ConsumerInfo {
    const { ledger, redelivered, unanswered } = this.#tracking
    return {
      consumer: this.config,
      pending: this.#unread,
      ackPending: unanswered.size,
      redelivered: this.config.maxDeliver === 1 ? 0 : redelivered.size,
      ackFloor: ledger.floor,
      delivered: ledger.delivered,
      waiting: this.#requests.count()
    }
  }

  get floor(): number {
    return this.#tracking.floor
  }

  get isEnded(): boolean {
    return this.#ended
  }

  /** Who waits for what it has. */
  get waiting(): ReadonlySet<Puller> {
    return this.#requests.pullers
  }

  get unanswered(): ReadonlyArray<Pending> {
    return this.#tracking.unanswered.all
  }

  deliveriesOf(sequence: number): number {
    return this.#tracking.deliveriesOf(sequence)
  }

  // the stream's side

  readonly reads = (subject: string): boolean => {
    const { filters } = this.config
    return filters.length === 0 || filters.some((filter) => Subject.matches(filter as Subject.Pattern, subject))
  }

  stored({ sequence }: Stored): void {
    // It may be meant to begin farther on than the stream reaches.
    if (sequence < this.#next) {
      return
    }
    this.#unread++
    if (this.#requests.size > 0) {
      this.#environment.wake(this)
    }
  }

  removed({ sequence }: Stored): void {
    const covered = this.#tracking.removed(sequence)
    if (covered !== undefined) {
      for (const done of covered) {
        this.stream.release(done)
      }
      // There may be room again.
      this.#environment.wake(this)
    } else if (sequence >= this.#next || this.#latest.delete(sequence)) {
      this.#unread--
    }
  }

  /** Messages went without a word about each of them. */
  purged({ filter, isGone, last, next }: Purged): void {
    const { log } = this.stream
    const covers = filter === undefined || this.config.filters.some((one) => covered(filter, one))
    for (const sequence of this.#latest) {
      if (isGone(sequence)) {
        this.#latest.delete(sequence)
      }
    }
    if (covers || this.reads(filter)) {
      const to = covers ? next ?? last + 1 : log.first
      this.#next = Math.max(this.#next, to)
      this.#tracking.skipTo(to, covers ? () => false : isGone)
      this.#environment.wake(this)
    }
    this.#unread = this.#latest.size + countFrom(log, this.#next, this.reads)
  }

  needs({ sequence }: Stored): boolean {
    const { floor, redelivered, unanswered } = this.#tracking
    const isOpen = this.config.ack === "explicit"
      ? sequence >= this.#next || this.#latest.has(sequence) || unanswered.get(sequence) !== undefined
      : sequence > floor
    return isOpen || redelivered.has(sequence)
  }

  // the clients' side

  pull(puller: Puller, ask: Ask): void {
    if (this.#ended) {
      return
    }
    const { bytes, messages, noWait = false } = ask
    if (this.stream.leaderless) {
      puller.returned(messages, bytes, "nobody")
      return
    }
    this.#requests.expire(this.#touch())
    const there = noWait ? this.#unread + this.#tracking.unanswered.due : 0
    if (noWait && there === 0 && ask.expiresAt === Number.POSITIVE_INFINITY) {
      puller.returned(messages, bytes, "empty")
    } else if (noWait && there > 0 && there < this.#requests.messages) {
      puller.returned(messages, bytes, "busy")
    } else if (this.#requests.isFull) {
      puller.returned(messages, bytes, "full")
    } else {
      this.#requests.add(puller, ask)
      this.#environment.timers.arm(this, ask.expiresAt)
      this.#environment.wake(this)
    }
  }

  /** Whether there is an answer to it: none to what was not delivered yet, by this consumer at least. */
  ack({ consumerSequence, sequence }: Address): boolean {
    this.#touch()
    if (sequence >= this.#next || this.config.ack === "none") {
      return false
    }
    if (this.config.ack === "all") {
      const covered = this.#tracking.answerUpTo(sequence, consumerSequence)
      for (const done of covered) {
        this.stream.release(done)
      }
    } else {
      this.#tracking.answer(sequence, consumerSequence)
      this.stream.release(sequence)
    }
    this.#environment.wake(this)
    return true
  }

  /** As `ack`; it is told in any case. */
  term(address: Address, reason: string): boolean {
    const isAnswered = this.ack(address)
    const { advise, now } = this.#environment
    const of = { stream: this.stream.config.name, consumer: this.config.name, at: now() }
    advise({ _tag: "Terminated", ...address, reason, ...of })
    return isAnswered
  }

  nak(address: Address, delayMs: number): void {
    this.#touch()
    if (this.#tracking.nak(address, delayMs)) {
      this.#environment.wake(this)
    }
  }

  /** The lease starts anew. */
  extend(sequence: number): void {
    this.#touch()
    this.#tracking.extend(sequence)
  }

  /** Drops whatever this puller has asked for. */
  withdraw(puller: Puller): void {
    this.#requests.withdraw(puller)
  }

  // the broker's side

  /** It was deleted: nothing is delivered any more, and nothing is waited for. */
  end(): void {
    this.#ended = true
    this.#requests.clear()
    this.#tracking.unanswered.clear()
  }

  /** Its leader steps down: whoever waits is told, and has to ask again. */
  leaderChanged(): void {
    this.#requests.endAll("leader")
    this.halt()
  }

  /** Nobody looks after it: its server is stopped, or it has no leader. */
  halt(): void {
    this.#halted = true
    this.#requests.clear()
  }

  /** Somebody does again, who knows what was written down. */
  restarted(): void {
    this.#halted = false
    this.#tracking.restore()
    const now = this.#touch()
    this.#watchActivity(now)
  }

  /** Delivers what it can, at most `budget` messages. Whether there is more. */
  pump(budget: number): boolean {
    for (let left = budget; this.#requests.size > 0; left--) {
      const again = this.#tracking.again()
      const message = again === undefined ? this.#upcoming() : this.stream.log.get(again.sequence)
      if (message === undefined) {
        if (!this.#tracking.isFull) {
          this.#requests.exhausted()
        }
        return false
      }
      const bytes = wireBytes(message)
      const request = left > 0 ? this.#requests.next(bytes) : undefined
      if (request === undefined) {
        if (again !== undefined) {
          this.#tracking.takeBack(again)
        }
        return left <= 0
      }
      this.#deliver(message, again, request.puller)
      this.#requests.serve(request, bytes)
    }
    return false
  }

  /** Leases, delays or pulls have ended, or nobody pulls any more. */
  expire(now: number): void {
    if (this.#ended || this.#halted) {
      return
    }
    this.#requests.expire(now)
    this.#tracking.expire(now)
    this.#environment.timers.arm(this, this.#requests.deadline)
    this.#environment.wake(this)
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

  /** The new message that is next, if there is room for it. */
  #upcoming(): Stored | undefined {
    if (this.#tracking.isFull) {
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

  #deliver(message: Stored, again: Pending | undefined, puller: Puller): void {
    const { sequence } = message
    if (again === undefined) {
      this.#unread--
      if (!this.#latest.delete(sequence)) {
        this.#next = sequence + 1
      }
    }
    this.#touch()
    puller.deliver(message, this.#tracking.deliver(sequence, again), this.#unread)
    if (this.config.ack === "none") {
      this.stream.release(sequence)
    }
  }

  #touch(): number {
    this.#lastActive = this.#environment.now()
    return this.#lastActive
  }

  #watchActivity(now: number): void {
    const { inactiveThresholdMs } = this.config
    if (inactiveThresholdMs <= 0) {
      return
    }
    const until = this.#lastActive + inactiveThresholdMs
    if (until > now) {
      this.#environment.timers.arm(this, until)
    } else if (this.#requests.size > 0) {
      this.#environment.timers.arm(this, now + inactiveThresholdMs)
    } else {
      this.#environment.abandon(this)
    }
  }
}

/** What a delivery of this message takes on the wire. */
const wireBytes = (message: Stored): number =>
  message.subject.name.length + message.headers.length + message.payload.length + ACK_ADDRESS_BYTES

/** Whether a pattern stands for everything that another one stands for, as the server compares them. */
const covered = (pattern: string, other: string): boolean =>
  Subject.matches(pattern as Subject.Pattern, other) && (pattern.endsWith(">") || !other.endsWith(">"))
