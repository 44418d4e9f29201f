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
import type { Delivery } from "../../Message.ts"
import type { Flow, Inlet, Source } from "../../Transport.ts"
import { because, PermissionDenied, type Reason, type TransportError } from "../../TransportError.ts"
import type { Entry } from "../inflight.ts"
import * as Intake from "../intake.ts"
import type { Port } from "../port.ts"
import { Silence } from "../silence.ts"
import { Troubles } from "../troubles.ts"
import type { Batch } from "../verdicts.ts"
import * as Acks from "./acks.ts"
import type { Api } from "./api.ts"
import * as Asking from "./asking.ts"
import * as Consumers from "./consumers.ts"
import { line } from "./frames.ts"
import type { Link, Subscribed } from "./link.ts"
import type { ConsumerState } from "./mapping.ts"
import { bytesMin, Pulls, pullSubject } from "./pulls.ts"
import type { Raw } from "./raw.ts"
import * as Statuses from "./statuses.ts"
import type { Supervisor, Tenant } from "./supervisor.ts"
import { atTurnsEnd } from "./turns.ts"

export interface Options {
  readonly supervisor: Supervisor
  readonly api: Api
  /** Below this prefix only this inlet listens. */
  readonly inbox: string
}

const CHECK_MS = 500
/** In trouble: a leader that has just been elected hears of us within this, whatever became of what was asked before. */
const ASK_AGAIN_MS = 400
const STOP_WITHIN_MS = 1_000

