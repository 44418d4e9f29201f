/** Short words for tests of readers that spill, over the broker in memory. The disk is real, and so takes real time. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import { Transport } from "../../src/Transport.ts"
import { delivered, type Job, keyed, options, setUp, withMemory } from "./reading.ts"
import { temporary } from "./spilling.ts"

export const jobs = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => ["k", from + i] as const)

export const range = (from: number, to: number) => jobs(from, to).map(([, n]) => n)

/** In a directory that is there for the test. */
export const spilling = <A, E, R>(test: (directory: string) => Effect.Effect<A, E, R>) =>
  withMemory(
    Effect.scoped(Effect.andThen(setUp, Effect.flatMap(temporary, test))).pipe(Effect.provide(AckPolicy.onEnqueue))
  )

/** A reader that notes what it gets, and is held up by it. */
export const noting = (directory: string, more: Partial<Parameters<typeof Queue.spill>[0]> = {}) => {
  const seen: Array<number> = []
  const gate = Latch.makeUnsafe(true)
  const reader = Reader.handle(
    keyed,
    { ...options, queue: Queue.spill({ directory, messages: 8, ...more }) },
    ({ n }: Job) => Effect.andThen(gate.await, Effect.sync(() => void seen.push(n)))
  )
  return { reader, seen, gate }
}

/** How the consumer stands, as soon as there is one. */
export const standing = Transport.use((transport) =>
  Effect.map(
    Option.getOrThrow(transport.topology).describeConsumer("JOBS", "worker"),
    Option.getOrElse(() => ({ ackPending: Number.NaN, pending: Number.NaN }))
  )
)

export const isAcked = Effect.map(standing, ({ ackPending, pending }) => ackPending === 0 && pending === 0)

/** Everything has one end. */
export const assertAddsUp = (ledger: Reader.Ledger) => assert.strictEqual(delivered(ledger), ledger.delivered)
