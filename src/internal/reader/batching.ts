/**
 * One handler per batch of messages, by size or by time.
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type { Delivery } from "../../Message.ts"
import * as Settlement from "../../Settlement.ts"
import type * as Topic from "../../Topic.ts"
import type { Transport } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import { TimeBudgetExceeded } from "./options.ts"
import { type Item, Outcomes, type Retrying, toItem } from "./outcome.ts"
import type { Plan } from "./plan.ts"
import { open, type Session } from "./session.ts"
import type { Tally } from "./tally.ts"

export interface Entry<A> {
  readonly value: A
  readonly message: Delivery
  readonly attempt: number
}

export interface Work<P, A, R> {
  readonly topic: Topic.Topic<P, A>
  readonly plan: Plan
  readonly tally: Tally
  readonly draining: Effect.Effect<void>
  readonly size: number
  readonly withinMs: number
  readonly retrying: Retrying<R>
  /** What a handler sees of a delivery, where that is not the delivery itself. */
  readonly messageOf?: (delivery: Delivery) => Delivery
  readonly handler: (
    batch: NonEmptyReadonlyArray<Entry<A>>
  ) => Effect.Effect<void | ReadonlyArray<Settlement.Settlement>, unknown, R>
}

/** Opens the source and works on it until it is drained or ends. */
export const run = <P, A, R>(work: Work<P, A, R>): Effect.Effect<void, TransportError, R | Transport> =>
  Effect.scoped(Effect.gen(function*() {
    const session = yield* open(work.plan, work.tally)
    const clock = yield* Clock.Clock
    const batcher = new Batcher(work, session, clock)
    yield* Effect.addFinalizer(() => batcher.close)
    yield* Effect.forkScoped(batcher.feed, { startImmediately: true })
    yield* Effect.forkScoped(Effect.andThen(work.draining, batcher.drain), { startImmediately: true })
    return yield* batcher.work
  }))

class Batcher<P, A, R> {
  readonly #work: Work<P, A, R>
  readonly #session: Session
  readonly #outcomes: Outcomes<R>
  readonly #clock: Clock.Clock
  /** What waits for the next batch: at most one batch full. */
  #waiting: Array<{ readonly item: Item<A>; readonly since: number }> = []
  #running: ReadonlyArray<Item<A>> = []
  #ended: Exit.Exit<void, TransportError> | undefined
  readonly #some = Latch.makeUnsafe(false)
  readonly #full = Latch.makeUnsafe(false)
  readonly #room = Latch.makeUnsafe(true)

  constructor(work: Work<P, A, R>, session: Session, clock: Clock.Clock) {
    this.#work = work
    this.#session = session
    this.#clock = clock
    this.#outcomes = new Outcomes(session, work.retrying)
  }

