/** What a handler's failure means, and what becomes of its key: on virtual time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Outcome from "../src/Outcome.ts"
import * as Reader from "../src/Reader.ts"
import { letters, makeDlq } from "./support/letters.ts"
import { consumer, keyed, memory, options, pass, send, start } from "./support/reading.ts"

const retry = Schedule.spaced("1 second")

describe("what a failure means", () => {
  const outcomes = (classify: Reader.Classify<string> | undefined, error: unknown = "no") =>
    Effect.gen(function*() {
      yield* makeDlq
      const at: Array<number> = []
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          retry,
          maxAttempts: 3,
          deadLetter: true,
          ...(classify === undefined ? {} : { classify })
        }, () =>
          Effect.andThen(Effect.clockWith((clock) => clock.currentTimeMillis), (now) => {
            at.push(now)
            return Effect.fail(error as string)
          }))
      )
      for (let i = 0; i < 70; i++) {
        yield* pass("1 second")
      }
      yield* reader.interrupt
      const { deadLettered, dropped, failed } = reader.ledger()
      assert.strictEqual((yield* consumer()).ackPending, 0)
      return { at, failed, deadLettered, dropped, kinds: (yield* letters).map(({ provenance }) => provenance.kind) }
    }).pipe(memory)

  it.effect("retry: by the schedule", () =>
    Effect.gen(function*() {
      const { at, kinds } = yield* outcomes(() => Outcome.retry)
      assert.deepStrictEqual([at, kinds], [[0, 1_000, 2_000], ["failed"]])
    }))

  it.effect("later: after a delay of its own, which counts", () =>
    Effect.gen(function*() {
      const { at, kinds } = yield* outcomes(() => Outcome.later("30 seconds"))
      assert.deepStrictEqual([at, kinds], [[0, 30_000, 60_000], ["failed"]])
    }))

  it.effect("permanent: a letter now", () =>
    Effect.gen(function*() {
      const { at, deadLettered, failed, kinds } = yield* outcomes(() => Outcome.permanent)
      assert.deepStrictEqual([at, failed, deadLettered, kinds], [[0], 1, 1, ["permanent"]])
    }))

  it.effect("drop: terminated, counted, and no letter", () =>
    Effect.gen(function*() {
      const { at, deadLettered, dropped, failed, kinds } = yield* outcomes(() => Outcome.drop)
      assert.deepStrictEqual([at, failed, deadLettered, dropped, kinds], [[0], 0, 0, 1, []])
    }))

  it.effect("an error may say it itself; the reader's word goes first; a function that throws decides nothing", () =>
    Effect.gen(function*() {
      const error = { _tag: "Declined", [Outcome.key]: Outcome.permanent }
      assert.lengthOf((yield* outcomes(undefined, error)).at, 1)
      assert.lengthOf((yield* outcomes(() => undefined, error)).at, 1)
      assert.lengthOf((yield* outcomes(() => Outcome.retry, error)).at, 3)
      const died = yield* outcomes(() => {
        throw new Error("no")
      })
      assert.lengthOf(died.at, 3)
    }))
})

describe("a key of which a message fails", () => {
  const order = (whenKeyFails: NonNullable<Reader.RetryOptions<never>["whenKeyFails"]>, after: number) =>
    Effect.gen(function*() {
      const done: Array<string> = []
      let failures = 0
      yield* send(["a", 1], ["a", 2], ["a", 3], ["b", 4])
      const reader = yield* start(
        Reader.handle(keyed, { ...options, lanes: 2, retry, whenKeyFails }, (job) =>
          Effect.suspend(() => {
            if (job.n === 1 && failures < 2) {
              failures++
              return Effect.fail("no")
            }
            done.push(job.key + job.n)
            return Effect.void
          }))
      )
      yield* pass(10)
      const early = [...done].toSorted()
      for (let i = 0; i < after; i++) {
        yield* pass("1 second")
      }
      yield* reader.interrupt
      return { early, order: done.filter((job) => job.startsWith("a")) }
    }).pipe(memory)

  it.effect("block: waits with all that follows", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* order("block", 3), { early: ["b4"], order: ["a1", "a2", "a3"] })
    }))

  it.effect("park: waits while what follows has room, and goes on without it when it has none", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* order({ park: 2 }, 3), { early: ["b4"], order: ["a1", "a2", "a3"] })
      assert.deepStrictEqual(yield* order({ park: 1 }, 4), { early: ["a2", "a3", "b4"], order: ["a2", "a3", "a1"] })
    }))

  it.effect("skip: goes on at once", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* order("skip", 4), { early: ["a2", "a3", "b4"], order: ["a2", "a3", "a1"] })
    }))
})
