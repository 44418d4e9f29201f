/**
 * An open inlet with what belongs to it: verdicts collected per turn, counts, and opening it again.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import type { Delivery } from "../../Message.ts"
import type { Settlement } from "../../Settlement.ts"
import type { Inlet, Verdict } from "../../Transport.ts"
import { Transport } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import type { Plan } from "./plan.ts"
import type { Tally } from "./tally.ts"

export class Session {
  readonly inlet: Inlet
  readonly transport: Transport["Service"]
  readonly plan: Plan
  readonly tally: Tally
  /** Set when the reader drains: what is held is worked off, and nothing is parked any more. */
  draining = false
  /** Keys of which something went back while draining: what comes after it must go back too, to keep its order. */
  readonly #barred = new Set<string>()
  readonly #defer: (task: () => void) => void
  /** In the reader's own context: a transport may wait, and then on the reader's clock. */
  readonly #runFork: (effect: Effect.Effect<void>) => void
  #verdicts: Array<Verdict> = []
  #deferred = false

  constructor(
    inlet: Inlet,
    transport: Transport["Service"],
    plan: Plan,
    tally: Tally,
    defer: (task: () => void) => void,
    context: Context.Context<never>
  ) {
    this.inlet = inlet
    this.transport = transport
    this.plan = plan
    this.tally = tally
    this.#defer = defer
    this.#runFork = Effect.runForkWith(context)
  }

  bar(item: Keyed): void {
    if (item.key !== undefined) {
      this.#barred.add(item.key)
    }
  }

  isBarred(item: Keyed): boolean {
    return item.key !== undefined && this.#barred.has(item.key) && !this.plan.acksOnEnqueue(item.delivery.subject)
  }

  /** Puts a verdict with the others of this turn. */
  settle(delivery: Delivery, settlement: Settlement): void {
    this.#verdicts.push({ delivery, settlement })
    if (this.#verdicts.length >= verdictsMax) {
      // Handlers that never wait never end the turn either.
      this.#runFork(this.flush)
    } else if (!this.#deferred) {
      this.#deferred = true
      this.#defer(() => {
        this.#deferred = false
        this.#runFork(this.flush)
      })
    }
  }

  get flush(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const verdicts = this.#verdicts
      this.#verdicts = []
      return verdicts.length === 0 ? Effect.void : this.settleNow(verdicts)
    })
  }

  /** Hands verdicts over, now. Under `confirmed` it ends with the broker's word. */
  settleNow(verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> {
    return Effect.suspend(() => {
      for (const { settlement } of verdicts) {
        switch (settlement._tag) {
          case "Ack":
            this.tally.acked++
            break
          case "Nak":
            this.tally.naked++
            break
          case "Term":
            this.tally.termed++
        }
      }
      return Effect.tap(this.inlet.settle(verdicts), () => Effect.sync(() => this.tally.sync()))
    })
  }

  /**
   * Hands verdicts over, after those that wait: what is handed back first comes back first. It does not wait for the
   * broker's word, because closing the inlet does so anyway, for a while.
   */
  handOver(verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#verdicts = this.#verdicts.concat(verdicts)
      return Effect.asVoid(Effect.forkDetach(this.flush, { startImmediately: true }))
    })
  }
}

interface Keyed {
  readonly key: string | undefined
  readonly delivery: Delivery
}

const verdictsMax = 512
const metricsEveryMs = 1_000

/** Opens the source in the scope. When the scope closes, verdicts that wait still go out before the inlet closes. */
export const open = (plan: Plan, tally: Tally): Effect.Effect<Session, TransportError, Transport | Scope.Scope> =>
  Effect.gen(function*() {
    const transport = yield* Transport
    const scheduler = yield* Scheduler.Scheduler
    const dispatcher = scheduler.makeDispatcher()
    yield* Effect.addFinalizer(() => Effect.sync(() => tally.detach()))
    const inlet = yield* transport.open(plan.source, plan.flow)
    tally.attach(inlet)
    const session = new Session(
      inlet,
      transport,
      plan,
      tally,
      (task) => dispatcher.scheduleTask(task, 0),
      yield* Effect.context<never>()
    )
    // What changes without a verdict, such as leases that run out, shows up as well.
    yield* Effect.sleep(metricsEveryMs).pipe(
      Effect.andThen(Effect.sync(() => tally.sync())),
      Effect.forever,
      Effect.forkScoped
    )
    yield* Effect.addFinalizer(() => session.flush)
    return session
  })

/** Runs `body`, and when the source fails, does what `onError` says. Draining ends the waiting. */
export const withErrors = <R>(
  plan: Plan,
  draining: Effect.Effect<void>,
  body: Effect.Effect<void, TransportError, R>
): Effect.Effect<void, TransportError, R> => {
  if (plan.onError === "raise") {
    return body
  }
  const once = Effect.as(body, undefined).pipe(
    Effect.catch((error) => error.reason._tag === "Invalid" ? Effect.fail(error) : Effect.succeed(error))
  )
  if (plan.onError === "finish") {
    return Effect.flatMap(
      once,
      (error) => error === undefined ? Effect.void : Effect.logError(`reader ${plan.name} ends: ${error.message}`)
    )
  }
  return Effect.gen(function*() {
    const patience = new Patience(plan, draining)
    while (true) {
      const error = yield* once
      if (error === undefined || (yield* patience.after(error)) === "drained") {
        return
      }
    }
  })
}

/** Waits between two attempts to open a source: 100 ms, doubled each time up to 5 s. */
export class Patience {
  readonly #plan: Plan
  readonly #draining: Effect.Effect<void>
  #failures = 0
  #lastTag = ""
  #lastAt = 0

  constructor(plan: Plan, draining: Effect.Effect<void>) {
    this.#plan = plan
    this.#draining = draining
  }

  after(error: TransportError): Effect.Effect<"again" | "drained"> {
    return Effect.gen({ self: this }, function*() {
      const now = yield* Clock.currentTimeMillis
      this.#failures = now - this.#lastAt >= 30_000 ? 1 : this.#failures + 1
      // The first of its kind, and then about one a minute: neither silent nor a flood.
      if (error.reason._tag !== this.#lastTag || this.#failures % 12 === 1) {
        yield* Effect.logWarning(`reader ${this.#plan.name} waits for its source: ${error.message}`)
      }
      this.#lastTag = error.reason._tag
      this.#lastAt = now
      const pause = Math.min(5_000, 100 * 2 ** Math.min(this.#failures - 1, 10)) * (0.8 + 0.4 * (yield* Random.next))
      return yield* Effect.raceFirst(
        Effect.as(Effect.sleep(pause), "again" as const),
        Effect.as(this.#draining, "drained" as const)
      )
    })
  }
}
