/** Where a program is played: a client under test, somebody who watches, time that passes, and a connection to cut. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "../../src/layers/Memory.ts"
import type { Transport } from "../../src/Transport.ts"

export interface Stage {
  /** Whom the program speaks to. */
  readonly client: Transport["Service"]
  /** Another connection to the same broker, which is never cut. */
  readonly witness: Transport["Service"]
  /** What the clock says when the program begins. */
  readonly beganAt: number
  /** Lets time pass until so long after the beginning; everything that can happen until then has happened. */
  readonly until: (ms: number) => Effect.Effect<void>
  /** What needs no time of its own comes to rest. */
  readonly rest: Effect.Effect<void>
  readonly cut: Effect.Effect<void>
  readonly mend: Effect.Effect<void>
}

/** Turns of the event loop in which everything that needs no time comes to rest. */
const TURNS = 40
/** Fewer of them, for what happens in the middle of a step. */
const TURNS_WITHIN = 5

/** The broker in memory, on a clock of its own. */
export const memory: Effect.Effect<Stage, never, Scope.Scope | Memory.Broker> = Effect.gen(function*() {
  const broker = yield* Memory.Broker
  const { disconnect, reconnect, transport } = yield* broker.connect
  const witness = yield* broker.connect
  const beganAt = yield* Clock.currentTimeMillis
  const turns = (length: number) => Effect.forEach(Array.from({ length }), () => Effect.yieldNow, { discard: true })
  const rest = turns(TURNS)
  return {
    client: transport,
    witness: witness.transport,
    beganAt,
    rest: turns(TURNS_WITHIN),
    until: (ms) =>
      Effect.gen(function*() {
        yield* rest
        yield* TestClock.adjust(Math.max(0, beganAt + ms - (yield* Clock.currentTimeMillis)))
        yield* rest
      }),
    cut: disconnect,
    mend: reconnect
  }
})

/** Plays on a broker in memory that nobody else uses. */
export const inMemory = <A>(play: (stage: Stage) => Effect.Effect<A, never, Scope.Scope>): Effect.Effect<A> =>
  Effect.scoped(Effect.flatMap(memory, play)).pipe(
    Effect.provide(Memory.brokerLayer(), { local: true }),
    Effect.provide(TestClock.layer({ warningDelay: "1 hour" }), { local: true })
  )
