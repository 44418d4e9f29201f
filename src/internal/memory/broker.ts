/**
 * A broker in memory: streams, consumers, and turns. Whatever a client asks for is done in one of the next turns, never
 * while it asks; deliveries go out in bursts.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scheduler from "effect/Scheduler"
import * as Subject from "../../Subject.ts"
import * as Topology from "../../Topology.ts"
import type { Purge, Receipt } from "../../Transport.ts"
import {
  because,
  ConsumerNotFound,
  NoResponders,
  type Reason,
  Rejected,
  StreamNotFound,
  type TransportError
} from "../../TransportError.ts"
import { captured } from "./advisories.ts"
import { Consumer, type Environment } from "./consumer.ts"
import type { Stored } from "./log.ts"
import * as Rules from "./rules.ts"
import { type Arriving, Stream } from "./stream.ts"
import { Timers } from "./timers.ts"
import type { Advisory } from "./words.ts"

/** How many deliveries go out in one turn, so that no reader keeps everybody else waiting. */
const BURST = 1_024
/** How many subjects remember which stream takes them. */
const ROUTES_MAX = 65_536

export class Broker {
  readonly maxPayload: number
  readonly absentWithinMs: number
  readonly streams = new Map<string, Stream<Consumer>>()
  readonly #clock: Clock.Clock
  readonly #dispatcher: Scheduler.SchedulerDispatcher
  readonly #timers: Timers
  readonly #environment: Environment
  /** Which stream takes a subject; `undefined` for none. */
  readonly #routes = new Map<string, Stream<Consumer> | undefined>()
  readonly #awake = new Set<Consumer>()
  readonly #listeners = new Set<(advisory: Advisory) => void>()
  readonly #context: Context.Context<never>
  #down = false
  #asked: Array<() => void> = []
  #scheduled = false
  #closed = false
  #names = 0
  #advisories = 0

