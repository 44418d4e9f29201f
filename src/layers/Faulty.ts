/**
 * Wraps any transport, and lets go wrong what goes wrong in production: publishes that are refused or never answered,
 * acks that nobody hears, deliveries that come late, twice or out of order, readers that lose their source.
 *
 * For tests. Faults are drawn from a seed and timed by Effect's `Clock`: with the same plan and `TestClock`, a program
 * meets the same faults at the same moments every time. None of them breaks what `Transport` promises; a program that
 * fails here would have failed in production, only later.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as faultyInlet from "../internal/faulty/inlet.ts"
import { Decider } from "../internal/faulty/plan.ts"
import { broken, publish } from "../internal/faulty/publishing.ts"
import type { Injected, Kind, Plan } from "../internal/faulty/words.ts"
import { Transport } from "../Transport.ts"
import { because } from "../TransportError.ts"

export type { Fault, Injected, Kind, Operation, Plan } from "../internal/faulty/words.ts"

/**
 * How to cut a transport off and connect it again, where that can be done. `Memory.Connection` and `Memory.Broker` have
 * both.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly disconnect: Effect.Effect<void>
  readonly reconnect: Effect.Effect<void>
}

/**
 * The faults of a program: what happened, and how to end it.
 *
 * @category services
 * @since 0.1.0
 */
export class Faults extends Context.Service<Faults, {
  /** Everything that went wrong so far, in the order in which it did. */
  readonly injected: Effect.Effect<ReadonlyArray<Injected>>
  /** From now on nothing new goes wrong, and whoever is cut off is connected again. */
  readonly heal: Effect.Effect<void>
  /** One more transport that meets the same faults. Without `connection` it is never cut off. */
  readonly wrap: (
    transport: Transport["Service"],
    connection?: Connection
  ) => Effect.Effect<Transport["Service"], never, Scope.Scope>
}>()("effect-sluice/layers/Faulty/Faults") {}

/**
 * Faults by chance. `rates` says how likely each kind is at each operation that it can meet.
 *
 * **Details**
 *
 * Each place draws from the seed by its own number, so that the same seed gives the same faults, whatever the order of
 * fibers. `delayMs` bounds what lasts: late deliveries, slow takes, cuts. Default: five seconds.
 *
 * **Example** (A publisher whose answers get lost)
 *
 * ```ts import.meta.vitest
 * import * as Faulty from "effect-sluice/layers/Faulty"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Provisioner from "effect-sluice/Provisioner"
 * import * as Publisher from "effect-sluice/Publisher"
 * import * as Topic from "effect-sluice/Topic"
 * import * as Topology from "effect-sluice/Topology"
 * import * as Effect from "effect/Effect"
 * import * as Schedule from "effect/Schedule"
 * import * as Schema from "effect/Schema"
 *
 * const ticks = Topic.make("ticks", { schema: Schema.Number })
 * const program = Effect.gen(function*() {
 *   yield* Provisioner.ensure(Topology.stream("TICKS", { subjects: ["ticks"] }))
 *   const items = Array.from({ length: 20 }, (_, value) => ({ value }))
 *   const receipts = yield* Publisher.publishAll(ticks, items, { retry: Schedule.spaced(1) })
 *   return [receipts.length, receipts.some((receipt) => receipt.duplicate)]
 * })
 * const layer = Faulty.layer(Memory.layer(), Faulty.random({ seed: 1, rates: { loseReceipt: 0.5 } }))
 *
 * await Effect.runPromise(Effect.provide(program, layer)) // => [20, true]
 * ```
 *
 * @category plans
 * @since 0.1.0
 */
export const random = (options: {
  readonly seed: number
  readonly rates: Partial<Readonly<Record<Kind, number>>>
  readonly delayMs?: number
}): Plan => ({ _tag: "random", seed: options.seed, rates: options.rates, delayMs: options.delayMs ?? 5_000 })

/**
 * Lets the n-th operation fail, from 1, and nothing else. A publish is refused, an `open` and a `take` fail, a verdict is
 * lost.
 *
 * **Example** (The third operation fails)
 *
 * ```ts import.meta.vitest
 * import * as Faulty from "effect-sluice/layers/Faulty"
 *
 * Faulty.failNth(3)._tag // => "nth"
 * ```
 *
 * @category plans
 * @since 0.1.0
 */
export const failNth = (n: number): Plan => ({ _tag: "nth", n, delayMs: 1_000 })

/**
 * Exactly these faults: what an earlier run injected, or a part of it.
 *
 * **Example** (Half of what went wrong)
 *
 * ```ts import.meta.vitest
 * import * as Faulty from "effect-sluice/layers/Faulty"
 *
 * const fault: Faulty.Fault = { operation: "settle", at: 3, kind: "loseVerdict", delayMs: 0 }
 *
 * Faulty.listed([fault])._tag // => "listed"
 * ```
 *
 * @category plans
 * @since 0.1.0
 */
export const listed = (faults: ReadonlyArray<Extract<Plan, { readonly _tag: "listed" }>["faults"][number]>): Plan => ({
  _tag: "listed",
  faults
})

