import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import * as Settlement from "../src/Settlement.ts"
import { consumer, delivered, keyed, memory, options, pass, send, sendRaw, start } from "./support/reading.ts"

const jobs = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => ["k", from + i] as const)

const batches = { ...options, size: 4, within: "1 second" } as const

describe("handleBatch", () => {
  it.effect("batches by size, then by time, and acks each message", () =>
    Effect.gen(function*() {
      const seen: Array<readonly [number, ReadonlyArray<number>]> = []
      yield* send(...jobs(1, 9))
      const reader = yield* start(Reader.handleBatch(keyed, batches, (batch) =>
        Effect.map(Clock.currentTimeMillis, (now) =>
          void seen.push([
            now,
            batch.map(({ value }) => value.n)
          ]))))
      yield* pass(999)
      assert.deepStrictEqual(
        seen.map(([, ns]) =>
          ns
        ),
        [[1, 2, 3, 4], [5, 6, 7, 8]]
      )
      yield* pass(1)
      assert.deepStrictEqual(seen[2], [1_000, [9]])
      yield* pass(500)
      // The clock of a batch starts with its first message.
      yield* send(...jobs(10, 10))
      yield* pass(600)
      yield* send(...jobs(11, 11))
      yield* pass(399)
      assert.lengthOf(seen, 3)
      yield* pass(1)
      assert.deepStrictEqual(seen[3]?.[1], [10, 11])
      yield* pass(100)
      assert.deepStrictEqual([(yield* consumer()).ackFloor, reader.ledger().processed], [11, 11])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("what waited while a batch ran does not wait again", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      yield* send(...jobs(1, 5))
      const reader = yield* start(Reader.handleBatch(keyed, batches, (batch) =>
        Effect.andThen(
          Effect.sync(() => seen.push(batch.length)),
          Effect.sleep("10 seconds")
        )))
      yield* pass("9 seconds")
      assert.deepStrictEqual(seen, [4])
      yield* pass("1 second")
      assert.deepStrictEqual(seen, [4, 1])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("settles as the handler says, one by one", () =>
    Effect.gen(function*() {
      yield* send(...jobs(1, 3))
      const reader = yield* start(Reader.handleBatch(keyed, { ...batches, size: 3 }, () =>
        Effect.succeed([Settlement.ack, Settlement.nak("1 hour"), Settlement.term("no use")])))
      yield* pass(100)
      const { finished, processed, rejected, retried } = reader.ledger()
      assert.deepStrictEqual([finished, processed, retried, rejected], [3, 1, 1, 1])
      const { ackFloor, ackPending } = yield* consumer()
      assert.deepStrictEqual([ackFloor, ackPending], [1, 1])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("as many settlements as messages, or it is a defect", () =>
    Effect.gen(function*() {
      yield* send(...jobs(1, 2))
      const failures: Array<string> = []
      const reader = yield* start(Reader.handleBatch(keyed, {
        ...batches,
        size: 2,
        maxAttempts: 1,
        onGiveUp: (failure) => Effect.sync(() => failures.push(failure._tag))
      }, () => Effect.succeed([Settlement.ack])))
      yield* pass(100)
      assert.deepStrictEqual(failures, ["Defect", "Defect"])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("retries each message by its own attempts, and gives up each on its own", () =>
    Effect.gen(function*() {
      const [seen, gaveUp] = [new Array<string>(), new Array<string>()]
      yield* send(...jobs(1, 2))
      yield* sendRaw("{}")
      const reader = yield* start(Reader.handleBatch(keyed, {
        ...batches,
        retry: Schedule.exponential(1_000),
        maxAttempts: 2,
        onGiveUp: (failure, message) => Effect.sync(() => gaveUp.push(`${failure._tag} ${message.streamSequence}`))
      }, (batch) => {
        seen.push(batch.map(({ attempt, value }) => `${value.n}:${attempt}`).join())
        return Effect.fail("no")
      }))
      yield* pass(1_000)
      assert.deepStrictEqual([seen, gaveUp], [["1:1,2:1"], ["Undecodable 3"]])
      yield* send(...jobs(4, 4))
      yield* pass(1_500)
      yield* pass(1_000)
      assert.deepStrictEqual(seen.join("|").split(/[|,]/).toSorted(), ["1:1", "1:2", "2:1", "2:2", "4:1"])
      assert.deepStrictEqual(gaveUp, ["Undecodable 3", "Failed 1", "Failed 2"])
      yield* pass("1 minute")
      const { failed, finished, rejected, retried } = reader.ledger()
      assert.deepStrictEqual([finished, failed, rejected, retried], [7, 3, 1, 3])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("interrupts a batch whose time is over", () =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      yield* send(...jobs(1, 2))
      const reader = yield* start(Reader.handleBatch(keyed, {
        ...batches,
        timeBudget: "10 seconds",
        maxAttempts: 1,
        onGiveUp: (failure) => Effect.sync(() => failures.push(failure._tag))
      }, () => Effect.never))
      yield* pass("11 seconds")
      assert.deepStrictEqual(failures, ["TimeBudgetExceeded", "TimeBudgetExceeded"])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("interrupted: what runs is abandoned, what gathers is returned", () =>
    Effect.gen(function*() {
      yield* send(...jobs(1, 10))
      const reader = yield* start(Reader.handleBatch(keyed, batches, () => Effect.never))
      yield* pass(10)
      yield* reader.interrupt
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.delivered, ledger.abandoned, ledger.returned], [10, 4, 6])
      const seen: Array<number> = []
      yield* start(Reader.handle(keyed, options, (job) => Effect.sync(() => seen.push(job.n))))
      yield* pass(50)
      assert.lengthOf(seen, 10)
    }).pipe(memory))

  it.effect("drained: what is held is worked off, in batches that no longer wait to become full, and the reader ends", () =>
    Effect.gen(function*() {
      yield* send(...jobs(1, 10))
      const reader = yield* start(Reader.handleBatch(keyed, batches, () => Effect.sleep("1 minute")))
      yield* pass("30 seconds")
      yield* reader.drain
      yield* pass("149 seconds")
      assert.isUndefined(reader.fiber.pollUnsafe())
      yield* pass("1 second")
      assert.deepStrictEqual(reader.fiber.pollUnsafe(), Exit.void)
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.processed, ledger.returned, ledger.abandoned], [10, 0, 0])
      assert.strictEqual(delivered(ledger), ledger.delivered)
    }).pipe(memory))

  it.effect("refuses a size that can never be reached", () =>
    Effect.gen(function*() {
      for (const size of [0, 1.5, 11]) {
        const all = { ...batches, size, queue: Queue.suspend({ messages: 10 }) }
        const error = yield* Effect.flip(Reader.handleBatch(keyed, all, () => Effect.void))
        assert.include(error.message, "size must be")
      }
    }).pipe(memory))

  it.effect("under `confirmed` the next batch waits for the broker's word", () =>
    Effect.gen(function*() {
      yield* send(...jobs(1, 8))
      const reader = yield* start(Reader.handleBatch(keyed, batches, () => Effect.void))
      yield* pass(100)
      assert.deepStrictEqual([reader.ledger().processed, (yield* consumer()).ackFloor], [8, 8])
      yield* reader.interrupt
    }).pipe((effect) => memory(effect, AckPolicy.confirmed)))
})
