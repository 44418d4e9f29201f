/**
 * Runs work in parallel and keeps the order of each key.
 *
 * A fixed number of lanes; an item's key decides its lane, and a lane runs one item after the other. So items of one key
 * never overtake each other, items of different keys run side by side, and the memory is the same for ten keys and for
 * ten million. Items without a key go to whichever lane is free.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import { Engine } from "./internal/reader/engine.ts"

/**
 * What happens next to an item that was run: it is done, or its key is parked.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = { readonly _tag: "Done" } | {
  readonly _tag: "Park"
  readonly millis: number
  /** How many later items of its key may wait behind it; any number unless it says. */
  readonly room?: number
}

/**
 * The item is done.
 *
 * @category constructors
 * @since 0.1.0
 */
export const done: Step = { _tag: "Done" }

/**
 * The item is run again after so many milliseconds. Later items of its key wait behind it, in order; the lane goes on
 * with its other keys. When more than `room` of them wait, the item goes to `overflow`, and its key goes on without it.
 *
 * **Example** (One second until the next attempt)
 *
 * ```ts import.meta.vitest
 * import * as Lanes from "effect-sluice/Lanes"
 *
 * Lanes.park(1_000) // => { _tag: "Park", millis: 1000 }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const park = (millis: number, options: { readonly room?: number } = {}): Step => ({
  _tag: "Park",
  millis,
  ...options
})

/**
 * How lanes work.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<A, R> {
  /** How many items run at once. */
  readonly lanes: number
  /** How many items may be inside: waiting, running and parked together. */
  readonly capacity: number
  /** Items with the same key keep their order; `undefined` for an item that has none to keep. */
  readonly key: (item: A) => string | undefined
  /** Runs one item, now. A defect is logged, its item is handed back, and the lane goes on. */
  readonly run: (item: A, nowMillis: number) => Effect.Effect<Step, never, R>
  /**
   * Takes back what was not done, each item once: what a closing scope finds waiting or parked (`begun: false`), then
   * what it had to interrupt (`begun: true`).
   */
  readonly handBack: (items: ReadonlyArray<A>, begun: boolean) => Effect.Effect<void, never, R>
  /** Takes an item that is parked, because too many wait behind it, with what is left of its time. Without it: they wait. */
  readonly overflow?: (item: A, millis: number) => Effect.Effect<void, never, R>
  /** How long one run may take. Without it: as long as it likes. */
  readonly budget?: {
    readonly millis: number
    /** Decides about an item whose run was interrupted because its time was over. It gets the same time again. */
    readonly exceeded: (item: A) => Effect.Effect<Step, never, R>
  }
}

/**
 * Lanes at work.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lanes<in out A> {
  /** How many items are inside. */
  readonly size: () => number
  /** How many more fit. */
  readonly room: () => number
  /** Waits until something fits. */
  readonly awaitRoom: Effect.Effect<void>
  /** Waits until nothing is inside. */
  readonly awaitEmpty: Effect.Effect<void>
  /**
   * Puts items in, in order, and starts them. Returns how many of them fitted; a caller that asks `room` first loses
   * nothing. An effect-free step, so that a whole chunk is dealt out in one plain loop.
   */
  readonly offerUnsafe: (items: ReadonlyArray<A>) => number
  /** Takes out everything that waits or is parked, and for which `which` holds. What runs, runs on. */
  readonly withdraw: (which?: (item: A) => boolean) => Array<A>
}

/**
 * Opens lanes. Closing the scope hands back what waits, interrupts what runs, waits for its finalizers, and hands that
 * back too.
 *
 * **When to use**
 *
 * `Reader.handle` has lanes built in. Use this module for keyed, ordered, parallel work that comes from elsewhere.
 *
 * **Gotchas**
 *
 * Two keys may share a lane, and a lane is as slow as its slowest key: one slow key delays every key of its lane, and
 * once the capacity is full of its items, all lanes. More lanes make that rarer, a larger capacity makes it later.
 *
 * `park` keeps the order of a key that is retried. Work that is retried in any other way, by putting it in again or by
 * asking a broker for it again, comes back after its successors.
 *
 * **Example** (Two customers side by side, each in order)
 *
 * ```ts import.meta.vitest
 * import * as Effect from "effect/Effect"
 * import * as Lanes from "effect-sluice/Lanes"
 *
 * const ran: Array<string> = []
 * const program = Effect.gen(function*() {
 *   const lanes = yield* Lanes.make({
 *     lanes: 64,
 *     capacity: 1_000,
 *     key: (order: string) => order.split(".")[0],
 *     run: (order) => Effect.as(Effect.sync(() => ran.push(order)), Lanes.done),
 *     handBack: () => Effect.void
 *   })
 *   lanes.offerUnsafe(["ann.1", "bob.1", "ann.2"])
 *   yield* lanes.awaitEmpty
 * })
 * await Effect.runPromise(Effect.scoped(program))
 * ran.filter((order) => order.startsWith("ann")) // => ["ann.1", "ann.2"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, R>(options: Options<A, R>): Effect.Effect<Lanes<A>, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const scheduler = yield* Scheduler.Scheduler
    const context = yield* Effect.context<R>()
    const runFork = Effect.runForkWith(context)
    const dispatcher = scheduler.makeDispatcher()
    const engine = new Engine(options, clock, runFork, (task) => dispatcher.scheduleTask(task, 0))
    yield* Effect.addFinalizer(() => Effect.provideContext(engine.close, context))
    if (options.budget !== undefined && Number.isFinite(options.budget.millis)) {
      yield* Effect.forkScoped(engine.watch(options.budget.millis))
    }
    return engine
  })
