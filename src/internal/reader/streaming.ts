/**
 * Deliveries as a stream, settled by whoever reads it.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Message from "../../Message.ts"
import * as Queue from "../../Queue.ts"
import * as Settlement from "../../Settlement.ts"
import type * as Topic from "../../Topic.ts"
import type { Transport } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import { Defect } from "./options.ts"
import { toItem } from "./outcome.ts"
import type { Plan } from "./plan.ts"
import { open, Patience, type Session } from "./session.ts"
import type { Tally } from "./tally.ts"

/**
 * A message of a `Reader.stream`, to be settled by hand: exactly one of `ack`, `nak` and `term` counts, the first.
 *
 * **Gotchas**
 *
 * Settling a second time does nothing, and neither does settling after the stream has ended, or under a policy that
 * acknowledges on enqueue. What is never settled occupies the queue until the stream ends.
 *
 * @category models
 * @since 0.1.0
 */
export class Delivery<out A> {
  /** The decoded value, or why there is none. */
  readonly value: Result.Result<A, Topic.DecodeError | Defect>
  /** The message as it came: subject, headers, sequence, how often it was delivered. */
  readonly message: Message.Delivery
  /** None where nothing is to be settled, or not any more. */
  #settler: Settler | typeof lost | undefined

  /** @internal */
  constructor(
    value: Result.Result<A, Topic.DecodeError | Defect>,
    message: Message.Delivery,
    settler: Settler | undefined
  ) {
    this.value = value
    this.message = message
    this.#settler = settler
  }

  /**
   * Whether it is this reader's until it is settled. It is not once its lease has run out: the connection was away for too
   * long, or the time budget is over. Then the broker gives it to whoever reads next, and a verdict does nothing. Ask right
   * before the work begins, as `handle` and `settling` do: a stream's chunk may have waited since it came.
   */
  get isHeld(): boolean {
    if (this.#settler instanceof Settler && !this.#settler.holds(this.message)) {
      this.#settler = lost
    }
    return this.#settler !== lost
  }

  /** Done. Under `AckPolicy.confirmed` this ends when the broker has confirmed it. */
  get ack(): Effect.Effect<void> {
    return this.settle(Settlement.ack)
  }

  /** Once more, after `delay` (default: at once). */
  nak(delay?: Duration.Input): Effect.Effect<void> {
    return this.settle(Settlement.nak(delay))
  }

  /** Never again, and why; the reason goes to the broker, and must not contain personal data. */
  term(reason: string): Effect.Effect<void> {
    return this.settle(Settlement.term(reason))
  }

  /** Any of the three, as a value. */
  settle(settlement: Settlement.Settlement): Effect.Effect<void> {
    return Effect.suspend(() => {
      const settler = this.#settler
      if (!(settler instanceof Settler)) {
        return Effect.void
      }
      this.#settler = undefined
      return settler.settle(this.message, settlement)
    })
  }
}

/** Its lease ran out before it was settled. */
const lost = Symbol("lost")

/** The deliveries of one session that are with the user. */
class Settler {
  readonly session: Session
  /** How many are not settled, and how large they are together. */
  count = 0
  bytes = 0
  /** Grows with every verdict. */
  verdicts = 0
  /** The user asks for more, and there is none. */
  isWaiting = false
  isClosed = false

  constructor(session: Session) {
    this.session = session
  }

  settle(delivery: Message.Delivery, settlement: Settlement.Settlement): Effect.Effect<void> {
    const { plan, tally } = this.session
    if (this.isClosed) {
      return Effect.void
    }
    this.#release(delivery)
    this.verdicts++
    switch (settlement._tag) {
      case "Ack":
        tally.processed++
        break
      case "Nak":
        tally.retried++
        break
      case "Term":
        tally.rejected++
    }
    if (plan.confirmed) {
      return this.session.settleNow([{ delivery, settlement }])
    }
    this.session.settle(delivery, settlement)
    return Effect.void
  }

