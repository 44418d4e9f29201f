/** What a verdict does, and what happens without one. */
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import * as Subject from "../Subject.ts"
import { addsUp, type Behaviour, behaviour, texts } from "./harness.ts"

const verdicts: ReadonlyArray<Behaviour> = [
  behaviour("acknowledges: the message does not come again", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const first = yield* h.read()
      yield* h.process(first, 3)
      yield* h.until({ ackFloor: 3, ackPending: 0, pending: 0 })
      yield* first.close
      yield* h.nothing(yield* h.read(), "200 millis")
    })),
  behaviour(
    "returns a message: it comes again at once, before newer ones, with its deliveries counted",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(3)
        const opened = yield* h.read({ queue: Queue.suspend({ messages: 1 }) })
        for (const count of [1, 2, 3]) {
          const [delivery] = yield* h.take(opened, 1)
          assert.deepInclude(delivery, { streamSequence: 1, deliveryCount: count })
          yield* h.settle(opened, [delivery!], count < 3 ? Settlement.nak() : Settlement.ack)
        }
        assert.deepStrictEqual(texts(yield* h.process(opened, 2)), ["2", "3"])
      })
  ),
  behaviour("returns a message with a delay: it comes again when that has passed", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const opened = yield* h.read()
      yield* h.settle(opened, yield* h.take(opened, 1), Settlement.nak("1 second"))
      yield* h.nothing(opened, "600 millis")
      yield* h.advance("600 millis")
      const [again] = yield* h.process(opened, 1)
      assert.deepInclude(again, { streamSequence: 1, deliveryCount: 2 })
    })),
  behaviour("goes on with others while a returned message waits", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const opened = yield* h.read()
      const [first, ...others] = yield* h.take(opened, 3)
      yield* h.settle(opened, [first!], Settlement.nak("1 second"))
      yield* h.settle(opened, others, Settlement.ack)
      yield* h.store(["m.4", "4"])
      assert.deepStrictEqual(texts(yield* h.process(opened, 1)), ["4"])
      yield* h.advance("1200 millis")
      assert.deepStrictEqual(texts(yield* h.process(opened, 1)), ["1"])
    })),
  behaviour("terminates: the message never comes again, and nothing waits for it", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(2)
      const opened = yield* h.read({ consumer: { ackWait: "500 millis" } })
      const [first, second] = yield* h.take(opened, 2)
      yield* h.settle(opened, [first!], Settlement.term("poison"))
      yield* h.settle(opened, [second!], Settlement.ack)
      yield* h.until({ ackFloor: 2, ackPending: 0 })
      yield* h.nothing(opened, "1200 millis")
    })),
  behaviour("takes one verdict per delivery: the first", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const opened = yield* h.read()
      const taken = yield* h.take(opened, 1)
      yield* h.settle(opened, taken, Settlement.ack)
      yield* h.settle(opened, taken, Settlement.nak())
      yield* h.until({ ackFloor: 1, ackPending: 0 })
      yield* h.nothing(opened, "100 millis")
      assert.strictEqual(opened.inlet.ledger().settled, 1)
    })),
  behaviour("takes mixed verdicts together", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const opened = yield* h.read()
      const [a, b, c, d] = yield* h.take(opened, 4)
      yield* opened.inlet.settle([
        { delivery: a!, settlement: Settlement.ack },
        { delivery: b!, settlement: Settlement.nak() },
        { delivery: c!, settlement: Settlement.term("no") },
        { delivery: d!, settlement: Settlement.ack }
      ])
      const again = yield* h.process(opened, 1)
      assert.deepInclude(again[0], { streamSequence: 2, deliveryCount: 2 })
      yield* h.until({ ackFloor: 4, ackPending: 0 })
    })),
  behaviour("gives up when the consumer's deliveries are used up", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const opened = yield* h.read({ consumer: { maxDeliver: 2 } })
      for (const count of [1, 2]) {
        const [delivery] = yield* h.take(opened, 1)
        assert.strictEqual(delivery?.deliveryCount, count)
        yield* h.settle(opened, [delivery!], Settlement.nak())
      }
      yield* h.nothing(opened, "200 millis")
      yield* h.until({ ackPending: 0, pending: 0 })
    }))
]

