/**
 * Dead letters while things go wrong: publishes that are refused, lost, or stored without an answer, verdicts that nobody
 * hears, connections that break, processes that end. Whatever the seed: one letter for each message that fails, none for
 * any other, and nothing is left.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Faulty from "../src/layers/Faulty.ts"
import * as Memory from "../src/layers/Memory.ts"
import * as Provisioner from "../src/Provisioner.ts"
import * as Reader from "../src/Reader.ts"
import { Transport } from "../src/Transport.ts"
import { letters, makeDlq } from "./support/letters.ts"
import { consumer, keyed, options, pass, send, setUp, start } from "./support/reading.ts"

const count = 60
const fails = (n: number) => n % 4 === 0

const rates = {
  refusePublish: 0.3,
  losePublish: 0.3,
  loseReceipt: 0.2,
  loseVerdict: 0.1,
  disconnect: 0.01
}

const world = (seed: number) =>
  Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const here = Effect.provideService(Transport, (yield* broker.connect).transport)
    const faults = yield* Faulty.Faults
    yield* here(Effect.all([setUp, makeDlq, Provisioner.ensure(DeadLetter.retryStream())]))
    yield* here(send(...Array.from({ length: count }, (_, n) => [`k${n % 11}`, n] as const)))
    const handled = new Set<number>()
    let mended = false
    const reader = Reader.handle(keyed, {
      ...options,
      lanes: 8,
      ackWait: "5 seconds",
      maxAttempts: 2,
      // Half of the worlds send their retries through a stream of their own.
      ...(seed % 2 === 0
        ? { retry: Schedule.spaced("100 millis") }
        : { retry: Schedule.spaced("2 seconds"), retryStream: { after: "1 second" } }),
      onError: "wait",
      deadLetter: true
    }, (job) => {
      handled.add(job.n)
      return fails(job.n) && !mended ? Effect.fail("no") : Effect.void
    })
    const live = Effect.gen(function*() {
      const connection = yield* broker.connect
      const transport = yield* faults.wrap(connection.transport, connection)
      return yield* start(Effect.provideService(reader, Transport, transport))
    })
    const isDone = Effect.gen(function*() {
      const { ackPending, pending } = yield* here(consumer())
      const { topology } = yield* here(Transport)
      const retries = yield* Option.getOrThrow(topology).describeStream("RETRY")
      return ackPending === 0 && pending === 0 && Option.getOrThrow(retries).messages === 0
    })
    for (let life = 0; life < 4; life++) {
      const one = yield* live
      // Long enough for letters that cannot be stored in time.
      for (let i = 0; i < 14; i++) {
        yield* pass("300 millis")
      }
      yield* one.interrupt
    }
    const last = yield* live
    yield* faults.heal
    for (let i = 0; i < 200 && !(yield* isDone); i++) {
      yield* pass("1 second")
    }
    assert.isTrue(yield* isDone, `seed ${seed}: something is left`)
    assert.lengthOf([...handled], count, `seed ${seed}: a message was settled that nobody had handled`)
    const sequences = (yield* here(letters)).map(({ provenance }) => provenance.sequence - 1).toSorted((a, b) => a - b)
    assert.deepStrictEqual(sequences, Array.from({ length: count }, (_, n) => n).filter(fails), `seed ${seed}`)

    mended = true
    handled.clear()
    yield* here(DeadLetter.replay())
    for (let i = 0; i < 60; i++) {
      yield* pass("1 second")
    }
    assert.deepStrictEqual([...handled].toSorted((a, b) => a - b), sequences, `seed ${seed}: the replay`)
    yield* last.interrupt
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.mergeAll(
      Faulty.faultsLayer(Faulty.random({ seed, rates, delayMs: 2_000 })),
      Memory.brokerLayer(),
      AckPolicy.onProcess
    ))
  )

describe("under faults", () => {
  it.effect(
    "each message that fails has one letter, and comes back when it is replayed",
    () => Effect.forEach(Array.from({ length: 25 }, (_, seed) => seed + 1), world, { discard: true }),
    60_000
  )
})
