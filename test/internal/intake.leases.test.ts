/** What becomes of leases when somebody changes how long the broker waits, or does not hear of a renewal. */
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

describe("a renewal that the broker does not confirm", () => {
  const standing = { ackFloor: 0, ackPending: 3, delivered: 3 }

  it.effect("does not hold what waits: written before the connection broke, it may not have got there", () =>
    Effect.gen(function*() {
      const { arrive, intake, ledger, port, take } = yield* setup({ leaseMs: 3_000, standing })
      arrive(delivery(1), delivery(2))
      const [held] = yield* take(1)
      yield* TestClock.adjust("1400 millis")
      assert.deepStrictEqual(port.extended, [[1, 2]])
      port.hearsRenewals = false
      yield* TestClock.adjust("1200 millis")
      assert.deepStrictEqual(port.extended.length, 2, "once more, at 2.25 s or so")
      intake.disconnected()
      yield* TestClock.adjust("1700 millis")
      // Less than a lease after the second renewal, more than one after the first.
      intake.connected()
      assert.isFalse(intake.inlet.holds(held))
      arrive(delivery(3))
      assert.deepStrictEqual(sequences(yield* take(3)), [3])
      assert.deepInclude(ledger(), { delivered: 3, held: 1, lost: 2 })
    }))

  it.effect("does not take away what the last one that was heard still covers", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, take } = yield* setup({ leaseMs: 3_000, standing })
      arrive(delivery(1), delivery(2))
      const [held] = yield* take(1)
      yield* TestClock.adjust("1400 millis")
      port.hearsRenewals = false
      yield* TestClock.adjust("1200 millis")
      intake.disconnected()
      yield* TestClock.adjust("300 millis")
      port.hearsRenewals = true
      intake.connected()
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(intake.inlet.holds(held))
      assert.deepStrictEqual(sequences(yield* take(3)), [2])
    }))

  it.effect("is not heard because something else was: nobody may have led the consumer when it was written", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, settle, take, turn } = yield* setup({ leaseMs: 3_000, standing })
      port.hearsRenewals = false
      arrive(delivery(1), delivery(2))
      const [first] = yield* take(1)
      yield* TestClock.adjust("1400 millis")
      assert.deepStrictEqual(port.extended, [[1, 2]])
      yield* settle([first])
      turn()
      intake.confirmed(port.batches[0]!.id)
      yield* TestClock.adjust("1700 millis")
      arrive(delivery(3))
      assert.deepStrictEqual(sequences(yield* take(2)), [3])
    }))

  it.effect("is repeated while the connection holds, and nothing begins that it may not have saved", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, take } = yield* setup({ leaseMs: 3_000, standing })
      port.hearsRenewals = false
      arrive(delivery(1), delivery(2))
      const [held] = yield* take(1)
      yield* TestClock.adjust("2900 millis")
      assert.deepStrictEqual(port.extended, [[1, 2], [1, 2]])
      assert.isTrue(intake.inlet.holds(held))
      yield* TestClock.adjust("600 millis")
      assert.deepStrictEqual(port.extended, [[1, 2], [1, 2], [1]], "what runs is worth the try")
      assert.isFalse(intake.inlet.holds(held))
    }))
})
