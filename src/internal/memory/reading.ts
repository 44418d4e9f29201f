/** Reads one consumer: the memory side of an intake. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Delivery } from "../../Message.ts"
import * as Topology from "../../Topology.ts"
import type { Flow, Inlet, Source } from "../../Transport.ts"
import { because, Closed, Conflict, ConsumerNotFound, type TransportError } from "../../TransportError.ts"
import type { Entry } from "../inflight.ts"
import * as Intake from "../intake.ts"
import { checkAcks, leaseOf, type Port } from "../port.ts"
import type { Answer } from "../remembered.ts"
import { Troubles } from "../troubles.ts"
import type { Batch } from "../verdicts.ts"
import type { Broker } from "./broker.ts"
import { ACK_ADDRESS_BYTES, type Consumer, type Puller } from "./consumer.ts"
import type { Stored } from "./log.ts"
import type { Ending } from "./requests.ts"
import type { Address } from "./tracking.ts"

/** The client that a reading belongs to: it may be cut off from the broker. */
export interface Home {
  readonly broker: Broker
  readonly isConnected: boolean
  readonly readings: Set<Reading>
}

const EPHEMERAL_ACK_WAIT_MS = 30_000
const EPHEMERAL_INACTIVE_MS = 5 * 60_000
/** How long a pull waits, as over NATS. */
const EXPIRES_MS = 5_000
/** As long as over NATS a broker may say nothing. */
const SILENCE_MS = 2_500
/** As over NATS: when a stream counts as gone, and how often somebody looks. */
const STREAM_AWAY_MS = 2_000
const STREAM_POLL_MS = 100
/** What a pull must allow for besides the largest message: subject and ack address. */
const PULL_OVERHEAD_BYTES = 1_024

export const open = (
  home: Home,
  source: Source,
  flow: Flow
): Effect.Effect<Inlet, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    const want = wanted(home.broker, source)
    const consumer = yield* Effect.fromResult(ensure(home.broker, want, want.create, source._tag !== "durable"))
    yield* Effect.tapError(checkAcks(source, flow, consumer.config), () =>
      // One of our own must not be left behind, and keep messages for nobody.
      Effect.sync(() => source._tag !== "durable" && home.broker.deleteConsumer(source.stream, consumer.config.name)))
    const reading = new Reading(home, source, consumer)
    yield* Effect.addFinalizer(() => Effect.sync(() => reading.leave()))
    const intake = yield* Intake.open({
      labels: { stream: source.stream, consumer: source._tag === "durable" ? source.consumer : source._tag },
      flow,
      port: reading,
      absentWithinMs: home.broker.absentWithinMs,
      leaseMs: leaseOf(consumer.config),
      pullBytesMin: home.broker.maxPayload + PULL_OVERHEAD_BYTES,
      defer: home.broker.later
    })
    reading.enter(intake)
    return intake.inlet
  })

export class Reading implements Port, Puller {
  readonly #home: Home
  readonly #source: Source
  #consumer: Consumer
  #intake!: Intake.Intake
  readonly #troubles = new Troubles()
  /** Everything before this was answered, or passed over, before this reading began. */
  #from: number
  #replacing = false
  /** Grows whenever what was asked for is void. */
  #generation = 0

  constructor(home: Home, source: Source, consumer: Consumer) {
    this.#home = home
    this.#source = source
    this.#consumer = consumer
    const { ackFloor, ackPending, delivered } = consumer.info
    this.#from = (ackPending === 0 ? delivered : ackFloor) + 1
  }

  /** The reading begins. */
  enter(intake: Intake.Intake): void {
    this.#intake = intake
    this.#home.readings.add(this)
    intake.connected()
  }

  /** The reading is over. A consumer that nobody else can use is not left behind. */
  leave(): void {
    this.#home.readings.delete(this)
    this.#withdraw()
    if (this.#source._tag !== "durable" && this.#home.isConnected) {
      this.#home.broker.deleteConsumer(this.#source.stream, this.#consumer.config.name)
    }
  }

