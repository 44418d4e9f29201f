/** What becomes of leases when somebody changes how long the broker waits. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { delivery, sequences, setup } from "../support/played.ts"

describe("a broker that waits for less than it did", () => {
  const standing = { ackFloor: 0, ackPending: 2, delivered: 2 }

  it.effect("is asked when something comes again whose lease holds; what runs is renewed at once, and as often as it says", () =>
    Effect.gen(function*() {
      const { arrive, ledger, port, take } = yield* setup({ leaseMs: 30_000, standing })
      arrive(delivery(1), delivery(2))
      yield* take(1)
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(port.extended, [])
      port.standing = { ...standing, leaseMs: 3_000 }
      arrive(delivery(1, { count: 2, nth: 3 }))
      yield* TestClock.adjust("250 millis")
      assert.deepStrictEqual(port.extended, [[1]], "nobody knows whose the other one is by now")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(port.extended, [[1], [1], [1]])
      arrive(delivery(2, { count: 2, nth: 4 }))
      assert.deepInclude(ledger(), { delivered: 2, held: 2, swallowed: 2, lost: 0 })
    }))

  it.effect("and about what waits here, starts nothing that may be with somebody else", () =>
    Effect.gen(function*() {
      const { arrive, ledger, port, take } = yield* setup({ leaseMs: 30_000, standing })
      arrive(delivery(1), delivery(2))
      yield* TestClock.adjust("4 seconds")
      port.standing = { ...standing, leaseMs: 3_000 }
      yield* TestClock.adjust("1 second")
      arrive(delivery(3))
      assert.deepStrictEqual(sequences(yield* take(3)), [3])
      assert.deepInclude(ledger(), { delivered: 3, held: 1, lost: 2 })
    }))

  it.effect("is asked twice a second at most", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, take } = yield* setup({ leaseMs: 30_000, standing })
      let asked = 0
      const learned = intake.learned.bind(intake)
      intake.learned = (told) => {
        asked++
        learned(told)
      }
      arrive(delivery(1))
      yield* take(1)
      for (let count = 2; count < 22; count++) {
        arrive(delivery(1, { count, nth: count }))
        yield* TestClock.adjust("100 millis")
      }
      assert.isAtLeast(asked, 2)
      assert.isAtMost(asked, 5)
      assert.deepStrictEqual(port.written, [])
    }))
})
