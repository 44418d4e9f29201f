/**
 * Reads one consumer: the NATS side of an intake. One pull loop per consumer, ours (I6).
 *
 * Every trouble (a status, silence, a new connection) has the same answer: the credit is void, pull again at once, and in
 * the background ask whether the consumer still exists. Only a definite "not found" has consequences: a consumer of ours
 * is made anew where reading stopped, somebody else's ends the inlet with a type.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Headers from "../../Headers.ts"
import { Delivery } from "../../Message.ts"
import * as Settlement from "../../Settlement.ts"
import type { Flow, Inlet, Source } from "../../Transport.ts"
import { because, ConsumerNotFound, PermissionDenied, type Reason, type TransportError } from "../../TransportError.ts"
import type { Entry } from "../inflight.ts"
import * as Intake from "../intake.ts"
import type { Port } from "../port.ts"
import type { Answer } from "../remembered.ts"
import type { Batch } from "../verdicts.ts"
import * as Acks from "./acks.ts"
import type { Api } from "./api.ts"
import * as Consumers from "./consumers.ts"
import type { Link, Raw, Subscribed } from "./link.ts"
import type { ConsumerState } from "./mapping.ts"
import { Pulls } from "./pulls.ts"
import type { Supervisor, Tenant } from "./supervisor.ts"

export interface Options {
  readonly supervisor: Supervisor
  readonly api: Api
  /** Below this prefix only this inlet listens. */
  readonly inbox: string
}

const HEARTBEAT = 100
const CONFLICT = 409
const NO_RESPONDERS = 503
const CHECK_MS = 500
const TROUBLE_FIRST_MS = 100
const TROUBLE_MAX_MS = 2_000
const STOP_WITHIN_MS = 1_000
/** What a message weighs beyond its payload and headers: subject, ack address, protocol. */
const PULL_OVERHEAD_BYTES = 64 * 1024
const encoder = new TextEncoder()

export const open = (
  options: Options,
  source: Source,
  flow: Flow
): Effect.Effect<Inlet, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    const { api, supervisor } = options
    const state = yield* Consumers.ensure(api, source, flow)
    const run = yield* FiberSet.makeRuntime<never>()
    const reading = new Reading(options, source, state, yield* Clock.Clock, (effect) => {
      run(effect)
    })
    yield* Effect.addFinalizer(() => reading.cleanUp)
    const intake = yield* Intake.open({
      labels: { stream: source.stream, consumer: source._tag === "durable" ? source.consumer : source._tag },
      flow,
      port: reading,
      leaseMs: state.leaseMs,
      pullBytesMin: Math.min(supervisor.link.maxPayload + PULL_OVERHEAD_BYTES, state.maxPullBytes),
      defer: setImmediate
    })
    reading.intake = intake
    yield* supervisor.join(reading)
    yield* Effect.sync(() => reading.check()).pipe(
      Effect.andThen(Effect.sleep(CHECK_MS)),
      Effect.forever,
      Effect.forkScoped
    )
    return intake.inlet
  })

class Reading implements Port, Tenant {
  intake!: Intake.Intake
  readonly #options: Options
  readonly #source: Source
  readonly #clock: Clock.Clock
  readonly #run: (effect: Effect.Effect<void>) => void
  readonly #pulls: Pulls
  #state: ConsumerState
  #link: Link
  #deliveries: Subscribed | undefined
  /** Everything before this was answered before this reading began. */
  readonly #from: number
  #consumerSequence = 0
  #streamSequence = 0
  #verifying = false
  #replacing = false
  #troubles = 0
  #pauseUntil = 0

  constructor(
    options: Options,
    source: Source,
    state: ConsumerState,
    clock: Clock.Clock,
    run: (effect: Effect.Effect<void>) => void
  ) {
    this.#options = options
    this.#source = source
    this.#state = state
    this.#clock = clock
    this.#run = run
    this.#link = options.supervisor.link
    const { ackFloor, ackPending, delivered } = state.info
    // Before 2.11 a server reports no ack floor for a consumer of which nothing is unanswered.
    this.#from = (ackPending === 0 ? delivered : ackFloor) + 1
    this.#pulls = new Pulls((messages, bytes) => this.intake.returned(messages, bytes))
  }

