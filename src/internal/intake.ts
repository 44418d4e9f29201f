/**
 * The one loop that every layer shares: it pulls to capacity, enqueues, acknowledges on enqueue where the policy says
 * so, renews leases, and sees to it that each verdict reaches the broker (I2, I3, I5, I7).
 *
 * A broker is a `Port`: pull n, settle a batch, extend a batch. The port calls back `deliver`, `confirmed`, `returned`,
 * `connected` and `disconnected`. All of these are synchronous and cost no Effect, Promise or closure per message.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Delivery } from "../Message.ts"
import * as Metrics from "../Metrics.ts"
import type { Inlet } from "../Transport.ts"
import { invalid, type TransportError } from "../TransportError.ts"
import { Credit } from "./credit.ts"
import { Holdings } from "./holdings.ts"
import { type Options, type Port, validate } from "./port.ts"
import { opened, Taking } from "./taking.ts"
import type { Standing } from "./unseen.ts"

/** How old the broker's word on what is answered may be when a consumer has to be made anew. */
const LOOK_EVERY_MS = 5_000
/** In doubt of that. */
const LOOK_AGAIN_MS = 500
/** How long a closing inlet waits for the broker's word. */
const CLOSE_WITHIN_MS = 2_000
const CADENCE_MIN_MS = 20
const CADENCE_MAX_MS = 250

/** Opens an intake and runs its timers in the scope; closing the scope hands back what was not settled. */
export const open = (options: Options): Effect.Effect<Intake, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    yield* validate(options)
    const intake = new Intake(options, yield* Clock.Clock)
    yield* Effect.addFinalizer(() => intake.close)
    const report = reporter(options, intake, yield* Effect.context<never>())
    const tick = Effect.sync(() => {
      intake.tick()
      report()
    })
    yield* tick.pipe(
      Effect.andThen(Effect.suspend(() => Effect.sleep(intake.cadenceMs))),
      Effect.forever,
      Effect.forkScoped
    )
    return intake
  })

/** Brings the metrics up to what was counted: now and then, so that counting costs an addition. */
const reporter = ({ labels }: Options, intake: Intake, context: Context.Context<never>): () => void => {
  const metrics = Metrics.inlet(labels)
  const [pulls, renewed, lost] = [metrics.pulls, metrics.leasesRenewed, metrics.leasesLost].map((metric) => {
    const update = Metrics.updater(metric, context)
    let told = 0
    return (count: number) => {
      if (count > told) {
        update(count - told)
        told = count
      }
    }
  })
  return () => {
    pulls?.(intake.pulls)
    renewed?.(intake.holdings.leases.renewed)
    lost?.(intake.holdings.counts.lost)
  }
}

export class Intake {
  readonly inlet: Inlet
  /** How often the broker was asked. */
  pulls = 0
  readonly #port: Port
  readonly holdings: Holdings
  readonly #taking: Taking
  readonly #credit: Credit
  readonly #absentWithinMs: number
  #connected = false
  /** The consumer is another one than when this was last connected. */
  #replaced = false
  /** Whether anything is acknowledged at all. */
  readonly #leased: boolean
  #lookAt = 0
  #lookedAt = Number.NEGATIVE_INFINITY
  #stopped = false

