import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { because, StreamNotFound } from "../../src/TransportError.ts"
import { delivery, LEASE, many, type Options, sequences, setup } from "../support/played.ts"

/** As `setup`, in a scope that the test closes. */
const closable = (options: Options = {}) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const played = yield* Scope.provide(setup(options), scope)
    return { ...played, close: Scope.close(scope, Exit.void) }
  })

describe("verdicts", () => {
  it.effect("of one turn are written together", () =>
    Effect.gen(function*() {
      const { arrive, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 3))
      const [a, b, c] = yield* take(3)
      yield* settle([a, b!])
      yield* settle([c!], Settlement.nak())
      assert.strictEqual(port.batches.length, 0)
      turn()
      assert.deepStrictEqual(port.batches.map((batch) => batch.entries.length), [3])
    }))

  it.effect("are kept while disconnected, and go out on the next connection, unconfirmed ones too", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 3))
      const [a, b, c] = yield* take(3)
      yield* settle([a])
      turn()
      intake.disconnected()
      yield* settle([b!], Settlement.term("no"))
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Ack"])
      intake.connected()
      assert.deepStrictEqual(port.written.slice(1).toSorted(), ["1.1 Ack", "2.1 Term"])
      yield* settle([c!])
      turn()
      assert.strictEqual(port.written.at(-1), "3.1 Ack")
    }))

  it.effect("that were confirmed are said once more on a new connection: a killed server forgets", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, intake, port, settle, take } = yield* setup()
      arrive(...many(1, 3))
      const [a, b, c] = yield* take(3)
      yield* settle([a])
      yield* settle([b!], Settlement.nak())
      yield* settle([c!], Settlement.term("no"))
      confirmAll()
      port.written.length = 0
      intake.disconnected()
      intake.connected()
      assert.deepStrictEqual(port.written, ["1.1 Ack", "3.1 Term"], "what was given back is not ours any more")
    }))

  it.effect("without a confirmation are sent again after two seconds, five times, and count as unconfirmed", () =>
    Effect.gen(function*() {
      const { arrive, ledger, port, settle, take, turn } = yield* setup()
      arrive(delivery(1))
      yield* settle(yield* take(1))
      turn()
      yield* TestClock.adjust("1900 millis")
      assert.strictEqual(port.batches.length, 1)
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(port.written, Array.from({ length: 4 }, () => "1.1 Ack"))
      assert.deepInclude(ledger(), { unconfirmed: 0 })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(port.batches.length, 5)
      assert.deepInclude(ledger(), { settled: 1, unconfirmed: 1, held: 0 })
    }))

  it.effect("under confirmed hold the reader until the broker has said so, across a reconnect", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, intake, settle, take, turn } = yield* setup({ ack: { _tag: "confirmed" } })
      arrive(...many(1, 2))
      const settling = yield* Effect.forkChild(settle(yield* take(2)), { startImmediately: true })
      turn()
      intake.disconnected()
      intake.connected()
      yield* TestClock.adjust("10 millis")
      assert.isUndefined(settling.pollUnsafe())
      confirmAll()
      yield* Fiber.join(settling)
      yield* settle([delivery(1)])
    }))

  it.effect("of a delayed return keep its room until it is due", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, intake, port, settle, take } = yield* setup({ queue: Queue.suspend({ messages: 2 }) })
      arrive(...many(1, 2))
      intake.returned(0, Number.POSITIVE_INFINITY)
      yield* settle(yield* take(2), Settlement.nak("10 seconds"))
      confirmAll()
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(port.pulls.length, 1, "the broker counts it")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(port.pulls[1]?.[0], 2)
    }))

  it.effect("that bring a message back leave room for another, which is asked for when nothing is owed any more", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, port, settle, take } = yield* setup({ queue: Queue.suspend({ messages: 5 }) })
      arrive(...many(1, 3))
      const [first] = yield* take(1)
      yield* settle([first], Settlement.nak("1 second"))
      confirmAll()
      yield* TestClock.adjust("2 seconds")
      arrive(delivery(1, { count: 2, nth: 4 }))
      assert.deepStrictEqual(port.pulls.map(([messages]) => messages), [5])
      // The fifth delivery of five, and the fourth message of five: not at the next tick.
      arrive(delivery(4, { nth: 5 }))
      assert.deepStrictEqual(port.pulls.map(([messages]) => messages), [5, 1])
    }))
})