const leases: ReadonlyArray<Behaviour> = [
  behaviour(
    "gives a delivery to somebody else when its lease ends, and tells the first holder so",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(1)
        const consumer = { ackWait: "1 second" } as const
        // Without a time budget the lease is not renewed, and without room the message does not come back to its holder.
        const slow = yield* h.read({ consumer, queue: Queue.suspend({ messages: 1 }), timeBudgetMs: 0 })
        const [held] = yield* h.take(slow, 1)
        const other = yield* h.read({ consumer })
        yield* h.nothing(other, "600 millis")
        assert.isTrue(slow.inlet.holds(held!))
        yield* h.advance("1 second")
        const [again] = yield* h.process(other, 1)
        assert.deepInclude(again, { streamSequence: 1, deliveryCount: 2 })
        assert.isFalse(slow.inlet.holds(held!))
        addsUp(slow)
      })
  ),
  behaviour("renews the lease of a delivery that is worked on", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const consumer = { ackWait: "1 second" } as const
      const slow = yield* h.read({ consumer })
      const taken = yield* h.take(slow, 1)
      const other = yield* h.read({ consumer })
      yield* h.nothing(other, "3 seconds")
      assert.isTrue(slow.inlet.holds(taken[0]!))
      assert.deepInclude(yield* h.info(), { ackPending: 1, redelivered: 0 })
      yield* h.settle(slow, taken, Settlement.ack)
      yield* h.until({ ackFloor: 1, ackPending: 0 })
    })),
  behaviour("renews the leases of deliveries that wait", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(5)
      const opened = yield* h.read({ consumer: { ackWait: "1 second" } })
      yield* h.until({ ackPending: 5 })
      yield* h.advance("3 seconds")
      const taken = yield* h.process(opened, 5)
      assert.deepStrictEqual(taken.map((delivery) => delivery.deliveryCount), [1, 1, 1, 1, 1])
      assert.deepInclude(opened.inlet.ledger(), { swallowed: 0, lost: 0 })
    }))
]

const policies: ReadonlyArray<Behaviour> = [
  behaviour("acknowledges on enqueue under onEnqueue: nobody has taken anything yet", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const opened = yield* h.read({ ack: { _tag: "onEnqueue" } })
      yield* h.until({ ackFloor: 3, ackPending: 0 })
      assert.deepStrictEqual(texts(yield* h.take(opened, 3)), ["1", "2", "3"])
      addsUp(opened)
    })),
  behaviour("acknowledges by subject under hybrid", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["telemetry.1", "t1"], ["jobs.1", "j1"], ["telemetry.2", "t2"], ["jobs.2", "j2"])
      const onEnqueue = ["telemetry.*", "metrics.*"].map((pattern) => Subject.patternUnsafe(h.subject(pattern)))
      const opened = yield* h.read({ ack: { _tag: "hybrid", onEnqueue } })
      yield* h.until({ ackFloor: 1, ackPending: 2 })
      const taken = yield* h.take(opened, 4)
      assert.deepStrictEqual(texts(taken), ["t1", "j1", "t2", "j2"])
      yield* h.settle(opened, taken, Settlement.ack)
      yield* h.until({ ackFloor: 4, ackPending: 0 })
    })),
  behaviour("waits for the broker's word under confirmed", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const opened = yield* h.read({ ack: { _tag: "confirmed" } })
      yield* h.process(opened, 3)
      assert.deepInclude(yield* h.info(), { ackFloor: 3, ackPending: 0 })
      assert.strictEqual(opened.inlet.ledger().held, 0)
    })),
  behaviour("acknowledges a prefix under upTo, and nothing beyond a gap", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(6)
      const opened = yield* h.read({ ack: { _tag: "upTo" }, consumer: { ack: "all" } })
      const [a, b, c, d, e, f] = yield* h.take(opened, 6)
      yield* h.settle(opened, [a!, b!, d!], Settlement.ack)
      yield* h.until({ ackFloor: 2, ackPending: 4 })
      yield* h.settle(opened, [f!, e!], Settlement.ack)
      yield* h.advance("100 millis")
      assert.deepInclude(yield* h.info(), { ackFloor: 2, ackPending: 4 })
      yield* h.settle(opened, [c!], Settlement.ack)
      yield* h.until({ ackFloor: 6, ackPending: 0 })
    })),
  behaviour(
    "acknowledges under upTo nothing beyond what was returned, until that is done",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(3)
        const queue = Queue.suspend({ messages: 3 })
        const opened = yield* h.read({ ack: { _tag: "upTo" }, consumer: { ack: "all" }, queue })
        const [a, b, c] = yield* h.take(opened, 3)
        yield* h.settle(opened, [b!], Settlement.nak())
        yield* h.settle(opened, [a!, c!], Settlement.ack)
        yield* h.until({ ackFloor: 1 })
        yield* h.advance("500 millis")
        const again = yield* h.take(opened, 1)
        assert.deepInclude(again[0], { streamSequence: 2, deliveryCount: 2 })
        assert.deepInclude(yield* h.info(), { ackFloor: 1, ackPending: 2 })
        yield* h.settle(opened, again, Settlement.ack)
        yield* h.until({ ackFloor: 3, ackPending: 0 })
      })
  ),
  behaviour(
    "acknowledges under upTo nothing before what was terminated, until that is done",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(3)
        const opened = yield* h.read({ ack: { _tag: "upTo" }, consumer: { ack: "all" } })
        const [a, b, c] = yield* h.take(opened, 3)
        yield* h.settle(opened, [b!], Settlement.term("no use"))
        yield* h.advance("100 millis")
        assert.deepInclude(yield* h.info(), { ackFloor: 0, ackPending: 3 })
        yield* h.settle(opened, [a!, c!], Settlement.ack)
        yield* h.until({ ackFloor: 3, ackPending: 0 })
      })
  ),
  behaviour("refuses a policy that the consumer's acks do not fit", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const explicit = h.read({ name: "explicit", ack: { _tag: "upTo" } })
      const all = h.read({ name: "all", ack: { _tag: "onProcess" }, consumer: { ack: "all" } })
      const none = h.read({ name: "none", ack: { _tag: "onProcess" }, consumer: { ack: "none" } })
      for (const reader of [explicit, all, none]) {
        assert.strictEqual((yield* h.reason(reader))._tag, "Invalid")
      }
    }))
]

