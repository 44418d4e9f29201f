/** `upTo`: one ack for a whole prefix, and nothing in it that was not done. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { delivery, LEASE, many, sequences, setup } from "../support/played.ts"

describe("one ack for a prefix", () => {
  const upTo = { ack: { _tag: "upTo" } } as const

  it.effect("covers what is done without a gap, and is confirmed for all of it", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, intake, port, settle, take, turn } = yield* setup(upTo)
      arrive(...many(1, 6))
      const [a, b, c, d, e] = yield* take(5)
      yield* settle([d!, b!])
      turn()
      assert.deepStrictEqual(port.written, [])
      yield* settle([a])
      turn()
      assert.deepStrictEqual(port.written, ["2.1 Ack"])
      yield* settle([c!, e!])
      turn()
      assert.deepStrictEqual(port.written, ["2.1 Ack", "5.1 Ack"])
      confirmAll()
      assert.deepStrictEqual(intake.holdings.table.inOrder.map(({ delivery }) => delivery.streamSequence), [6])
    }))

  it.effect("waits for what an earlier reader left unanswered", () =>
    Effect.gen(function*() {
      const standing = { ackFloor: 2, ackPending: 2, delivered: 5 }
      const { arrive, port, settle, take, turn } = yield* setup({ ...upTo, standing })
      arrive(...many(6, 8))
      yield* settle(yield* take(3))
      turn()
      assert.deepStrictEqual(port.written, [])
      arrive(delivery(3, { count: 2 }), delivery(5, { count: 2 }))
      const [three, five] = yield* take(2)
      yield* settle([five!])
      turn()
      assert.deepStrictEqual(port.written, [])
      yield* settle([three])
      turn()
      assert.deepStrictEqual(port.written, ["8.1 Ack"])
    }))

  it.effect("waits for what the broker wrote to a connection that broke", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, settle, take, turn } = yield* setup(upTo)
      arrive(...many(1, 2))
      intake.disconnected()
      // The third never came.
      port.standing = undefined
      intake.connected()
      arrive(delivery(4))
      yield* settle(yield* take(3))
      turn()
      assert.deepStrictEqual(port.written, [])
      intake.learned({ ackFloor: 0, ackPending: 4, delivered: 4 })
      turn()
      assert.deepStrictEqual(port.written, [])
      arrive(delivery(3, { count: 2 }))
      yield* settle(yield* take(1))
      turn()
      assert.deepStrictEqual(port.written, ["4.1 Ack"])
    }))

  it.effect("waits no longer for what the broker does not count any more", () =>
    Effect.gen(function*() {
      const standing = { ackFloor: 0, ackPending: 2, delivered: 2 }
      const { arrive, port, settle, take, turn } = yield* setup({ ...upTo, standing })
      arrive(delivery(2, { count: 2 }), delivery(3))
      yield* settle(yield* take(2))
      turn()
      // The first was deleted.
      port.standing = { ackFloor: 0, ackPending: 2, delivered: 3 }
      yield* TestClock.adjust("900 millis")
      turn()
      assert.deepStrictEqual(port.written, [])
      yield* TestClock.adjust("200 millis")
      turn()
      assert.deepStrictEqual(port.written, ["3.1 Ack"])
    }))

  it.effect("asks for one more when all the room is taken by what has to wait, and once a lease when that is new", () =>
    Effect.gen(function*() {
      const standing = { ackFloor: 0, ackPending: 1, delivered: 1 }
      const queue = Queue.suspend({ messages: 2 })
      const { arrive, confirmAll, ledger, port, settle, take } = yield* setup({ ...upTo, queue, standing })
      const asked = () => port.pulls.splice(0).map(([messages]) => messages)
      arrive(...many(2, 3))
      const taken = yield* take(2)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(asked(), [2])
      yield* settle(taken)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(asked(), [1])
      arrive(delivery(4))
      yield* settle(yield* take(1))
      yield* TestClock.adjust("2900 millis")
      assert.deepStrictEqual(asked(), [])
      yield* TestClock.adjust("300 millis")
      assert.deepStrictEqual(asked(), [1])
      arrive(delivery(1, { count: 2 }))
      yield* settle(yield* take(1))
      confirmAll()
      assert.deepStrictEqual(port.written, ["4.1 Ack"])
      assert.deepInclude(ledger(), { settled: 4, held: 0 })
      // Nothing that waits was lost meanwhile: its lease is renewed.
      assert.includeDeepMembers(port.extended, [[2, 3]])
    }))

  it.effect("stops before what was given back, until that is done", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, port, settle, take, turn } = yield* setup(upTo)
      arrive(...many(1, 3))
      const [a, b, c] = yield* take(3)
      yield* settle([b!], Settlement.nak("1 second"))
      yield* settle([a, c!])
      confirmAll()
      assert.deepStrictEqual(port.written, ["2.1 Nak", "1.1 Ack"])
      // It is due, and the broker has not delivered it again yet: an ack beyond it would settle it unseen.
      yield* TestClock.adjust("1 minute")
      arrive(delivery(4))
      yield* settle(yield* take(1))
      turn()
      assert.deepStrictEqual(port.written.slice(2), [])
      arrive(delivery(2, { count: 2 }))
      yield* settle(yield* take(1))
      turn()
      assert.deepStrictEqual(port.written.slice(2), ["4.1 Ack"])
    }))

  it.effect("goes on without what was given back and does not come again, because its stream has dropped it", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, port, settle, take, turn } = yield* setup(upTo)
      arrive(...many(1, 3))
      const [a, b, c] = yield* take(3)
      yield* settle([a], Settlement.nak())
      yield* settle([b!, c!])
      confirmAll()
      yield* TestClock.adjust("59 seconds")
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Nak"])
      yield* TestClock.adjust("2 seconds")
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Nak", "3.1 Ack"])
    }))

  it.effect("asks for what was given back, although nothing else can be acknowledged", () =>
    Effect.gen(function*() {
      const queue = Queue.suspend({ messages: 3 })
      const { arrive, confirmAll, intake, port, settle, take } = yield* setup({ ...upTo, queue })
      arrive(...many(1, 3))
      intake.returned(0, Number.POSITIVE_INFINITY)
      const [a, b, c] = yield* take(3)
      yield* settle([a], Settlement.nak())
      yield* settle([b!, c!])
      confirmAll()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(port.pulls.map(([messages]) => messages), [3, 1])
    }))

  it.effect("stops before what was lost, until that is done", () =>
    Effect.gen(function*() {
      const { arrive, intake, ledger, port, settle, take, turn } = yield* setup(upTo)
      arrive(delivery(1), delivery(2))
      intake.disconnected()
      yield* TestClock.adjust(LEASE)
      arrive(delivery(3))
      const taken = yield* take(10)
      assert.deepStrictEqual(sequences(taken), [3])
      intake.connected()
      yield* settle(taken)
      turn()
      assert.deepStrictEqual(port.written, [], "1 and 2 come again, and nobody has seen them")
      arrive(delivery(1, { count: 2 }), delivery(2, { count: 2 }))
      yield* settle(yield* take(2))
      turn()
      assert.deepStrictEqual(port.written, ["3.1 Ack"])
      assert.deepInclude(ledger(), { delivered: 5, lost: 2, settled: 3, held: 0 })
    }))
})