  /** What is held no more takes up no room. */
  holds(delivery: Message.Delivery): boolean {
    const isHeld = this.session.inlet.holds(delivery)
    if (!isHeld) {
      this.#release(delivery)
    }
    return isHeld
  }

  get isFull(): boolean {
    const { queue } = this.session.plan.flow
    return this.count >= Queue.heldLimit(queue) || this.bytes * 10 >= queue.bytes * 9
  }

  #release(delivery: Message.Delivery): void {
    this.count--
    this.bytes -= delivery.bytes
  }
}

export interface Work<P, A> {
  readonly topic: Topic.Topic<P, A>
  readonly plan: Plan
  readonly tally: Tally
  readonly draining: Effect.Effect<void>
}

type Chunks<A, R = never> = Pull.Pull<NonEmptyReadonlyArray<Delivery<A>>, TransportError, void, R>

/** What to pull from. Everything it opens lives as long as the scope, and hands back at its end what is not settled. */
export const make = <P, A>(work: Work<P, A>): Effect.Effect<Chunks<A, Transport>, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => new Source(work, scope).pull)

/** One session after the other. */
class Source<P, A> {
  readonly pull: Chunks<A, Transport>
  readonly #work: Work<P, A>
  readonly #scope: Scope.Scope
  readonly #patience: Patience
  #current: { readonly pull: Chunks<A>; readonly scope: Scope.Closeable } | undefined

