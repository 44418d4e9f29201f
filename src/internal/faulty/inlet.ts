/** An inlet whose deliveries come late or out of order, and whose verdicts get lost. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type { Delivery } from "../../Message.ts"
import * as Settlement from "../../Settlement.ts"
import type { Flow, Inlet, Source, Verdict } from "../../Transport.ts"
import { because, type TransportError } from "../../TransportError.ts"
import type { Decider } from "./plan.ts"
import { broken } from "./publishing.ts"
import type { Injected, Kind } from "./words.ts"

/** The ack wait of consumers that nobody described. */
const ACK_WAIT_MS = 30_000

export interface Options {
  readonly inner: Inlet
  readonly source: Source
  readonly flow: Flow
  readonly decider: Decider
  /** Cuts the connection, for so long. Nothing happens where the transport offers no hook. */
  readonly cut: (millis: number) => Effect.Effect<void>
  readonly canCut: boolean
}

/** Wraps an inlet that was opened in this scope. */
export const make = (options: Options): Effect.Effect<Inlet, never, Scope.Scope> =>
  Effect.gen(function*() {
    const faulty = new FaultyInlet(options, yield* Scope.Scope, yield* Clock.Clock)
    // It runs before the inner inlet closes: what was late is handed over while that still makes a difference.
    yield* Effect.addFinalizer(() => faulty.settleLate)
    return faulty
  })

class FaultyInlet implements Inlet {
  readonly #options: Options
  readonly #scope: Scope.Scope
  readonly #clock: Clock.Clock
  readonly #what: string
  /** An ordered source promises each message once, in order, and no transport breaks that. */
  readonly #ordered: boolean
  /** What has arrived, and may be given. */
  readonly #ready: Array<Delivery> = []
  readonly #changed = Latch.makeUnsafe(false)
  readonly #late = new Set<Verdict>()
  /** How many deliveries are on their way, or kept back. */
  #coming = 0
  #asking = false
  #end: Cause.Cause<TransportError | Cause.Done> | undefined
  #broken = false

  constructor(options: Options, scope: Scope.Scope, clock: Clock.Clock) {
    const { source } = options
    this.#options = options
    this.#scope = scope
    this.#clock = clock
    this.#ordered = source._tag === "ordered"
    this.#what = `${source.stream} ${source._tag === "durable" ? source.consumer : source._tag}`
  }