  constructor(options: {
    readonly clock: Clock.Clock
    readonly scheduler: Scheduler.Scheduler
    readonly context: Context.Context<never>
    readonly maxPayload: number
    readonly absentWithinMs: number
  }) {
    this.maxPayload = options.maxPayload
    this.absentWithinMs = options.absentWithinMs
    this.#clock = options.clock
    this.#context = options.context
    this.#dispatcher = options.scheduler.makeDispatcher()
    this.#timers = new Timers(options.clock, options.context)
    this.#environment = {
      timers: this.#timers,
      now: this.now,
      wake: (consumer) => {
        this.#awake.add(consumer)
        this.#schedule()
      },
      abandon: (consumer) => this.#end(consumer),
      advise: this.#advise
    }
  }

  /** Nobody can reach it. */
  get isDown(): boolean {
    return this.#down
  }

  readonly now = (): number => this.#clock.currentTimeMillisUnsafe()

  /** Does something in the next turn. */
  readonly ask = (task: () => void): void => {
    this.#asked.push(task)
    this.#schedule()
  }

  /** Does something at once, unless others have asked for something before: then after that. */
  readonly follow = (task: () => void): void => {
    if (this.#asked.length === 0) {
      task()
    } else {
      this.#asked.push(task)
    }
  }

  /** Does something of a client's own soon, in no turn of the broker. */
  readonly later = (task: () => void): void => {
    this.#dispatcher.scheduleTask(task, 0)
  }

  /** Does something after a while. */
  after(millis: number, effect: Effect.Effect<void>): void {
    const expire = () => void Effect.runForkWith(this.#context)(effect)
    this.#timers.arm({ armed: Number.POSITIVE_INFINITY, expire }, this.now() + millis)
  }

  /** Tells somebody every advisory from now on, until the answer is called. */
  listen(listener: (advisory: Advisory) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  close(): void {
    this.#closed = true
    this.#timers.close()
    this.#asked = []
    this.#awake.clear()
  }

  // messages

  publish(message: Arriving): Receipt {
    const stream = this.#route(message.subject)
    return stream === undefined || stream.leaderless
      ? { _tag: "NotSent", reason: new NoResponders({ subject: message.subject }) }
      : stream.store(message, this.now())
  }

  // streams

  stream(name: string): Result.Result<Stream<Consumer>, TransportError> {
    const found = this.streams.get(name)
    return found === undefined ? fail(new StreamNotFound({ stream: name })) : Result.succeed(found)
  }

  /** Makes a stream, or finds the one that is there already and differs in nothing. */
  createStream(wanted: Topology.Stream): Result.Result<void, TransportError> {
    const others = [...this.streams.values()].map((stream) => stream.config)
    return Result.flatMap(Rules.stream(wanted, others), (config) => {
      const existing = this.streams.get(config.name)
      if (existing !== undefined) {
        return Topology.streamDifferences(config, existing.config).length === 0
          ? Result.succeed(undefined)
          : rejected("create stream", 10_058, "stream name already in use with a different configuration")
      }
      this.streams.set(config.name, new Stream(config, this.#timers))
      this.#routes.clear()
      this.#advise({ _tag: "StreamCreated", stream: config.name, at: this.now() })
      return Result.succeed(undefined)
    })
  }

  deleteStream(name: string): Result.Result<void, TransportError> {
    return Result.map(this.stream(name), (stream) => {
      this.streams.delete(name)
      this.#routes.clear()
      for (const consumer of [...stream.consumers.values()]) {
        this.#end(consumer)
      }
      this.#advise({ _tag: "StreamDeleted", stream: name, at: this.now() })
    })
  }

  purgeStream(name: string, purge: Purge): Result.Result<number, TransportError> {
    return (purge.keep ?? 0) > 0 && purge.upTo !== undefined
      ? rejected("purge", 10_003, "bad request")
      : Result.map(this.stream(name), (stream) => stream.purge(purge))
  }

  deleteMessage(name: string, sequence: number): Result.Result<void, TransportError> {
    return Result.flatMap(this.stream(name), (stream) => {
      const { first, last } = stream.log
      const message = stream.log.get(sequence)
      if (message !== undefined) {
        return Result.succeed(stream.remove(message))
      }
      // A server's store in memory does not tell where there is nothing.
      return stream.config.storage === "memory" || (sequence >= first && sequence <= last)
        ? rejected("delete message", 10_043, `sequence ${sequence} not found`)
        : rejected("delete message", 10_057, "no message found")
    })
  }

  message(name: string, sequence: number): Result.Result<Stored, TransportError> {
    return Result.flatMap(this.stream(name), (stream) => {
      const message = stream.log.get(sequence)
      return message === undefined
        ? rejected("message", 10_057, "no message found")
        : Result.succeed(message)
    })
  }

  // consumers

  consumer(stream: string, name: string): Result.Result<Consumer, TransportError> {
    return Result.flatMap(this.stream(stream), (found) => {
      const consumer = found.consumers.get(name)
      return consumer === undefined
        ? fail(new ConsumerNotFound({ stream, consumer: name }))
        : Result.succeed(consumer)
    })
  }

  /** Makes a consumer, or finds the one that is there already and differs in nothing. */
  createConsumer(
    streamName: string,
    wanted: Topology.Consumer,
    ephemeral = false
  ): Result.Result<Consumer, TransportError> {
    return Result.flatMap(this.stream(streamName), (stream) => {
      const others = [...stream.consumers.values()].map((consumer) => consumer.config)
      return Result.flatMap(Rules.consumer(wanted, stream.config, others), (config) => {
        const existing = stream.consumers.get(config.name)
        if (existing !== undefined) {
          return isSame(config, existing.config)
            ? Result.succeed(existing)
            : rejected("create consumer", 10_148, "consumer already exists")
        }
        const consumer = new Consumer(config, stream, this.#environment, ephemeral)
        stream.follow(config.name, consumer)
        this.#advise({ _tag: "ConsumerCreated", stream: streamName, consumer: config.name, at: this.now() })
        return Result.succeed(consumer)
      })
    })
  }

  deleteConsumer(stream: string, name: string): Result.Result<void, TransportError> {
    return Result.map(this.consumer(stream, name), (consumer) => this.#end(consumer))
  }

  /** A name for a consumer that nobody else will ask for. */
  freshName(): string {
    return `sluice_${++this.#names}`
  }

  // accidents

  /** The stream's leader and those of its consumers step down; for so long there is no other. */
  stepDown(name: string, electionMs: number): Result.Result<void, TransportError> {
    return Result.map(this.stream(name), (stream) => {
      stream.leaderless = true
      for (const consumer of stream.consumers.values()) {
        consumer.leaderChanged()
      }
      this.after(electionMs, Effect.sync(() => this.#elected(stream)))
    })
  }

  /** It is down: what lies in memory is gone, ephemeral consumers included. */
  halt(): void {
    this.#down = true
    for (const stream of [...this.streams.values()]) {
      if (stream.config.storage === "memory") {
        this.streams.delete(stream.config.name)
      }
      for (const consumer of [...stream.consumers.values()]) {
        consumer.halt()
        if (consumer.ephemeral || stream.config.storage === "memory") {
          consumer.end()
          stream.unfollow(consumer.config.name)
        }
      }
    }
    this.#routes.clear()
  }

  /** It is up again. */
  resume(): void {
    this.#down = false
    for (const stream of this.streams.values()) {
      stream.restarted(this.now())
      for (const consumer of stream.consumers.values()) {
        consumer.restarted()
      }
    }
  }

  // internals

  readonly #advise = (advisory: Advisory): void => {
    for (const listener of this.#listeners) {
      listener(advisory)
    }
    const message = captured(advisory, ++this.#advisories)
    if (message !== undefined && this.#route(message.subject) !== undefined) {
      this.ask(() => void this.publish(message))
    }
  }

  #elected(stream: Stream<Consumer>): void {
    const { name } = stream.config
    stream.leaderless = false
    if (this.streams.get(name) !== stream) {
      return
    }
    this.#advise({ _tag: "StreamLeader", stream: name, at: this.now() })
    for (const [consumerName, consumer] of stream.consumers) {
      consumer.restarted()
      this.#advise({ _tag: "ConsumerLeader", stream: name, consumer: consumerName, at: this.now() })
    }
  }

  #end(consumer: Consumer): void {
    if (consumer.stream.consumers.get(consumer.config.name) !== consumer) {
      return
    }
    // Nobody else is told: whoever does not wait finds out with his next pull or verdict.
    const { waiting } = consumer
    consumer.end()
    consumer.stream.unfollow(consumer.config.name)
    const { config, stream } = consumer
    this.#advise({ _tag: "ConsumerDeleted", stream: stream.config.name, consumer: config.name, at: this.now() })
    this.#awake.delete(consumer)
    for (const puller of waiting) {
      this.ask(() => puller.lost(consumer))
    }
  }

  #route(subject: string): Stream<Consumer> | undefined {
    const known = this.#routes.get(subject)
    if (known !== undefined || this.#routes.has(subject)) {
      return known
    }
    let found: Stream<Consumer> | undefined
    for (const stream of this.streams.values()) {
      if (stream.config.subjects.some((pattern) => Subject.matches(pattern as Subject.Pattern, subject))) {
        found = stream
      }
    }
    if (this.#routes.size >= ROUTES_MAX) {
      this.#routes.clear()
    }
    this.#routes.set(subject, found)
    return found
  }

  #schedule(): void {
    if (!this.#scheduled && !this.#closed) {
      this.#scheduled = true
      this.#dispatcher.scheduleTask(this.#turn, 0)
    }
  }

  readonly #turn = (): void => {
    this.#scheduled = false
    const asked = this.#asked
    this.#asked = []
    for (const task of asked) {
      task()
    }
    for (const consumer of [...this.#awake]) {
      this.#awake.delete(consumer)
      if (consumer.pump(BURST)) {
        this.#awake.add(consumer)
      }
    }
    if (this.#asked.length > 0 || this.#awake.size > 0) {
      this.#schedule()
    }
  }
}

// internals

const fail = (reason: Reason): Result.Result<never, TransportError> => Result.fail(because(reason))

const rejected = (operation: string, code: number, detail: string): Result.Result<never, TransportError> =>
  fail(new Rejected({ operation, code, detail, transient: false }))

const isSame = (wanted: Topology.Consumer, actual: Topology.Consumer): boolean =>
  Topology.consumerDifferences(wanted, actual).length === 0
  && JSON.stringify(wanted.start) === JSON.stringify(actual.start)