const closing: ReadonlyArray<Behaviour> = [
  behaviour("hands back at once what was not settled when it closes", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(6)
      // Where a return may be kept until its ack wait is over, that must not be long.
      const consumer = { ackWait: h.capabilities.promptReturn ? "1 hour" : "2 seconds" } as const
      const first = yield* h.read({ consumer })
      const taken = yield* h.take(first, 2)
      yield* h.until({ ackPending: 6 })
      yield* h.settle(first, taken.slice(0, 1), Settlement.ack)
      yield* first.close
      assert.deepInclude(first.inlet.ledger(), { delivered: 6, settled: 1, returned: 5, held: 0, unconfirmed: 0 })
      const second = yield* h.read({ consumer })
      yield* h.advance(h.capabilities.promptReturn ? 0 : "2 seconds")
      const rest = yield* h.process(second, 5)
      assert.deepStrictEqual(texts(rest).toSorted(), ["2", "3", "4", "5", "6"])
      assert.isTrue(rest.every((delivery) => delivery.deliveryCount >= 2))
    })),
  behaviour("hands back to a reader that waits", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const first = yield* h.read({ queue: Queue.suspend({ messages: 4 }) })
      yield* h.until({ ackPending: 4 })
      const second = yield* h.read()
      yield* h.nothing(second, "100 millis")
      yield* first.close
      assert.deepStrictEqual(texts(yield* h.process(second, 4)), ["1", "2", "3", "4"])
    })),
  behaviour("has the acks confirmed when it has closed", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(50)
      const opened = yield* h.read()
      yield* h.process(opened, 50)
      yield* opened.close
      assert.deepInclude(yield* h.info(), { ackFloor: 50, ackPending: 0 })
      assert.deepInclude(opened.inlet.ledger(), { delivered: 50, settled: 50, unconfirmed: 0, held: 0 })
    })),
  behaviour(
    "stops on request: gives what has arrived, then ends, and asks for nothing more",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(5)
        const opened = yield* h.read()
        yield* h.until({ ackPending: 5 })
        const taken = yield* h.take(opened, 2)
        yield* opened.inlet.stop
        yield* h.store(["m.6", "6"])
        const rest = yield* h.take(opened, 3)
        const end = yield* h.within(Effect.exit(opened.inlet.take(10)), () => "reading did not end")
        assert.isTrue(Exit.isFailure(end) && Cause.isDone(Cause.squash(end.cause)), "reading ends without a failure")
        yield* h.settle(opened, [...taken, ...rest], Settlement.ack)
        yield* opened.close
        yield* h.until({ ackFloor: 5, ackPending: 0, pending: 1 })
        assert.deepStrictEqual(texts(yield* h.process(yield* h.read(), 1)), ["6"])
      })
  ),
  behaviour("keeps a ledger that adds up", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(30)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 20 }) })
      const taken = yield* h.take(opened, 15)
      addsUp(opened)
      yield* h.settle(opened, taken.slice(0, 5), Settlement.ack)
      addsUp(opened)
      yield* h.settle(opened, taken.slice(5, 8), Settlement.term("no"))
      yield* h.settle(opened, taken.slice(8, 10), Settlement.nak("1 hour"))
      addsUp(opened)
      yield* h.advance("100 millis")
      addsUp(opened)
      yield* opened.close
      addsUp(opened)
      const { held, settled, unconfirmed } = opened.inlet.ledger()
      assert.deepStrictEqual({ held, settled, unconfirmed }, { held: 0, settled: 10, unconfirmed: 0 })
    }))
]

export const settling: ReadonlyArray<Behaviour> = [...verdicts, ...leases, ...policies, ...closing]
