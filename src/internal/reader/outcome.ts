/**
 * Decides what becomes of a message after its handler: settled, tried again, or given up.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { Delivery } from "../../Message.ts"
import * as Outcome from "../../Outcome.ts"
import * as Settlement from "../../Settlement.ts"
import type * as Topic from "../../Topic.ts"
import type { Verdict } from "../../Transport.ts"
import { Burying } from "./burying.ts"
import { type Classify, Defect, type Failure, type RetryOptions, TimeBudgetExceeded } from "./options.ts"
import { waitedOf } from "./replays.ts"
import type { Session } from "./session.ts"

type Step = (now: number, input: unknown) => Pull.Pull<[unknown, Duration.Duration], never, unknown>

/** A delivery on its way through a reader. */
export class Item<A> {
  readonly delivery: Delivery
  /** What the handler sees: the delivery, or the message that a replay brings back. */
  readonly message: Delivery
  readonly value: Result.Result<A, Topic.DecodeError | Defect>
  /** Whose order must be kept; undefined for nobody's. */
  readonly key: string | undefined
  phase: "waiting" | "running" | "parked" | "givingUp" | "settled" = "waiting"
  /** How often it was tried again here, without the broker. */
  retries = 0
  startedAt = 0
  /** It is not to be tried before. */
  dueAt = 0
  admitted = false
  step: Step | undefined

  constructor(
    delivery: Delivery,
    message: Delivery,
    value: Result.Result<A, Topic.DecodeError | Defect>,
    key: string | undefined
  ) {
    this.delivery = delivery
    this.message = message
    this.value = value
    this.key = key
    const waited = message === delivery ? undefined : waitedOf(delivery)
    if (waited !== undefined) {
      this.dueAt = waited.dueAt
      // Its first delivery is there to find out that it is not due.
      this.retries = waited.attempts - (delivery.deliveryCount > 1 ? 1 : 0)
    }
  }

  get attempt(): number {
    return this.delivery.deliveryCount + this.retries
  }
}

/** Decodes a delivery. A topic whose functions throw makes an undecodable message, not a dead reader. */
export const toItem = <P, A>(topic: Topic.Topic<P, A>, delivery: Delivery, message = delivery): Item<A> => {
  try {
    const value = topic.decode(message)
    return new Item(delivery, message, value, Result.isSuccess(value) ? topic.key(value.success) : undefined)
  } catch (defect) {
    return new Item<A>(delivery, message, Result.fail(new Defect({ defect })), undefined)
  }
}

/** One second, doubled each time up to a minute, and not at the same moment everywhere. */
export const defaultRetry = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")]).pipe(
  Schedule.jittered
)

/** What a reader was told about failures. Its schedule and its classes are typed where they are given. */
export interface Retrying<R> extends RetryOptions<R> {
  readonly retry?: Schedule.Schedule<unknown, never> | undefined
  readonly classify?: Classify<never> | undefined
}

export class Outcomes<R> {
  readonly #session: Session
  readonly #options: Retrying<R>
  readonly #burying: Burying
  readonly #retry: Schedule.Schedule<unknown, never>
  readonly #maxAttempts: number

  constructor(session: Session, options: Retrying<R>) {
    this.#session = session
    this.#burying = new Burying(session)
    this.#options = options
    this.#retry = options.retry ?? defaultRetry
    this.#maxAttempts = session.plan.retryable ? options.maxAttempts ?? 5 : 1
  }

  /** Hands the verdict over; under `confirmed` it waits for the broker's word. */
  settle<A>(item: Item<A>, settlement: Settlement.Settlement): Effect.Effect<void> {
    item.phase = "settled"
    const { acksOnEnqueue, confirmed } = this.#session.plan
    if (acksOnEnqueue(item.delivery.subject)) {
      return Effect.void
    }
    if (confirmed) {
      return this.#session.settleNow([{ delivery: item.delivery, settlement }])
    }
    this.#session.settle(item.delivery, settlement)
    return Effect.void
  }

  /** It came before its time. */
  tooEarly<A>(item: Item<A>, now: number): Effect.Effect<void> {
    this.#session.tally.returned++
    return this.settle(item, Settlement.nak(item.dueAt - now))
  }

  /** Its key does not wait for it any longer: it goes back for what is left of its delay. */
  returned<A>(item: Item<A>, millis: number): Effect.Effect<void> {
    return this.settle(item, Settlement.nak(millis))
  }