/**
 * Runs a program with `failNth(1)`, `failNth(2)`, … until it has no n-th operation any more. Gives how many it has.
 *
 * **Details**
 *
 * `run` gets the plan, and gives what was injected. It fails where its expectations are not met; that ends the search.
 *
 * **Example** (A publish survives any single failure)
 *
 * ```ts import.meta.vitest
 * import * as Faulty from "effect-sluice/layers/Faulty"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Provisioner from "effect-sluice/Provisioner"
 * import * as Publisher from "effect-sluice/Publisher"
 * import * as Topic from "effect-sluice/Topic"
 * import * as Topology from "effect-sluice/Topology"
 * import * as Effect from "effect/Effect"
 * import * as Schedule from "effect/Schedule"
 * import * as Schema from "effect/Schema"
 *
 * const ticks = Topic.make("ticks", { schema: Schema.Number })
 * const program = Effect.gen(function*() {
 *   yield* Provisioner.ensure(Topology.stream("TICKS", { subjects: ["ticks"] }))
 *   yield* Publisher.publish(ticks, 1, { retry: Schedule.spaced(1) })
 *   return yield* Faulty.Faults.use((faults) => faults.injected)
 * })
 * const all = Faulty.untilNothingFails((plan) => Effect.provide(program, Faulty.layer(Memory.layer(), plan)))
 *
 * await Effect.runPromise(all) // => 1
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const untilNothingFails = <E, R>(
  run: (plan: Plan) => Effect.Effect<ReadonlyArray<Injected>, E, R>
): Effect.Effect<number, E, R> =>
  Effect.gen(function*() {
    for (let n = 1;; n++) {
      const injected = yield* Effect.suspend(() => run(failNth(n)))
      if (injected.length === 0) {
        return n - 1
      }
    }
  })

/**
 * Faults without a transport; `Faults.wrap` gives them one, or several.
 *
 * **Example** (Two clients of one broker, with faults)
 *
 * ```ts import.meta.vitest
 * import * as Faulty from "effect-sluice/layers/Faulty"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = Effect.gen(function*() {
 *   const [broker, faults] = [yield* Memory.Broker, yield* Faulty.Faults]
 *   const one = yield* faults.wrap((yield* broker.connect).transport)
 *   const two = yield* faults.wrap((yield* broker.connect).transport)
 *   return one !== two
 * })
 * const layers = Layer.merge(Memory.brokerLayer(), Faulty.faultsLayer(Faulty.failNth(1)))
 *
 * await Effect.runPromise(Effect.provide(Effect.scoped(program), layers)) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const faultsLayer = (plan: Plan): Layer.Layer<Faults> => Layer.effect(Faults, make(plan))

/**
 * The transport of `inner`, with faults.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(
  inner: Layer.Layer<Transport, E, R>,
  plan: Plan
): Layer.Layer<Transport | Faults, E, R> => {
  const wrapped = Layer.effect(
    Transport,
    Effect.gen(function*() {
      const faults = yield* Faults
      return yield* faults.wrap(yield* Transport)
    })
  )
  return Layer.provideMerge(Layer.provide(wrapped, inner), faultsLayer(plan))
}

// internals

const make = (plan: Plan): Effect.Effect<Faults["Service"]> =>
  Effect.map(Clock.Clock, (clock) => {
    const decider = new Decider(plan, () => clock.currentTimeMillisUnsafe())
    const away = new Set<Connection>()
    return {
      injected: Effect.sync(() => [...decider.injected]),
      heal: Effect.suspend(() => {
        decider.heal()
        return Effect.forEach([...away], (connection) => comeBack(away, connection), { discard: true })
      }),
      wrap: (transport, connection) =>
        Effect.map(Scope.Scope, (scope) =>
          wrapped(transport, decider, connection !== undefined, (millis) =>
            connection === undefined ? Effect.void : cut(away, connection, scope, millis)))
    }
  })

const cut = (
  away: Set<Connection>,
  connection: Connection,
  scope: Scope.Scope,
  millis: number
): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (away.has(connection)) {
      return Effect.void
    }
    away.add(connection)
    const later = Effect.andThen(Effect.sleep(millis), comeBack(away, connection))
    return Effect.andThen(connection.disconnect, Effect.asVoid(Effect.forkIn(later, scope)))
  })

const comeBack = (away: Set<Connection>, connection: Connection): Effect.Effect<void> =>
  Effect.suspend(() => away.delete(connection) ? connection.reconnect : Effect.void)

const wrapped = (
  inner: Transport["Service"],
  decider: Decider,
  canCut: boolean,
  cutFor: (millis: number) => Effect.Effect<void>
): Transport["Service"] => ({
  capabilities: inner.capabilities,
  status: inner.status,
  topology: inner.topology,
  publish: (batch) => publish({ inner, decider, cut: cutFor, canCut }, batch),
  open: (source, flow) =>
    Effect.suspend(() => {
      const what = `${source.stream} ${source._tag === "durable" ? source.consumer : source._tag}`
      const fault = decider.next({ operation: "open", what, kinds: ["refuseOpen"] })
      return fault === undefined
        ? Effect.flatMap(
          inner.open(source, flow),
          (inlet) => faultyInlet.make({ inner: inlet, source, flow, decider, cut: cutFor, canCut })
        )
        : Effect.fail(because(broken))
    })
})