  /** Takes while a handler runs, so that the next batch is ready when it ends. */
  readonly feed: Effect.Effect<void> = Effect.suspend(() =>
    Effect.gen({ self: this }, function*() {
      while (true) {
        yield* this.#room.await
        const chunk = yield* this.#session.inlet.take(this.#work.size - this.#waiting.length)
        const now = this.#clock.currentTimeMillisUnsafe()
        for (const delivery of chunk) {
          const item = toItem(this.#work.topic, delivery, this.#work.messageOf?.(delivery))
          this.#waiting.push({ item, since: now })
        }
        this.#signal()
        this.#session.tally.sync()
      }
    }).pipe(
      Pull.catchDone(() => Effect.void),
      Effect.exit,
      Effect.map((exit) => {
        this.#ended = exit
        this.#signal()
      })
    )
  )

  /** Stops pulling; what is held is worked off, in batches that no longer wait to become full. */
  get drain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#session.draining = true
      this.#signal()
      return this.#session.inlet.stop
    })
  }

  /** For a closing scope: hands back what waits, then what was interrupted. */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => Effect.andThen(this.#handBackWaiting(), this.#outcomes.handBack(this.#running, true)))
  }

  readonly work: Effect.Effect<void, TransportError, R> = Effect.suspend(() =>
    Effect.gen({ self: this }, function*() {
      while (true) {
        yield* this.#some.await
        const first = this.#waiting[0]
        if (this.#ended !== undefined && (first === undefined || Exit.isFailure(this.#ended))) {
          return yield* this.#ended
        }
        if (first === undefined) {
          continue
        }
        const patience = first.since + this.#work.withinMs - this.#clock.currentTimeMillisUnsafe()
        if (patience > 0) {
          yield* Effect.raceFirst(this.#full.await, Effect.sleep(patience))
        }
        const batch = this.#waiting.splice(0, this.#work.size).map(({ item }) => item)
        this.#signal()
        this.#running = batch
        yield* this.#process(batch)
        this.#running = []
      }
    })
  )

  #handBackWaiting(): Effect.Effect<void> {
    const items = this.#waiting.map(({ item }) => item)
    this.#waiting = []
    this.#signal()
    return this.#outcomes.handBack(items, false)
  }

  #signal(): void {
    const isOver = this.#ended !== undefined
    toggle(this.#some, isOver || this.#waiting.length > 0)
    toggle(this.#full, isOver || this.#session.draining || this.#waiting.length >= this.#work.size)
    toggle(this.#room, this.#waiting.length < this.#work.size)
  }

  #process(items: ReadonlyArray<Item<A>>): Effect.Effect<void, never, R> {
    return Effect.gen({ self: this }, function*() {
      const batch: Array<Item<A>> = []
      const entries: Array<Entry<A>> = []
      for (const item of items) {
        if (!this.#session.inlet.holds(item.delivery)) {
          item.phase = "settled"
        } else if (Result.isFailure(item.value)) {
          yield* this.#outcomes.undecodable(item, item.value.failure)
        } else {
          const now = this.#clock.currentTimeMillisUnsafe()
          if (item.dueAt > now) {
            yield* this.#outcomes.tooEarly(item, now)
            continue
          }
          const doom = this.#outcomes.doomed(item)
          if (doom !== undefined) {
            yield* this.#outcomes.giveUp(item, doom)
            continue
          }
          item.phase = "running"
          this.#session.inlet.runs?.(item.delivery, true)
          batch.push(item)
          entries.push({ value: item.value.success, message: item.message, attempt: item.attempt })
        }
      }
      if (!isReadonlyArrayNonEmpty(entries)) {
        return
      }
      const startedAt = this.#clock.currentTimeMillisUnsafe()
      const exit = yield* Effect.exit(this.#call(entries))
      for (const { delivery } of batch) {
        this.#session.inlet.runs?.(delivery, false)
      }
      this.#session.tally.ran((this.#clock.currentTimeMillisUnsafe() - startedAt) / 1_000)
      yield* Exit.isSuccess(exit)
        ? this.#settle(batch, exit.value ?? undefined)
        : Effect.forEach(batch, (item) => this.#failed(item, exit.cause), { discard: true })
    })
  }

  #call(entries: NonEmptyReadonlyArray<Entry<A>>) {
    const millis = this.#work.plan.timeBudgetMs
    return Effect.suspend(() => this.#work.handler(entries)).pipe(
      Effect.timeoutOrElse({ duration: millis, orElse: () => Effect.fail(new TimeBudgetExceeded({ millis })) }),
      Effect.flatMap((settlements) =>
        Array.isArray(settlements) && settlements.length !== entries.length
          ? Effect.die(new Error(`a batch of ${entries.length} needs as many settlements, not ${settlements.length}`))
          : Effect.succeed(settlements)
      )
    )
  }

  #settle(batch: ReadonlyArray<Item<A>>, settlements: ReadonlyArray<Settlement.Settlement> | undefined) {
    return Effect.forEach(batch, (item, i) => {
      const settlement = settlements?.[i] ?? Settlement.ack
      switch (settlement._tag) {
        case "Ack":
          return this.#outcomes.succeeded(item)
        case "Nak":
          this.#session.tally.retried++
          return this.#outcomes.settle(item, settlement)
        case "Term":
          this.#session.tally.rejected++
          return this.#outcomes.settle(item, settlement)
      }
    }, { concurrency: this.#work.plan.confirmed ? "unbounded" : 1, discard: true })
  }

  #failed(item: Item<A>, cause: Cause.Cause<unknown>): Effect.Effect<void, never, R> {
    return Effect.flatMap(
      this.#outcomes.failed(item, cause),
      (delay) => delay === "givenUp" ? Effect.void : this.#outcomes.settle(item, Settlement.nak(delay))
    )
  }
}

const toggle = (latch: Latch.Latch, open: boolean): boolean => open ? latch.openUnsafe() : latch.closeUnsafe()