  succeeded<A>(item: Item<A>): Effect.Effect<void> {
    this.#session.tally.processed++
    this.#burying.forget(item.delivery)
    return this.settle(item, Settlement.ack)
  }

  /** After a failure: in how many milliseconds to try again, or that it was given up (and settled). */
  failed<A>(item: Item<A>, cause: Cause.Cause<unknown>): Effect.Effect<number | "givenUp", never, R> {
    return Effect.gen({ self: this }, function*() {
      const failure = failureOf(cause, item.attempt)
      const input = inputOf(cause)
      const outcome = yield* this.classify(input)
      yield* this.#burying.noteFailure(item.delivery)
      if (outcome._tag === "Drop") {
        yield* this.#drop(item, failure)
        return "givenUp"
      }
      if (outcome._tag === "Permanent") {
        yield* this.giveUp(item, { ...failure, permanent: true })
        return "givenUp"
      }
      if (item.attempt < this.#maxAttempts) {
        const delay = outcome._tag === "Later" ? outcome.delayMs : yield* this.#nextDelay(item, input)
        if (delay !== undefined) {
          this.#session.tally.retried++
          if (yield* this.#burying.postpone(item.delivery, item.message, failure, delay)) {
            yield* this.settle(item, Settlement.ack)
            return "givenUp"
          }
          yield* Effect.logDebug("a message failed and will be tried again", this.#ids(item, failure), cause)
          return delay
        }
      }
      yield* this.giveUp(item, failure)
      return "givenUp"
    })
  }

  undecodable<A>(item: Item<A>, error: Topic.DecodeError | Defect): Effect.Effect<void, never, R> {
    const reason = error._tag === "Defect" ? "Undecodable" : error._tag
    return this.giveUp(item, { _tag: "Undecodable", reason, cause: Cause.fail(error), attempts: item.attempt })
  }

  /** Why it was to be given up when it came the last time, if it was: then its handler has had its attempts. */
  doomed<A>(item: Item<A>): Failure | undefined {
    return this.#burying.doomed(item.delivery)
  }

  giveUp<A>(item: Item<A>, failure: Failure): Effect.Effect<void, never, R> {
    return Effect.gen({ self: this }, function*() {
      item.phase = "givingUp"
      const { onGiveUp } = this.#options
      yield* this.#burying.doom(item.delivery, failure)
      const buried = yield* Effect.exit(this.#burying.bury(item.delivery, item.message, failure))
      if (Exit.isFailure(buried)) {
        return yield* this.keep(item, failure.reason, buried.cause)
      }
      if (onGiveUp !== undefined) {
        const exit = yield* Effect.exit(Effect.suspend(() => onGiveUp(failure, item.message)))
        if (Exit.isFailure(exit)) {
          return yield* this.keep(item, failure.reason, exit.cause)
        }
      }
      const { tally } = this.#session
      this.#burying.forget(item.delivery)
      if (this.#session.plan.burial !== undefined) {
        tally.deadLettered++
      }
      if (failure._tag === "Undecodable") {
        tally.rejected++
      } else {
        tally.failed++
      }
      // Where somebody takes care of what is given up, it is no longer worth a warning.
      const isCared = onGiveUp !== undefined || this.#session.plan.burial !== undefined
      const log = isCared ? Effect.logDebug : Effect.logWarning
      yield* log("a message was given up", this.#ids(item, failure))
      yield* Effect.logDebug("why it was given up", failure._tag === "Undecodable" ? failure.reason : failure.cause)
      yield* this.settle(item, Settlement.term(failure.reason))
    })
  }

  /** Nobody needs it any more. */
  #drop<A>(item: Item<A>, failure: Failure): Effect.Effect<void> {
    this.#session.tally.dropped++
    this.#burying.forget(item.delivery)
    return Effect.andThen(
      Effect.logDebug("a message was dropped", this.#ids(item, failure)),
      this.settle(item, Settlement.term(`dropped: ${failure.reason}`))
    )
  }

  /** What the reader says of a failure, else what the error says of itself. */
  classify(input: unknown): Effect.Effect<Outcome.Outcome> {
    const { defect, outcome } = this.meaningOf(input)
    return defect === undefined
      ? Effect.succeed(outcome)
      : Effect.as(Effect.logError("a classify function died; the message is tried again", defect.cause), outcome)
  }

  meaningOf(input: unknown): {
    readonly outcome: Outcome.Outcome
    readonly input: unknown
    readonly defect?: { readonly cause: unknown }
  } {
    try {
      return { input, outcome: this.#options.classify?.(input as never) ?? Outcome.of(input) ?? Outcome.retry }
    } catch (cause) {
      return { input, outcome: Outcome.retry, defect: { cause } }
    }
  }

  /** Giving up failed, so the message must not go. */
  keep<A>(item: Item<A>, reason: string, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const delay = Math.min(60_000, 1_000 * 2 ** Math.min(item.attempt - 1, 6))
      const { acksOnEnqueue, source } = this.#session.plan
      const once = source._tag === "ordered" ? "an ordered source gives it once" : "it was acknowledged on enqueue"
      const kept = source._tag !== "ordered" && !acksOnEnqueue(item.delivery.subject)
      this.#session.tally[kept ? "retried" : "failed"]++
      const what = kept
        ? `a message could not be given up; it is kept, and comes back in ${delay} ms`
        : `a message could not be given up, and is lost: ${once}`
      yield* Effect.logError(what, this.#ids(item, { reason, attempts: item.attempt }), tagOf(cause))
      yield* this.settle(item, Settlement.nak(delay))
    })
  }

  /**
   * Hands back what was not done, at once. What was acknowledged on enqueue cannot be handed back, whether it had begun
   * or not: with at most once, this is where the message goes.
   */
  handBack<A>(items: ReadonlyArray<Item<A>>, begun: boolean): Effect.Effect<void> {
    const { inlet, plan, tally } = this.#session
    const verdicts: Array<Verdict> = []
    for (const item of items) {
      if (item.phase === "settled") {
        continue
      }
      item.phase = "settled"
      if (plan.acksOnEnqueue(item.delivery.subject)) {
        tally.abandoned++
      } else if (inlet.holds(item.delivery)) {
        tally[begun ? "abandoned" : "returned"]++
        verdicts.push({ delivery: item.delivery, settlement: Settlement.nak() })
      }
    }
    return verdicts.length === 0 ? Effect.void : this.#session.handOver(verdicts)
  }

  /** The schedule's step for this attempt; a redelivery goes through the steps that others have used up. */
  #nextDelay<A>(item: Item<A>, input: unknown): Effect.Effect<number | undefined> {
    return Effect.gen({ self: this }, function*() {
      let skip = 0
      if (item.step === undefined) {
        item.step = (yield* Schedule.toStep(this.#retry)) as Step
        skip = Math.min(item.attempt - 1, stepsMax)
      }
      const now = yield* Clock.currentTimeMillis
      for (; skip > 0; skip--) {
        yield* item.step(now, input)
      }
      const [, delay] = yield* item.step(now, input)
      return Duration.toMillis(delay)
    }).pipe(
      Pull.catchDone(() => Effect.succeed(undefined)),
      Effect.catchDefect((defect) =>
        Effect.as(Effect.logError("a retry schedule died; the message is given up", defect), undefined)
      )
    )
  }

  #ids<A>(item: Item<A>, { attempts, reason }: { readonly attempts: number; readonly reason: string }) {
    const { consumer, deliveryCount, stream, streamSequence } = item.delivery
    return { reader: this.#session.plan.name, stream, consumer, streamSequence, deliveryCount, attempts, reason }
  }
}

// internals

/** A schedule that was stepped so often has long found its last delay. */
const stepsMax = 1_000

const failureOf = (cause: Cause.Cause<unknown>, attempts: number): Failure => {
  const input = inputOf(cause)
  const _tag = input instanceof Defect
    ? "Defect"
    : input instanceof TimeBudgetExceeded
    ? "TimeBudgetExceeded"
    : "Failed"
  return { _tag, reason: tagOf(cause) ?? _tag, cause, attempts }
}

/** What the schedule sees: a typed failure as it is, anything else as a defect. */
export const inputOf = (cause: Cause.Cause<unknown>): unknown => {
  const fail = cause.reasons.find(Cause.isFailReason)
  return fail === undefined || Cause.hasDies(cause) ? new Defect({ defect: Cause.squash(cause) }) : fail.error
}

/** The error's tag, if it has one that looks like a name: it goes where payloads must not. */
const tagOf = (cause: Cause.Cause<unknown>): string => {
  const input = inputOf(cause)
  const tag = typeof input === "object" && input !== null && "_tag" in input ? input._tag : undefined
  return typeof tag === "string" && /^[A-Za-z][\w./-]{0,63}$/.test(tag) ? tag : "Failed"
}