export const open = (
  options: Options,
  source: Source,
  flow: Flow
): Effect.Effect<Inlet, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    const { api, supervisor } = options
    const want = Consumers.wanted(source)
    const run = yield* FiberSet.makeRuntime<never>()
    // Registered first: whoever interrupts the next step does not know whether the server has taken it.
    let reader: Reading | undefined
    yield* Effect.addFinalizer(() => {
      const made = reader === undefined ? Option.map(want, ({ name }) => name) : Option.some(reader.consumer)
      return supervisor.isUp ? Consumers.cleanUp(api, source, made, reader !== undefined) : Effect.void
    })
    const state = yield* Consumers.ensure(api, source, want, flow)
    const reading = reader = new Reading(options, source, state, yield* Clock.Clock, (effect) => void run(effect))
    // It leaves after the intake has closed: a connection that comes back in time takes the last verdicts.
    yield* Effect.addFinalizer(() => Effect.sync(() => reading.leave()))
    const intake = yield* Intake.open({
      labels: { stream: source.stream, consumer: source._tag === "durable" ? source.consumer : source._tag },
      flow,
      port: reading,
      leaseMs: state.leaseMs,
      pullBytesMin: Math.min(bytesMin(supervisor.link), state.maxPullBytes),
      defer: atTurnsEnd
    })
    reading.intake = intake
    supervisor.enter(reading)
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
  #answers: Subscribed | undefined
  /** Everything before this was answered before this reading began. */
  #from: number
  #consumerSequence = 0
  #streamSequence = 0
  #verifying = false
  #replacing = false
  #termReason = false
  readonly #address = new Acks.AddressReader()
  readonly #troubles = new Troubles()
  readonly #silence = new Silence()
  #left = false
  #renewing = false
  #generation = 0

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
    // What was published before "new" or "last" began stays unread, also when the consumer is made anew.
    this.#streamSequence = source._tag === "ordered" && source.start._tag !== "lastPerSubject" ? delivered : 0
    // Before 2.11 a server reports no ack floor for a consumer of which nothing is unanswered.
    this.#from = (ackPending === 0 ? delivered : ackFloor) + 1
    this.#pulls = new Pulls((messages, bytes) => this.intake.returned(messages, bytes), source._tag === "ordered")
  }

  get consumer(): string {
    return this.#state.info.consumer.name
  }

  // the connection's side

  readonly up = (link: Link): void => {
    this.#link = link
    this.#termReason = this.#options.supervisor.capabilities.termReason
    this.#pulls.endAll()
    this.#silence.end()
    this.#listen()
    this.#answers = link.subscribe(`${this.#options.inbox}.a.*`, (raw) => this.#confirmed(raw), true)
    this.intake.connected()
  }

  readonly down = (_reason: Reason): void => {
    this.intake.disconnected()
  }

  leave(): void {
    this.#options.supervisor.leave(this)
    this.#left = true
    this.#deliveries?.end()
    this.#answers?.end()
  }

  readonly gone = (reason: Reason): void => {
    this.intake.fail(because(reason))
  }

  readonly denied = (action: "publish" | "subscribe", subject: string): void => {
    const { stream } = this.#source
    const mine = [pullSubject(stream, this.consumer), `$JS.ACK.${stream}.${this.consumer}.`, `${this.#options.inbox}.`]
    if (mine.some((prefix) => subject.startsWith(prefix))) {
      this.intake.fail(because(new PermissionDenied({ action, subject })))
    }
  }

  // the intake's side

  readonly pull = (messages: number, bytes: number): void => {
    const now = this.#clock.currentTimeMillisUnsafe()
    if (this.#replacing || this.#renewing || this.#troubles.isPausing(now)) {
      this.intake.returned(messages, bytes)
      return
    }
    const asks = this.#troubles.isOn
      ? { messages: 1, bytes: Math.min(bytes, bytesMin(this.#link)) }
      : { messages, bytes }
    this.intake.returned(messages - asks.messages, bytes - asks.bytes)
    const { body, id } = this.#pulls.ask(asks.messages, asks.bytes, this.#state, now)
    this.#silence.asked(now)
    const subject = pullSubject(this.#source.stream, this.consumer)
    this.#link.write(line(subject, body, `${this.#options.inbox}.p${this.#generation}.${id}`))
    if (this.#troubles.isOn) {
      // Nobody may have heard it, and nobody says so: a small one again and again, until the first word comes.
      this.#troubles.pause(now + ASK_AGAIN_MS)
    }
  }

  /** Writes the verdicts; the answer to the last one confirms all, because the server takes them in order. */
  readonly settle = (batch: Batch): void => {
    if (this.#source._tag === "ordered") {
      this.intake.confirmed(batch.id)
      return
    }
    this.#silence.asked(this.#clock.currentTimeMillisUnsafe())
    this.#link.write(Acks.lines(batch.entries, this.#termReason, `${this.#options.inbox}.a.${batch.id}`))
  }

  readonly extend = (entries: ReadonlyArray<Entry>, id: number): void => {
    this.#link.write(Acks.renewals(entries, `${this.#options.inbox}.a.${id}`))
  }

  readonly inspect = (): void => {
    const link = this.#link
    this.#run(Asking.inspect(this.#options.api, { source: this.#source, consumer: this.consumer }, (standing) => {
      if (link === this.#link) {
        this.intake.learned(standing)
      }
    }))
  }

  get stop(): Effect.Effect<void> {
    const drained = Effect.promise(() => this.#deliveries?.drain() ?? Promise.resolve())
    // Nothing is owed any more: silence from now on says nothing about the consumer.
    return Effect.andThen(
      Effect.timeoutOption(drained, STOP_WITHIN_MS),
      Effect.sync(() => {
        this.#pulls.endAll()
        this.#silence.end()
      })
    )
  }

  readonly unansweredMs = (): number => this.#silence.millis(this.#clock.currentTimeMillisUnsafe())

  /** Called now and then: a server that owes us something and says nothing has forgotten us. */
  check(): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    if (this.#options.supervisor.isUp && this.#pulls.isSilent(now)) {
      this.#pulls.endAll()
      this.#trouble(now)
      this.#renew()
    }
  }

  // internals

  #listen(): void {
    this.#renewing = false
    this.#deliveries = this.#link.subscribe(
      `${this.#options.inbox}.p${++this.#generation}.*`,
      (raw) => this.#received(raw)
    )
  }

  /** A server that was only slow would serve the pulls it still has and the new ones: the old ones lose their reader. */
  #renew(): void {
    const link = this.#link
    this.#renewing = true
    void this.#deliveries?.drain().then(() => {
      if (link === this.#link && !this.#left) {
        this.#listen()
        this.intake.pullMore()
      }
    })
  }

  #received(raw: Raw): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    if (!this.#address.read(raw.reply, this.#source.stream, this.consumer)) {
      if (!Acks.isAddress(raw.reply)) {
        this.#status(raw, now)
      }
      return
    }
    this.#troubles.passed()
    const delivery = Acks.deliveryOf(raw, this.#address)
    this.#pulls.served(delivery.bytes, now)
    this.#answered(now)
    if (this.#source._tag === "ordered" && !this.#isNext(delivery)) {
      return
    }
    this.intake.deliver(delivery, raw.reply, now)
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
    const status = Statuses.parse(raw)
    if (status === undefined || !this.#pulls.heard(status.id, now)) {
      return
    }
    if (status.code === Statuses.HEARTBEAT) {
      this.#answered(now)
      this.#heartbeat(status)
      if (this.#troubles.passed()) {
        this.intake.pullMore()
      }
      return
    }
    const owed = this.#pulls.ended(status.id, status.owed)
    if (status.code !== Statuses.NO_RESPONDERS) {
      this.#answered(now)
    }
    if (owed && (status.code === Statuses.CONFLICT || status.code === Statuses.NO_RESPONDERS)) {
      this.#trouble(now)
    }
    this.intake.pullMore()
  }

  /** A heartbeat names the last delivery: if an ordered reader has not seen it, it is lost. */
  #heartbeat({ lastConsumerSequence: last = 0 }: Statuses.Status): void {
    if (this.#source._tag === "ordered" && last > this.#consumerSequence) {
      this.#replace()
    }
  }

  #confirmed(raw: Raw): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    if (Statuses.parse(raw)?.code === Statuses.NO_RESPONDERS) {
      this.#trouble(now)
      return
    }
    this.intake.confirmed(raw.number)
    this.#answered(now)
  }

  /** Whoever leads has said something. */
  #answered(now: number): void {
    this.#silence.broken(now, this.#pulls.areOut || this.intake.holdings.verdicts.isOwed)
  }

  /** Pulls again at once the first time, then with growing pauses while nothing comes; asks if the consumer exists. */
  #trouble(now: number): void {
    this.#troubles.happened(now)
    if (!this.#verifying && !this.#replacing && !this.#left) {
      this.#verifying = true
      const asked = Asking.verify(this.#options.api, {
        source: this.#source,
        consumer: this.consumer,
        replace: () => this.#replace(),
        fail: (error) => this.intake.fail(error)
      })
      this.#run(Effect.ensuring(asked, Effect.sync(() => void (this.#verifying = false))))
    }
  }

  /** Makes the consumer anew: at the message after the last one in order, or at the lowest that is not settled. */
  #replace(): void {
    if (this.#replacing || this.#left) {
      return
    }
    this.#replacing = true
    const ordered = this.#source._tag === "ordered"
    const old = this.consumer
    const made = Effect.suspend(() =>
      Consumers.makeAgain(
        this.#options.api,
        this.#source,
        {
          lastMadeMs: this.#state.createdMs,
          resumeAt: ordered ? this.#streamSequence + 1 : Math.max(this.#from, this.intake.resumeAt())
        },
        () => this.#forget()
      )
    )
    this.#run(
      Consumers.untilStreamStaysAway(made).pipe(
        Effect.map((state) => {
          this.#state = state
          this.#consumerSequence = 0
          this.#troubles.endPause()
        }),
        Effect.andThen(
          ordered ? Consumers.cleanUp(this.#options.api, this.#source, Option.some(old), true) : Effect.void
        ),
        Effect.andThen(Effect.sync(() => {
          this.#replacing = false
          this.#pulls.endAll()
          this.intake.replaced()
        })),
        // A consumer of ours that the server will not let us make stays missing.
        Effect.catch((error) => error.isRetryable ? Effect.void : Effect.sync(() => this.intake.fail(error))),
        Effect.ensuring(Effect.sync(() => void (this.#replacing = false)))
      )
    )
  }

  /** The stream is another one of the same name. */
  #forget(): void {
    this.#from = 1
    this.#streamSequence = 0
    this.intake.reset()
  }
}