  get #name(): string {
    return this.#state.info.consumer.name
  }

  // the connection's side

  readonly up = (link: Link): void => {
    this.#link = link
    this.#pulls.endAll()
    this.#deliveries = link.subscribe(`${this.#options.inbox}.p.*`, (raw) => this.#received(raw))
    link.subscribe(`${this.#options.inbox}.a.*`, (raw) => this.#confirmed(raw))
    this.intake.connected()
  }

  readonly down = (_reason: Reason): void => {
    this.intake.disconnected()
  }

  readonly gone = (reason: Reason): void => {
    this.intake.fail(because(reason))
  }

  readonly denied = (action: "publish" | "subscribe", subject: string): void => {
    const { stream } = this.#source
    const mine = [
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.${this.#name}`,
      `$JS.ACK.${stream}.${this.#name}.`,
      `${this.#options.inbox}.`
    ]
    if (mine.some((prefix) => subject.startsWith(prefix))) {
      this.intake.fail(because(new PermissionDenied({ action, subject })))
    }
  }

  // the intake's side

  readonly pull = (messages: number, bytes: number): void => {
    const now = this.#clock.currentTimeMillisUnsafe()
    if (this.#replacing || now < this.#pauseUntil) {
      this.intake.returned(messages, bytes)
      return
    }
    const { body, id } = this.#pulls.ask(messages, bytes, this.#state, now)
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#source.stream}.${this.#name}`
    this.#link.publish(subject, encoder.encode(body), `${this.#options.inbox}.p.${id}`)
  }

  /** Writes the verdicts; the answer to the last one confirms all, because the server takes them in order. */
  readonly settle = (batch: Batch): void => {
    if (this.#source._tag === "ordered") {
      setImmediate(() => this.intake.confirmed(batch.id))
      return
    }
    const { termReason } = this.#options.supervisor.capabilities
    const last = batch.entries.length - 1
    for (let i = 0; i <= last; i++) {
      const { settlement, token } = batch.entries[i] as Answer
      const payload = Acks.encode(settlement ?? Settlement.ack, termReason)
      this.#link.publish(token, payload, i === last ? `${this.#options.inbox}.a.${batch.id}` : undefined)
    }
  }

  readonly extend = (entries: ReadonlyArray<Entry>): void => {
    for (const entry of entries) {
      this.#link.publish(entry.token, Acks.IN_PROGRESS)
    }
  }

  get stop(): Effect.Effect<void> {
    return Effect.asVoid(
      Effect.timeoutOption(Effect.promise(() => this.#deliveries?.drain() ?? Promise.resolve()), STOP_WITHIN_MS)
    )
  }

  /** A consumer that nobody else can use is not left behind. */
  get cleanUp(): Effect.Effect<void> {
    return this.#source._tag === "durable" || !this.#options.supervisor.isUp
      ? Effect.void
      : this.#delete(this.#name)
  }

  /** Called now and then: a server that owes us something and says nothing has forgotten us. */
  check(): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    if (this.#options.supervisor.isUp && this.#pulls.isSilent(now)) {
      this.#pulls.endAll()
      this.#trouble(now)
      this.intake.pullMore()
    }
  }

  // internals

  #received(raw: Raw): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    const address = Acks.parse(raw.reply)
    if (address === undefined) {
      this.#status(raw, now)
      return
    }
    if (address.stream !== this.#source.stream || address.consumer !== this.#name) {
      return
    }
    this.#troubles = 0
    const delivery = new Delivery({
      subject: raw.subject,
      payload: raw.payload,
      headerBytes: raw.headerBytes,
      ...address,
      overheadBytes: raw.reply.length
    })
    this.#pulls.served(delivery.bytes, now)
    if (this.#source._tag === "ordered" && !this.#isNext(delivery)) {
      return
    }
    this.intake.deliver(delivery, raw.reply)
  }

  /** For ordered reading: whether nothing is missing before this one. If something is, reading starts anew there. */
  #isNext(delivery: Delivery): boolean {
    if (this.#replacing) {
      return false
    }
    if (delivery.consumerSequence !== this.#consumerSequence + 1) {
      this.#replace()
      return false
    }
    this.#consumerSequence = delivery.consumerSequence
    this.#streamSequence = delivery.streamSequence
    return true
  }

  /** A status counts only as the answer to a pull of ours that is out. */
  #status(raw: Raw, now: number): void {
    const status = Headers.decodeStatus(raw.headerBytes)
    if (status === undefined) {
      return
    }
    this.#pulls.heard(now)
    if (status.code === HEARTBEAT) {
      this.#heartbeat(status.headers)
      return
    }
    const owed = this.#pulls.ended(Number(raw.subject.slice(raw.subject.lastIndexOf(".") + 1)))
    if (owed && (status.code === CONFLICT || status.code === NO_RESPONDERS)) {
      this.#trouble(now)
    }
    this.intake.pullMore()
  }

  /** A heartbeat names the last delivery: if an ordered reader has not seen it, it is lost. */
  #heartbeat(headers: Headers.Headers): void {
    const last = Option.getOrUndefined(Headers.get(headers, "Nats-Last-Consumer"))
    if (this.#source._tag === "ordered" && last !== undefined && Number(last) > this.#consumerSequence) {
      this.#replace()
    }
  }

  #confirmed(raw: Raw): void {
    if (Headers.decodeStatus(raw.headerBytes)?.code === NO_RESPONDERS) {
      this.#trouble(this.#clock.currentTimeMillisUnsafe())
      return
    }
    this.intake.confirmed(Number(raw.subject.slice(raw.subject.lastIndexOf(".") + 1)))
  }

  /** Pulls again at once the first time, then with growing pauses while nothing comes; asks if the consumer exists. */
  #trouble(now: number): void {
    if (this.#troubles > 0) {
      this.#pauseUntil = now + Math.min(TROUBLE_MAX_MS, TROUBLE_FIRST_MS * 2 ** (this.#troubles - 1))
    }
    this.#troubles++
    if (!this.#verifying && !this.#replacing) {
      this.#verifying = true
      this.#run(Effect.ensuring(
        this.#verify,
        Effect.sync(() => {
          this.#verifying = false
        })
      ))
    }
  }

  get #verify(): Effect.Effect<void> {
    return this.#options.api.consumer(this.#source.stream, this.#name).pipe(
      Effect.flatMap((found) =>
        Effect.sync(() => {
          if (Option.isSome(found)) {
            return
          }
          if (Option.isSome(Consumers.wanted(this.#source))) {
            this.#replace()
          } else {
            this.intake.fail(because(new ConsumerNotFound({ stream: this.#source.stream, consumer: this.#name })))
          }
        })
      ),
      Effect.catch((error) => this.#endIfGone(error))
    )
  }

  /** Only what will not pass by itself ends the reading; everything else shows again, and is asked about again. */
  #endIfGone(error: TransportError): Effect.Effect<void> {
    return Effect.sync(() => {
      if (error.reason._tag === "StreamNotFound" || error.reason._tag === "Conflict") {
        this.intake.fail(error)
      }
    })
  }

  /** Makes the consumer anew: at the message after the last one in order, or at the lowest that is not settled. */
  #replace(): void {
    if (this.#replacing) {
      return
    }
    this.#replacing = true
    const ordered = this.#source._tag === "ordered"
    const old = this.#name
    const made = Effect.suspend(() =>
      Consumers.makeAgain(
        this.#options.api,
        this.#source,
        ordered ? this.#streamSequence + 1 : Math.max(this.#from, this.intake.resumeAt())
      )
    )
    this.#run(made.pipe(
      Effect.flatMap((state) =>
        Effect.sync(() => {
          this.#state = state
          this.#consumerSequence = 0
          this.#pauseUntil = 0
        })
      ),
      Effect.andThen(ordered ? this.#delete(old) : Effect.void),
      Effect.catch((error) => this.#endIfGone(error)),
      Effect.ensuring(Effect.sync(() => {
        this.#replacing = false
        this.#pulls.endAll()
        this.intake.pullMore()
      }))
    ))
  }

  #delete(name: string): Effect.Effect<void> {
    return Effect.ignore(Effect.timeoutOption(this.#options.api.deleteConsumer(this.#source.stream, name), 1_000))
  }
}
