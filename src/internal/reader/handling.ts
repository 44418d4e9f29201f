/**
 * One handler per message, in lanes.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Lanes from "../../Lanes.ts"
import type { Delivery } from "../../Message.ts"
import * as Settlement from "../../Settlement.ts"
import type * as Topic from "../../Topic.ts"
import type { Transport } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import { type Guards, Held } from "./guards.ts"
import { TimeBudgetExceeded } from "./options.ts"
import { inputOf, Item, Outcomes, type Retrying, toItem } from "./outcome.ts"
import type { Plan } from "./plan.ts"
import { open, type Session } from "./session.ts"
import type { Tally } from "./tally.ts"

export interface Work<P, A, R> {
  readonly topic: Topic.Topic<P, A>
  readonly plan: Plan
  readonly tally: Tally
  readonly draining: Effect.Effect<void>
  readonly lanes: number
  readonly retrying: Retrying<R>
  readonly guards: Guards | undefined
  /** What a handler sees of a delivery, where that is not the delivery itself. */
  readonly messageOf?: (delivery: Delivery) => Delivery
  readonly handler: (value: A, message: Delivery, attempt: number) => Effect.Effect<unknown, unknown, R>
}

/** Opens the source and works on it until it is drained or ends. */
export const run = <P, A, R>(work: Work<P, A, R>): Effect.Effect<void, TransportError, R | Transport> =>
  Effect.scoped(Effect.gen(function*() {
    const session = yield* open(work.plan, work.tally)
    const outcomes = new Outcomes(session, work.retrying)
    const runner = new Runner(work, session, outcomes, yield* Clock.Clock)
    const lanes = yield* Lanes.make<Item<A>, R>({
      lanes: work.lanes,
      capacity: work.plan.capacity,
      key: (item) => item.key,
      run: (item, now) => runner.run(item, now),
      handBack: (items, begun) => outcomes.handBack(items, begun),
      overflow: (item, millis) => outcomes.returned(item, millis),
      budget: { millis: work.plan.timeBudgetMs, exceeded: (item) => runner.exceeded(item) }
    })
    yield* drainWhenAsked(work, session, outcomes, lanes)
    const ended = yield* Effect.exit(feed(work, session, outcomes, lanes))
    if (Exit.isFailure(ended)) {
      if (work.plan.onError === "raise" || !Cause.hasFails(ended.cause)) {
        return yield* ended
      }
      session.draining = true
      yield* outcomes.handBack(lanes.withdraw(), false)
    }
    yield* lanes.awaitEmpty
    yield* session.flush
    return yield* ended
  }))

/** Takes what there is room for and deals it out, until there is nothing more to take. */
const feed = <P, A, R>(
  { messageOf, topic }: Work<P, A, R>,
  session: Session,
  outcomes: Outcomes<R>,
  lanes: Lanes.Lanes<Item<A>>
): Effect.Effect<void, TransportError> =>
  Effect.gen(function*() {
    while (true) {
      yield* lanes.awaitRoom
      const chunk: NonEmptyReadonlyArray<Delivery> = yield* session.inlet.take(lanes.room())
      const items: Array<Item<A>> = []
      const late: Array<Item<A>> = []
      for (const delivery of chunk) {
        const item = toItem(topic, delivery, messageOf?.(delivery))
        ;(session.isBarred(item) ? late : items).push(item)
      }
      lanes.offerUnsafe(items)
      if (late.length > 0) {
        yield* outcomes.handBack(late, false)
      }
      session.tally.sync()
    }
  }).pipe(Pull.catchDone(() => Effect.void))

/**
 * Draining, as steps: 1. what is parked for a retry is handed back with all that waits behind it, so that its key keeps
 * its order elsewhere; 2. the inlet stops pulling; 3. what is held is worked off, and then `feed` ends. How long that may
 * take is the worker's grace: when it is over, closing the lanes hands back the rest.
 */
const drainWhenAsked = <P, A, R>(
  work: Work<P, A, R>,
  session: Session,
  outcomes: Outcomes<R>,
  lanes: Lanes.Lanes<Item<A>>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    yield* work.draining
    session.draining = true
    lanes.withdraw((item) => {
      if (item.phase === "parked") {
        session.bar(item)
      }
      return false
    })
    yield* outcomes.handBack(lanes.withdraw((item) => session.isBarred(item)), false)
    yield* session.inlet.stop
  }).pipe(Effect.forkScoped({ startImmediately: true }), Effect.asVoid)