  // the connection's side

  readonly up = (): void => {
    this.#troubles.endPause()
    this.#intake.connected()
  }

  readonly down = (): void => {
    this.#withdraw()
    this.#intake.disconnected()
  }

  readonly closed = (): void => {
    this.#withdraw()
    this.#intake.reset()
    this.#intake.fail(because(new Closed()))
  }

  // the broker's side

  readonly deliver = (message: Stored, address: Address, pending: number): void => {
    this.#troubles.passed()
    const { consumerSequence, deliveries, sequence } = address
    const delivery = new Delivery({
      subject: message.subject.name,
      // A copy: what a handler does to it must not be done to the stored one.
      payload: message.payload.slice(),
      headerBytes: message.headers,
      stream: this.#source.stream,
      consumer: this.#consumer.config.name,
      streamSequence: sequence,
      consumerSequence,
      deliveryCount: deliveries,
      timestamp: message.timestamp,
      pending,
      overheadBytes: ACK_ADDRESS_BYTES
    })
    this.#intake.deliver(delivery, `${sequence}.${consumerSequence}.${deliveries}`)
  }

  readonly returned = (messages: number, bytes: number, why: Ending): void => {
    const now = this.#home.broker.now()
    if (why === "full") {
      // With heartbeats the server says nothing, until they are missed.
      this.#troubles.pause(now + SILENCE_MS)
    } else if (why === "nobody" || why === "leader") {
      this.#troubles.happened(now)
    }
    this.#intake.returned(messages, bytes)
    if (messages > 0) {
      this.#intake.pullMore()
    }
  }

  readonly lost = (consumer: Consumer): void => {
    const isMine = consumer === this.#consumer && this.#home.readings.has(this)
    if (isMine && this.#home.isConnected) {
      this.#replace()
    }
  }

  // the intake's side