  readonly take = (max: number): Pull.Pull<NonEmptyReadonlyArray<Delivery>, TransportError> =>
    Effect.suspend(() => {
      const kinds: Array<Kind> = ["endTake", "slowTake", "lateDelivery"]
      if (!this.#ordered) {
        kinds.push("reorder")
      }
      const fault = this.#next("take", this.#what, kinds)
      if (fault?.kind === "endTake") {
        this.#broken = true
      }
      const answer = Effect.suspend(() => this.#answer(max, fault))
      switch (fault?.kind) {
        case "slowTake":
          return Effect.andThen(Effect.sleep(fault.delayMs), answer)
        case "disconnect":
          return Effect.andThen(this.#options.cut(fault.delayMs), answer)
        default:
          return answer
      }
    })

  readonly settle = (verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const now: Array<Verdict> = []
      const late: Array<Effect.Effect<void>> = []
      let cutFor: number | undefined
      for (const verdict of verdicts) {
        const what = `${this.#what} ${verdict.delivery.streamSequence}`
        const kinds: ReadonlyArray<Kind> = this.#ordered ? ["lateVerdict"] : VERDICT_KINDS
        const fault = this.#next("settle", what, kinds)
        if (fault?.kind === "lateVerdict") {
          late.push(this.#settleAfter(verdict, fault.delayMs))
        } else {
          now.push(fault === undefined ? verdict : this.#replaced(verdict, fault))
        }
        cutFor = fault?.kind === "disconnect" ? fault.delayMs : cutFor
      }
      const before = cutFor === undefined ? Effect.void : this.#options.cut(cutFor)
      const all = Effect.andThen(before, now.length === 0 ? Effect.void : this.#options.inner.settle(now))
      return late.length === 0 ? all : Effect.all([all, ...late], { concurrency: "unbounded", discard: true })
    })

  readonly holds = (delivery: Delivery): boolean => this.#options.inner.holds(delivery)

  readonly runs = (delivery: Delivery, isRunning: boolean): void => this.#options.inner.runs?.(delivery, isRunning)

  get stop(): Effect.Effect<void> {
    return this.#options.inner.stop
  }

  readonly ledger = () => this.#options.inner.ledger()

  readonly unansweredMs = () => this.#options.inner.unansweredMs?.() ?? 0

  get settleLate(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const verdicts = [...this.#late]
      this.#late.clear()
      return verdicts.length === 0
        ? Effect.void
        // Under `confirmed` that may wait for a broker that is away, and closing must not.
        : Effect.asVoid(Effect.forkDetach(this.#options.inner.settle(verdicts), { startImmediately: true }))
    })
  }

  // internals

  #next(operation: "take" | "settle", what: string, kinds: ReadonlyArray<Kind>): Injected | undefined {
    const all = this.#options.canCut ? [...kinds, "disconnect" as const] : kinds
    return this.#options.decider.next({ operation, what, kinds: all })
  }

  /** What is ready; else asks, and waits. A fiber of the inlet's own asks, so that an interrupted `take` loses nothing. */
  #answer(max: number, fault: Injected | undefined): Pull.Pull<NonEmptyReadonlyArray<Delivery>, TransportError> {
    return Effect.suspend(() => {
      if (this.#broken) {
        return Effect.fail(because(broken))
      }
      if (this.#ready.length > 0) {
        return Effect.succeed(this.#ready.splice(0, max) as unknown as NonEmptyReadonlyArray<Delivery>)
      }
      if (this.#end !== undefined && this.#coming === 0) {
        return Effect.failCause(this.#end)
      }
      this.#changed.closeUnsafe()
      const ask = this.#asking || this.#end !== undefined ? Effect.void : this.#ask(max, fault)
      return Effect.andThen(ask, Effect.andThen(this.#changed.await, this.#answer(max, undefined)))
    })
  }

  #ask(max: number, fault: Injected | undefined): Effect.Effect<void> {
    this.#asking = true
    const asking = Effect.exit(this.#options.inner.take(max)).pipe(
      Effect.andThen((exit) => {
        this.#asking = false
        if (Exit.isFailure(exit)) {
          this.#end = exit.cause
          this.#changed.openUnsafe()
          return Effect.void
        }
        return this.#arrived([...exit.value], fault)
      })
    )
    return Effect.asVoid(Effect.forkIn(asking, this.#scope))
  }

  #arrived(chunk: Array<Delivery>, fault: Injected | undefined): Effect.Effect<void> {
    switch (fault?.kind) {
      case "lateDelivery":
        return this.#readyAfter(chunk, fault.delayMs)
      case "reorder": {
        const first = chunk.splice(0, 1)
        this.#ready.push(...chunk)
        this.#changed.openUnsafe()
        // With nothing to come after it, it comes a little later.
        return this.#readyAfter(first, fault.delayMs)
      }
      default:
        this.#ready.push(...chunk)
        this.#changed.openUnsafe()
        return Effect.void
    }
  }

  #readyAfter(deliveries: ReadonlyArray<Delivery>, millis: number): Effect.Effect<void> {
    this.#coming += deliveries.length
    const arrive = Effect.sync(() => {
      this.#coming -= deliveries.length
      this.#ready.push(...deliveries)
      this.#changed.openUnsafe()
    })
    return Effect.asVoid(Effect.forkIn(Effect.andThen(Effect.sleep(millis), arrive), this.#scope))
  }

  #settleAfter(verdict: Verdict, millis: number): Effect.Effect<void> {
    this.#late.add(verdict)
    const due = this.#clock.currentTimeMillisUnsafe() + millis
    const settle = Effect.suspend(() => {
      // Not before its time: a deadline and a delay are rounded differently.
      const left = due - this.#clock.currentTimeMillisUnsafe()
      return Effect.andThen(
        Effect.sleep(Math.max(0, left)),
        Effect.suspend(() => this.#late.delete(verdict) ? this.#options.inner.settle([verdict]) : Effect.void)
      )
    })
    // Handed over is handed over: whoever waits for the broker's word may be interrupted, the verdict is not.
    const handedOver = Effect.forkIn(settle, this.#scope)
    return this.#options.flow.ack._tag === "confirmed"
      ? Effect.asVoid(Effect.flatMap(handedOver, Fiber.await))
      : Effect.asVoid(handedOver)
  }

  /**
   * A broker that never hears a verdict delivers again when the lease is over. To let go of it with that delay is what
   * that looks like from outside: the layer underneath keeps its counts, and renews nothing.
   */
  #replaced(verdict: Verdict, fault: Injected): Verdict {
    switch (fault.kind) {
      case "loseVerdict":
        return { delivery: verdict.delivery, settlement: Settlement.nak(ackWaitOf(this.#options.source)) }
      case "repeatDelivery":
        return { delivery: verdict.delivery, settlement: Settlement.nak(fault.delayMs) }
      default:
        return verdict
    }
  }
}

const VERDICT_KINDS: ReadonlyArray<Kind> = ["loseVerdict", "repeatDelivery", "lateVerdict"]

const ackWaitOf = (source: Source): number =>
  source._tag === "durable"
    ? Option.match(source.create, { onNone: () => ACK_WAIT_MS, onSome: (consumer) => consumer.ackWaitMs })
    : ACK_WAIT_MS
