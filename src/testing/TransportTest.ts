/**
 * The conformance suite of the seam: what every transport must do.
 *
 * A new layer's whole test is one call of `suite`. The suite speaks only of what the seam promises, with expectations
 * written by hand; what a broker lacks, and says so in its capabilities, must be refused with `Unsupported`.
 *
 * It runs under vitest, which is the user's own, together with `@effect/vitest`.
 *
 * @since 0.1.0
 */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Transport } from "../Transport.ts"
import { type Breakable, breakings } from "./breaking.ts"
import { consuming } from "./consuming.ts"
import { delivering } from "./delivering.ts"
import { displacing } from "./displacing.ts"
import { type Behaviour, type ClockKind, Harness } from "./harness.ts"
import { keeping } from "./keeping.ts"
import { publishing } from "./publishing.ts"
import { redelivering } from "./redelivering.ts"
import { removing } from "./removing.ts"
import { settling } from "./settling.ts"
import { unlessStandstill } from "./standstill.ts"

/**
 * How the suite runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * `virtual`: the broker's time is Effect's `Clock`, and the suite moves it. `live`: the broker has a clock of its own,
   * and the suite waits.
   */
  readonly clock: ClockKind
  /**
   * A transport and the means to cut it off: adds the behaviours of a connection that breaks. Leave it out only where a
   * connection cannot break.
   */
  readonly breakable?: Effect.Effect<Breakable, unknown, Scope.Scope>
  /** How long one behaviour may take, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number
}

export type { Breakable } from "./breaking.ts"

const groups: ReadonlyArray<readonly [string, ReadonlyArray<Behaviour>]> = [
  ["publishing", publishing],
  ["delivering", delivering],
  ["settling", settling],
  ["redelivering", redelivering],
  ["displacing", displacing],
  ["consumers", consuming],
  ["streams", keeping],
  ["removing", removing]
]

/** A lease of a second is renewed after a third of it: this much is left for a process that stands still. */
const BEARABLE_MS = 300

/**
 * Declares the tests of a transport. Each behaviour builds the layer anew, and uses a stream that nobody else uses, so
 * that one server can be shared. With a `live` clock, one that fails while its process stood still is tried again.
 *
 * **Example** (The whole test of a layer)
 *
 * ```ts
 * import * as Memory from "effect-sluice/layers/Memory"
 * import { TransportTest } from "effect-sluice/testing"
 *
 * TransportTest.suite("Memory", Memory.layer(), { clock: "virtual" })
 * ```
 *
 * @category suites
 * @since 0.1.0
 */
export const suite = <E>(name: string, layer: Layer.Layer<Transport, E>, options: Options): void => {
  const test = options.clock === "virtual" ? it.effect : it.live
  const tried = options.clock === "virtual"
    ? <A, E, R>(effect: Effect.Effect<A, E, R>) => effect
    : unlessStandstill(BEARABLE_MS)
  for (const [group, behaviours] of groups) {
    describe(`${name}: ${group}`, () => {
      for (const { name, run } of behaviours) {
        const body = Effect.gen(function*() {
          const harness = yield* Harness.make(yield* Transport, options.clock)
          yield* run(harness)
        })
        test(name, () => tried(Effect.provide(Effect.scoped(body), layer)), options.timeoutMs ?? 30_000)
      }
    })
  }
  const { breakable } = options
  if (breakable === undefined) {
    return
  }
  describe(`${name}: a connection that breaks`, () => {
    for (const { name, run } of breakings) {
      const body = Effect.gen(function*() {
        const connection = yield* breakable
        yield* run(yield* Harness.make(connection.transport, options.clock), connection)
      })
      test(name, () => tried(Effect.scoped(body)), options.timeoutMs ?? 30_000)
    }
  })
}