/** Runs the handler on one item, and says what the lane does next. */
class Runner<P, A, R> {
  readonly #work: Work<P, A, R>
  readonly #session: Session
  readonly #outcomes: Outcomes<R>
  readonly #clock: Clock.Clock

  constructor(work: Work<P, A, R>, session: Session, outcomes: Outcomes<R>, clock: Clock.Clock) {
    this.#work = work
    this.#session = session
    this.#outcomes = outcomes
    this.#clock = clock
  }

  run(item: Item<A>, now: number): Effect.Effect<Lanes.Step, never, R> {
    if (!this.#session.inlet.holds(item.delivery)) {
      // Its lease is lost, and counted so: somebody else gets the message.
      item.phase = "settled"
      return next
    }
    if (this.#session.isBarred(item)) {
      return Effect.andThen(this.#outcomes.handBack([item], false), next)
    }
    if (Result.isFailure(item.value)) {
      return Effect.andThen(this.#outcomes.undecodable(item, item.value.failure), next)
    }
    if (item.dueAt > now) {
      return Effect.andThen(this.#outcomes.tooEarly(item, now), next)
    }
    const doom = this.#outcomes.doomed(item)
    if (doom !== undefined) {
      return Effect.andThen(this.#outcomes.giveUp(item, doom), next)
    }
    item.phase = "running"
    item.startedAt = now
    this.#session.inlet.runs?.(item.delivery, true)
    return Effect.matchCauseEffect(this.#call(item, item.value.success), {
      onFailure: (cause) => {
        const held = cause.reasons.find(Cause.isFailReason)?.error
        return held instanceof Held ? this.#hold(item, held.millis) : this.#failed(item, cause)
      },
      onSuccess: () => {
        this.#observe(item)
        const settled = this.#outcomes.succeeded(item)
        return this.#work.plan.confirmed ? Effect.andThen(settled, next) : next
      }
    })
  }

  /** The lane interrupted what ran, because its time was over. */
  exceeded(item: Item<A>): Effect.Effect<Lanes.Step, never, R> {
    const cause = Cause.fail(new TimeBudgetExceeded({ millis: this.#work.plan.timeBudgetMs }))
    switch (item.phase) {
      case "running":
        return this.#failed(item, cause)
      case "givingUp":
        return Effect.andThen(this.#outcomes.keep(item, "TimeBudgetExceeded", cause), next)
      default:
        return next
    }
  }

  #call(item: Item<A>, value: A): Effect.Effect<unknown, unknown, R> {
    const { guards, handler } = this.#work
    try {
      return guards === undefined ? handler(value, item.message, item.attempt) : guards.run(
        item,
        (cause) => this.#outcomes.meaningOf(inputOf(cause)),
        Effect.suspend(() => handler(value, item.message, item.attempt))
      )
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  /** Not now: it has used up nothing, and its key waits. */
  #hold(item: Item<A>, millis: number): Effect.Effect<Lanes.Step, never, R> {
    this.#session.inlet.runs?.(item.delivery, false)
    if (this.#session.draining) {
      this.#session.bar(item)
      return Effect.andThen(this.#outcomes.handBack([item], false), next)
    }
    item.phase = "parked"
    return Effect.succeed(Lanes.park(millis))
  }

  #failed(item: Item<A>, cause: Cause.Cause<unknown>): Effect.Effect<Lanes.Step, never, R> {
    this.#observe(item)
    return Effect.flatMap(this.#outcomes.failed(item, cause), (delay) => {
      if (delay === "givenUp") {
        return next
      }
      // Waiting here keeps the key's order, but holds the message: not for long, and not while shutting down.
      if (this.#session.draining && item.key !== undefined) {
        // It goes back before its successors do, and at once, so that it comes back before them.
        this.#session.bar(item)
        return Effect.andThen(this.#outcomes.settle(item, Settlement.nak()), next)
      }
      const { whenKeyFails = "block" } = this.#work.retrying
      if (item.key === undefined || whenKeyFails === "skip" || delay > this.#work.plan.timeBudgetMs) {
        return Effect.andThen(this.#outcomes.settle(item, Settlement.nak(delay)), next)
      }
      item.retries++
      item.phase = "parked"
      return Effect.succeed(
        whenKeyFails === "block" ? Lanes.park(delay) : Lanes.park(delay, { room: whenKeyFails.park })
      )
    })
  }

  #observe(item: Item<A>): void {
    this.#session.inlet.runs?.(item.delivery, false)
    this.#session.tally.ran((this.#clock.currentTimeMillisUnsafe() - item.startedAt) / 1_000)
  }
}

const next = Effect.succeed(Lanes.done)
