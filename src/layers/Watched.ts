/**
 * Wraps any transport, and tells how things stand: whether it is connected, whether its readers are answered, whether dead
 * letters can be stored.
 *
 * `layers/NatsThread` knows the same in its own thread, and tells it over HTTP also while the application computes. This one
 * lives where its readers live: it cannot tell that their thread is blocked.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Health from "../Health.ts"
import { Monitor } from "../internal/health/monitor.ts"
import { Vitals } from "../internal/health/vitals.ts"
import { Transport } from "../Transport.ts"

/**
 * The transport of `inner`, and the health of it and of whoever reads over it.
 *
 * **Example** (A reader whose broker answers)
 *
 * ```ts import.meta.vitest
 * import * as Health from "effect-sluice/Health"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Watched from "effect-sluice/layers/Watched"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const { report } = yield* Health.Health
 *   yield* Effect.sleep(50)
 *   return yield* report
 * })
 * const report = await Effect.runPromise(Effect.provide(program, Watched.layer(Memory.layer())))
 * report.ready // => true
 * report.problems // => []
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(inner: Layer.Layer<Transport, E, R>): Layer.Layer<Transport | Health.Health, E, R> =>
  Layer.provide(Layer.effectContext(watched), inner)

// internals

const watched = Effect.gen(function*() {
  const transport = yield* Transport
  const clock = yield* Clock.Clock
  const monitor = new Monitor(transport, new Vitals(), () => clock.currentTimeMillisUnsafe())
  yield* monitor.watch
  const report = Effect.sync(() => monitor.report())
  return Context.make(Transport, Transport.of(monitor.transport)).pipe(Context.add(Health.Health, { report }))
})