  constructor(options: Options, clock: Clock.Clock) {
    const { absentWithinMs, flow, port, pullBytesMin } = options
    this.#port = port
    this.#leased = Number.isFinite(options.leaseMs)
    this.#absentWithinMs = absentWithinMs ?? CLOSE_WITHIN_MS
    this.holdings = new Holdings(options, clock)
    this.#taking = new Taking(this.holdings, flow.ack._tag === "confirmed", () => this.pullMore())
    this.#credit = new Credit(flow.queue, pullBytesMin)
    this.inlet = {
      take: this.#taking.take,
      settle: this.#taking.settle,
      holds: this.#taking.holds,
      stop: Effect.suspend(() => this.#stop),
      ledger: () => this.holdings.ledger(),
      unansweredMs: () => port.unansweredMs?.() ?? 0
    }
  }

  /** A delivery arrived; `token` is where its verdict goes. */
  deliver(delivery: Delivery, token: string, now = this.holdings.now()): void {
    const { swallowed } = this.holdings.counts
    this.#credit.spend(delivery.bytes)
    this.holdings.admit(delivery, token, now)
    this.#taking.arrived()
    if (this.holdings.counts.swallowed > swallowed || this.#credit.isSpent) {
      // What comes again may take up nobody's room; without this, whatever comes next would wait for the next tick.
      this.pullMore()
    }
  }

  /** The broker has processed every verdict of this batch, or has heard this renewal. */
  confirmed(id: number): void {
    if (this.holdings.leases.confirmed(id)) {
      return
    }
    if (this.holdings.verdicts.confirmed(id)) {
      this.pullMore()
    }
  }

  /** So much of what was asked for will not come. */
  returned(messages: number, bytes: number): void {
    this.#credit.returned(messages, bytes)
  }

  /** The connection is there (again): what was asked for is void, verdicts without confirmation go out once more. */
  connected(): void {
    const { leases, table, unseen, verdicts } = this.holdings
    const now = this.holdings.now()
    this.#connected = true
    unseen?.connected(now)
    if (this.#replaced) {
      this.#replaced = false
      this.holdings.replaced()
    }
    this.#credit.void()
    table.reconnected(now)
    leases.renewAll(now)
    verdicts.connected()
    this.pullMore()
    this.#lookAt = 0
    this.#inspect(now)
  }

  /** How the consumer stands, as the broker says on this connection. */
  learned(standing: Standing): void {
    this.holdings.doubts = false
    this.holdings.learned(standing)
    this.pullMore()
  }

  /** The consumer was made anew: like a new connection, it knows nothing of what was asked and said before. */
  replaced(): void {
    this.#replaced = true
    if (this.#connected) {
      this.connected()
    }
  }

  disconnected(): void {
    this.#connected = false
    this.holdings.verdicts.disconnected()
  }

  /** The source is gone for good; without a connection nobody is left to confirm anything either. */
  fail(error: TransportError): void {
    this.#taking.fail(error)
    if (!this.#connected) {
      this.holdings.verdicts.giveUp()
    }
  }

  /** The sequences of this stream no longer mean the same messages. */
  reset(): void {
    this.holdings.reset()
  }

  /** Where a consumer that has to be made anew must begin. */
  resumeAt(): number {
    return this.holdings.resumeAt()
  }

  /** Asks for as much as there is room for. */
  pullMore(): void {
    if (!this.#connected || this.#stopped || this.#taking.hasFailed) {
      return
    }
    const ask = this.#credit.take(this.holdings.table) ?? (this.holdings.hasSpare ? this.#credit.one() : undefined)
    if (ask !== undefined) {
      this.pulls++
      this.#port.pull(ask.messages, ask.bytes)
    }
  }

  /** How often the timers run. */
  get cadenceMs(): number {
    return Math.min(CADENCE_MAX_MS, Math.max(CADENCE_MIN_MS, this.holdings.leases.lengthMs / 6))
  }

  /** The loop's timers: leases, lost confirmations, delayed returns that are due. */
  tick(): void {
    const { leases, table, verdicts } = this.holdings
    const now = this.holdings.now()
    this.holdings.releaseDue(now)
    if (this.#connected) {
      table.ended.forget(now)
      leases.renew(now)
      verdicts.sendAgain(now)
      this.#inspect(now)
    }
    this.pullMore()
  }

  /** Hands back what was not settled, and waits for the broker to confirm all verdicts, for a while. */
  get close(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { verdicts } = this.holdings
      this.holdings.closing = true
      // First the pulls, then the naks: what goes back must not come back to us.
      yield* this.#stop
      this.holdings.handBackAll()
      verdicts.flush()
      this.holdings.handBackHeldUp()
      verdicts.flush()
      // When the source is gone, nobody is left to confirm anything.
      const within = this.#taking.hasFailed ? 0 : this.#connected ? CLOSE_WITHIN_MS : this.#absentWithinMs
      yield* Effect.timeoutOption(opened(verdicts.idle), within)
      verdicts.giveUp()
      this.#taking.fail(invalid("inlet", "it is closed", "Keep its scope open while it is used."))
    })
  }

  #inspect(now: number): void {
    const mustKnow = this.holdings.unseen?.asks(now) === true
    const lookAt = this.holdings.doubts ? this.#lookedAt + LOOK_AGAIN_MS : this.#lookAt
    if (mustKnow || (now >= lookAt && this.#leased)) {
      this.#lookedAt = now
      this.#lookAt = now + LOOK_EVERY_MS
      this.#port.inspect()
    }
  }

  get #stop(): Effect.Effect<void> {
    if (this.#stopped) {
      return Effect.void
    }
    this.#stopped = true
    return Effect.ensuring(this.#port.stop, Effect.sync(() => this.#taking.end()))
  }
}