  readonly pull = (messages: number, bytes: number): void => {
    const now = this.#home.broker.now()
    const consumer = this.#consumer
    if (this.#troubles.isPausing(now)) {
      this.#intake.returned(messages, bytes)
      return
    }
    const generation = this.#generation
    this.#home.broker.follow(() => {
      if (generation !== this.#generation) {
        return
      }
      if (consumer.isEnded) {
        this.#home.broker.ask(() => this.lost(consumer))
      } else {
        consumer.pull(this, { messages, bytes, expiresAt: now + EXPIRES_MS })
      }
    })
  }

  readonly settle = (batch: Batch): void => {
    if (this.#source._tag === "ordered") {
      // Nobody waits for these.
      this.#intake.confirmed(batch.id)
      return
    }
    this.#home.broker.ask(() => {
      if (!this.#home.isConnected || this.#consumer.stream.leaderless) {
        return
      }
      if (this.#consumer.isEnded) {
        this.lost(this.#consumer)
        return
      }
      // As over NATS: only the last one asks for an answer, which then is one for all.
      let isAnswered = false
      for (const answer of batch.entries) {
        isAnswered = this.#answer(answer)
      }
      if (isAnswered) {
        this.#intake.confirmed(batch.id)
      }
    })
  }

  readonly extend = (entries: ReadonlyArray<Entry>, id: number): void => {
    this.#home.broker.ask(() => {
      if (!this.#home.isConnected || this.#consumer.stream.leaderless || this.#consumer.isEnded) {
        return
      }
      for (const entry of entries) {
        this.#consumer.extend(entry.delivery.streamSequence)
      }
      this.#intake.confirmed(id)
    })
  }

  readonly inspect = (): void => {
    this.#home.broker.ask(() => {
      if (this.#home.isConnected && !this.#consumer.isEnded) {
        this.#intake.learned(this.#consumer.info)
      }
    })
  }

  get stop(): Effect.Effect<void> {
    return Effect.sync(() => this.#withdraw())
  }

  // internals

  /** What was asked for is void, whether it has reached the consumer or not. */
  #withdraw(): void {
    this.#generation++
    this.#consumer.withdraw(this)
  }

  /** Whether the consumer answers it. */
  #answer({ settlement, token }: Answer): boolean {
    if (settlement === undefined) {
      return true
    }
    const [sequence = 0, consumerSequence = 0, deliveries = 1] = token.split(".").map(Number)
    const address = { sequence, consumerSequence, deliveries }
    switch (settlement._tag) {
      case "Ack":
        return this.#consumer.ack(address)
      case "Nak":
        this.#consumer.nak(address, settlement.delayMs)
        return true
      case "Term":
        return this.#consumer.term(address, settlement.reason)
    }
  }

  /** The consumer is gone: ours is made anew where reading stopped, any other ends the reading. */
  #replace(until = this.#home.broker.now() + STREAM_AWAY_MS): void {
    const { broker } = this.#home
    const stream = broker.streams.get(this.#source.stream)
    if (stream === undefined && broker.now() < until) {
      // Somebody who deletes a stream often makes it anew at once.
      this.#replaceLater(until)
      return
    }
    if (stream !== undefined && stream !== this.#consumer.stream) {
      // Another one of the same name: all of it is new.
      this.#from = 1
      this.#intake.reset()
    }
    // An ordered source gives each message once, whatever became of it.
    const { highest } = this.#intake.holdings
    const at = Math.max(this.#from, this.#source._tag === "ordered" ? highest + 1 : this.#intake.resumeAt())
    const want = wanted(broker, this.#source)
    const create = Option.map(
      want.create,
      (consumer): Topology.Consumer =>
        at === 1 && consumer.start._tag === "lastPerSubject"
          ? consumer
          : { ...consumer, start: { _tag: "sequence", sequence: at } }
    )
    const made = ensure(broker, want, create, this.#source._tag !== "durable")
    if (Result.isFailure(made)) {
      this.#intake.fail(made.failure)
      return
    }
    this.#consumer = made.success
    this.#intake.replaced()
  }

  #replaceLater(until: number): void {
    if (this.#replacing) {
      return
    }
    this.#replacing = true
    const again = Effect.sync(() => {
      this.#replacing = false
      if (this.#home.isConnected && this.#home.readings.has(this)) {
        this.#replace(until)
      }
    })
    this.#home.broker.after(STREAM_POLL_MS, again)
  }
}

// internals

/** The consumer's name, and what to make where it is ours; `None` where it is only bound. */
const wanted = (broker: Broker, source: Source): {
  readonly stream: string
  readonly consumer: string
  readonly create: Option.Option<Topology.Consumer>
} => {
  if (source._tag === "durable") {
    return source
  }
  const create = Topology.consumer(broker.freshName(), {
    filters: source.filters,
    start: source.start,
    ack: source._tag === "ordered" ? "none" : "explicit",
    ackWait: EPHEMERAL_ACK_WAIT_MS,
    inactiveThreshold: EPHEMERAL_INACTIVE_MS
  })
  return { stream: source.stream, consumer: create.name, create: Option.some(create) }
}

/** Finds, compares or makes the consumer that a source asks for. */
export const ensure = (
  broker: Broker,
  { consumer: name, stream }: { readonly stream: string; readonly consumer: string },
  want: Option.Option<Topology.Consumer>,
  ephemeral: boolean
): Result.Result<Consumer, TransportError> =>
  Result.flatMap(broker.stream(stream), ({ consumers }) => {
    const existing = consumers.get(name)
    if (Option.isNone(want)) {
      return existing === undefined
        ? Result.fail(because(new ConsumerNotFound({ stream, consumer: name })))
        : Result.succeed(existing)
    }
    if (existing === undefined) {
      return broker.createConsumer(stream, { ...want.value, name }, ephemeral)
    }
    const differences = Topology.consumerDifferences(want.value, existing.config)
    return differences.length === 0
      ? Result.succeed(existing)
      : Result.fail(because(new Conflict({ what: `consumer "${name}" of stream "${stream}"`, differences })))
  })