  constructor(work: Work<P, A>, scope: Scope.Scope) {
    this.#work = work
    this.#scope = scope
    this.#patience = new Patience(work.plan, work.draining)
    this.pull = Effect.catch(
      Effect.suspend(() => this.#current?.pull ?? Effect.flatten(this.#open)),
      (error) => Cause.isDone(error) ? Effect.fail(error) : this.#recover(error)
    )
  }

  get #open(): Effect.Effect<Chunks<A>, TransportError, Transport> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        const scope = yield* Scope.fork(this.#scope)
        const exit = yield* Effect.exit(restore(Scope.provide(openOne(this.#work), scope)))
        if (Exit.isFailure(exit)) {
          yield* Scope.close(scope, exit)
          return yield* exit
        }
        this.#current = { pull: exit.value, scope }
        return exit.value
      })
    )
  }

  #recover(failure: TransportError): Chunks<A, Transport> {
    return Effect.gen({ self: this }, function*() {
      let error = failure
      while (true) {
        const { name, onError } = this.#work.plan
        if (onError === "raise" || error.reason._tag === "Invalid") {
          return yield* Effect.fail(error)
        }
        if (onError === "finish") {
          yield* Effect.logError(`reader ${name} ends: ${error.message}`)
          return yield* Cause.done()
        }
        // Its inlet is gone for good; what the reader still holds of it cannot be settled any more.
        const scope = this.#current?.scope
        this.#current = undefined
        if (scope !== undefined) {
          yield* Scope.close(scope, Exit.void)
        }
        if ((yield* this.#patience.after(error)) === "drained") {
          return yield* Cause.done()
        }
        const result = yield* Effect.result(Effect.flatten(this.#open))
        if (Result.isSuccess(result)) {
          return result.success
        }
        if (Cause.isDone(result.failure)) {
          return yield* Effect.fail(result.failure)
        }
        error = result.failure
      }
    })
  }
}

const openOne = <P, A>(work: Work<P, A>): Effect.Effect<Chunks<A>, TransportError, Transport | Scope.Scope> =>
  Effect.gen(function*() {
    const session = yield* open(work.plan, work.tally)
    const settler = new Settler(session)
    yield* Effect.addFinalizer(() => Effect.sync(() => void (settler.isClosed = true)))
    yield* Effect.forkScoped(Effect.andThen(work.draining, session.inlet.stop), { startImmediately: true })
    yield* Effect.forkScoped(warnWhenStalled(settler))
    const take = Effect.map(session.inlet.take(Math.min(work.plan.capacity, chunkMax)), (chunk) => {
      settler.isWaiting = false
      const deliveries = chunk.map((delivery) =>
        new Delivery(toItem(work.topic, delivery).value, delivery, hand(settler, delivery))
      )
      work.tally.sync()
      return deliveries as unknown as NonEmptyReadonlyArray<Delivery<A>>
    })
    return Effect.suspend(() => {
      settler.isWaiting = true
      return take
    })
  })

/** As many as a stream's chunk has by default. */
const chunkMax = 4_096

/** Puts a delivery into the user's hands. Where nothing is to be settled, it is done with now. */
const hand = (settler: Settler, delivery: Message.Delivery): Settler | undefined => {
  const { plan, tally } = settler.session
  if (plan.acksOnEnqueue(delivery.subject)) {
    tally.processed++
    return undefined
  }
  settler.count++
  settler.bytes += delivery.bytes
  if (plan.source._tag !== "ordered") {
    return settler
  }
  settler.count--
  settler.bytes -= delivery.bytes
  tally.processed++
  settler.session.settle(delivery, Settlement.ack)
  return undefined
}

const checkEveryMs = 5_000
const stalledAfterMs = 30_000

/** A loop that forgets to settle stops getting messages once its queue is full. It must not do so silently. */
const warnWhenStalled = (settler: Settler): Effect.Effect<void> =>
  Effect.gen(function*() {
    let [verdicts, stalledMs] = [-1, 0]
    while (stalledMs < stalledAfterMs) {
      yield* Effect.sleep(checkEveryMs)
      const isStalled = settler.isWaiting && settler.isFull && settler.verdicts === verdicts
      stalledMs = isStalled ? stalledMs + checkEveryMs : 0
      verdicts = settler.verdicts
    }
    yield* Effect.logWarning(
      `reader ${settler.session.plan.name} has stalled: ${settler.count} deliveries are not settled, and no more fit. `
        + "Run ack, nak or term of each delivery, or use Reader.settling."
    )
  })

/**
 * Processes deliveries and settles each one by its outcome: success acknowledges, a failure or defect sends it back for
 * a second, doubled with each delivery up to a minute, and an undecodable one is terminated.
 *
 * **When to use**
 *
 * When what comes out is to flow on as a stream. `handle` costs a tenth, keeps the order of keys, and can give up.
 *
 * **Details**
 *
 * One result per delivery that is still held when its turn comes. With `concurrency` above 1, results come as they are
 * done. An acknowledged result may be lost further down the stream; do the work that matters in `handler`.
 *
 * @category streaming
 * @since 0.1.0
 */
export const settling = <A, B, E, R>(
  handler: (value: A, message: Message.Delivery) => Effect.Effect<B, E, R>,
  options: { readonly concurrency?: number } = {}
): <E1, R1>(self: Stream.Stream<Delivery<A>, E1, R1>) => Stream.Stream<
  Result.Result<B, E | Topic.DecodeError | Defect>,
  E1,
  R | R1
> => {
  const settle = (delivery: Delivery<A>): Effect.Effect<
    Result.Result<B, E | Topic.DecodeError | Defect> | undefined,
    never,
    R
  > => {
    const { message, value } = delivery
    if (!delivery.isHeld) {
      return Effect.undefined
    }
    if (Result.isFailure(value)) {
      return Effect.as(delivery.term(value.failure._tag), Result.fail(value.failure))
    }
    return Effect.matchCauseEffect(Effect.suspend(() => handler(value.success, message)), {
      onSuccess: (result) => Effect.as(delivery.ack, Result.succeed(result)),
      onFailure: (cause) => {
        const fail = cause.reasons.find(Cause.isFailReason)
        const isTyped = fail !== undefined && !Cause.hasDies(cause)
        const delay = Math.min(60_000, 1_000 * 2 ** Math.min(message.deliveryCount - 1, 6))
        return Effect.as(
          delivery.nak(delay),
          Result.fail(isTyped ? fail.error : new Defect({ defect: Cause.squash(cause) }))
        )
      }
    })
  }
  const { concurrency = 1 } = options
  return (self) =>
    Stream.mapEffect(self, settle, { concurrency, unordered: concurrency > 1 }).pipe(
      Stream.filter((result) => result !== undefined)
    )
}