describe("leases", () => {
  it.effect("are renewed after a third, for what waits and for what is worked on, and for nothing else", () =>
    Effect.gen(function*() {
      const { arrive, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 4))
      const taken = yield* take(3)
      yield* settle(taken.slice(0, 1))
      yield* settle(taken.slice(1, 2), Settlement.nak("1 minute"))
      turn()
      yield* TestClock.adjust(LEASE / 3 - 100)
      assert.deepStrictEqual(port.extended, [])
      yield* TestClock.adjust(350)
      assert.deepStrictEqual(port.extended, [[3, 4]])
      yield* TestClock.adjust(LEASE)
      assert.isTrue(port.extended.length >= 3 && port.extended.every((renewed) => renewed.join() === "3,4"))
    }))

  it.effect("are not renewed beyond the time that a handler may take", () =>
    Effect.gen(function*() {
      const { arrive, intake, ledger, port, settle, take, turn } = yield* setup({ timeBudgetMs: 4_000 })
      arrive(delivery(1))
      const taken = yield* take(1)
      yield* TestClock.adjust(4_500)
      assert.isTrue(intake.inlet.holds(taken[0]))
      const renewals = port.extended.length
      yield* TestClock.adjust(LEASE)
      assert.strictEqual(port.extended.length, renewals)
      assert.isFalse(intake.inlet.holds(taken[0]))
      yield* settle(taken)
      turn()
      assert.deepStrictEqual(port.written, [], "the broker has given it to somebody else")
      assert.deepInclude(ledger(), { delivered: 1, lost: 1, settled: 0, held: 0 })
    }))

  it.effect("that ran out while disconnected are not handed out", () =>
    Effect.gen(function*() {
      const { arrive, intake, ledger, port, take } = yield* setup()
      arrive(delivery(1))
      yield* TestClock.adjust(LEASE - 200)
      intake.disconnected()
      arrive(delivery(2))
      yield* TestClock.adjust(LEASE)
      arrive(delivery(3))
      port.extended.length = 0
      intake.connected()
      assert.deepStrictEqual(port.extended, [[3]], "what holds is renewed at once, what ran out is not")
      assert.deepStrictEqual(sequences(yield* take(10)), [3])
      assert.deepInclude(ledger(), { delivered: 3, lost: 2, held: 1 })
    }))

  it.effect("do not matter for what is acknowledged on enqueue, nor where nothing is acknowledged", () =>
    Effect.gen(function*() {
      const early = yield* setup({ ack: { _tag: "onEnqueue" } })
      const ordered = yield* setup({ leaseMs: Number.POSITIVE_INFINITY })
      for (const { arrive, intake, port, take } of [early, ordered]) {
        arrive(...many(1, 2))
        yield* TestClock.adjust("1 hour")
        const taken = yield* take(2)
        assert.deepStrictEqual(sequences(taken), [1, 2])
        assert.isTrue(intake.inlet.holds(taken[0]))
        assert.deepStrictEqual(port.extended, [])
      }
    }))
})

describe("stopping and closing", () => {
  it.effect("stops pulling, gives what is there, and ends", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, take } = yield* setup()
      arrive(...many(1, 3))
      yield* intake.inlet.stop
      yield* intake.inlet.stop
      assert.strictEqual(port.stops, 1)
      assert.deepStrictEqual(sequences(yield* take(2)), [1, 2])
      intake.returned(10, 0)
      intake.pullMore()
      assert.strictEqual(port.pulls.length, 1)
      assert.deepStrictEqual(sequences(yield* take(2)), [3])
      const end = yield* Effect.exit(take(1))
      assert.isTrue(Exit.isFailure(end) && Cause.isDone(Cause.squash(end.cause)))
    }))

  it.effect("closing hands back what waits, what is worked on, and what still arrives", () =>
    Effect.gen(function*() {
      const { arrive, close, ledger, port, settle, take } = yield* closable()
      arrive(...many(1, 4))
      const taken = yield* take(2)
      yield* settle(taken.slice(0, 1))
      yield* close
      assert.strictEqual(port.stops, 1)
      assert.deepStrictEqual(port.written.toSorted(), ["1.1 Ack", "2.1 Nak", "3.1 Nak", "4.1 Nak"])
      assert.deepInclude(ledger(), { delivered: 4, settled: 1, returned: 3, unconfirmed: 0, held: 0 })
      arrive(delivery(5))
      assert.deepInclude(ledger(), { delivered: 5, returned: 4, held: 0 })
      yield* settle(taken.slice(1))
      assert.strictEqual((yield* Effect.flip(take(1)))._tag, "TransportError")
    }))

  it.effect("closing waits two seconds for the broker's word, and says what it did not get", () =>
    Effect.gen(function*() {
      const { arrive, close, ledger, port } = yield* closable({ silent: true })
      arrive(...many(1, 2))
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("1900 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("200 millis")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(port.written, ["1.1 Nak", "2.1 Nak"])
      assert.deepInclude(ledger(), { returned: 2, unconfirmed: 2, held: 0 })
    }))

  it.effect("closing does not wait for what has gone out again since, and was confirmed then", () =>
    Effect.gen(function*() {
      const { arrive, close, intake, ledger, port, settle, take, turn } = yield* closable({ silent: true })
      arrive(...many(1, 2))
      yield* settle(yield* take(2))
      turn()
      // Made anew, the consumer ignores what it has not delivered yet; then it delivers it again.
      intake.deliver(delivery(1), "1.2")
      intake.deliver(delivery(2), "2.2")
      turn()
      assert.deepStrictEqual(port.batches.map(({ entries }) => entries.length), [2, 2])
      intake.confirmed(port.batches[1]!.id)
      yield* close
      assert.deepInclude(ledger(), { settled: 2, swallowed: 2, unconfirmed: 0 })
    }))

  it.effect("closing does not wait when nobody is left to confirm", () =>
    Effect.gen(function*() {
      const { arrive, close, intake, ledger } = yield* closable({ silent: true })
      arrive(...many(1, 2))
      intake.fail(because(new StreamNotFound({ stream: "S" })))
      yield* close
      assert.deepInclude(ledger(), { returned: 2, unconfirmed: 2, held: 0 })
    }))

  it.effect("closing under upTo does not wait for a verdict that cannot go out", () =>
    Effect.gen(function*() {
      const { arrive, close, ledger, settle, take, turn } = yield* closable({ ack: { _tag: "upTo" } })
      arrive(...many(1, 2))
      const [, second] = yield* take(2)
      yield* settle([second!])
      turn()
      yield* close
      assert.deepInclude(ledger(), { settled: 1, returned: 1, held: 0 })
    }))
})
