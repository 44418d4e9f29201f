/** How long a delivery may stay unanswered, how often it comes, and how many pulls may wait. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import * as Topology from "../Topology.ts"
import { type Behaviour, behaviour, type Harness, numbers, type ReadOptions, texts } from "./harness.ts"

/** Takes so many, never answers, and never takes them again. */
const hold = (h: Harness, consumer: NonNullable<ReadOptions["consumer"]>, count = 1) =>
  Effect.gen(function*() {
    const opened = yield* h.read({ consumer, queue: Queue.suspend({ messages: count }), timeBudgetMs: 0 })
    const taken = yield* h.take(opened, count)
    yield* opened.inlet.stop
    return taken.map((delivery) => delivery.deliveryCount)
  })

const backoffs: ReadonlyArray<Behaviour> = [
  behaviour("keeps a backoff list as declared; its first entry is the ack wait", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const declared = Topology.consumer("c", { backoff: ["3 seconds", "1 second", "1 minute"], maxDeliver: 4 })
      yield* h.admin.createConsumer(h.stream, declared)
      const { consumer } = yield* h.info()
      assert.deepStrictEqual(Topology.consumerDifferences(declared, consumer), [])
      assert.deepInclude(consumer, { ackWaitMs: 3_000, backoffMs: [3_000, 1_000, 60_000] })
    })),
  behaviour("waits for each delivery as long as the backoff list says", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const consumer = { backoff: ["500 millis", "1500 millis"], maxDeliver: 9 } as const
      assert.deepStrictEqual(yield* hold(h, consumer), [1])
      yield* h.advance("800 millis")
      assert.deepStrictEqual(yield* hold(h, consumer), [2])
      const third = yield* h.read({ consumer })
      yield* h.nothing(third, "1 second")
      yield* h.advance("800 millis")
      assert.strictEqual((yield* h.process(third, 1))[0]?.deliveryCount, 3)
    })),
  behaviour("goes on with the last entry of the backoff list", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const consumer = { backoff: ["100 millis", "300 millis"], maxDeliver: 9 } as const
      for (const count of [1, 2, 3, 4]) {
        assert.deepStrictEqual(yield* hold(h, consumer), [count])
        yield* h.advance("500 millis")
      }
    })),
  behaviour("returns a message at once, whatever the backoff list says", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const opened = yield* h.read({ consumer: { backoff: ["1 hour", "2 hours"], maxDeliver: 9 } })
      yield* h.settle(opened, yield* h.take(opened, 1), Settlement.nak())
      assert.strictEqual((yield* h.process(opened, 1))[0]?.deliveryCount, 2)
    })),
  behaviour("renews the shortest lease of a backoff list in time", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const consumer = { backoff: ["3 seconds", "600 millis"], maxDeliver: 9 } as const
      const opened = yield* h.read({ consumer })
      yield* h.settle(opened, yield* h.take(opened, 1), Settlement.nak())
      const again = yield* h.take(opened, 1)
      yield* h.nothing(yield* h.read({ consumer }), "2 seconds")
      assert.isTrue(opened.inlet.holds(again[0]!))
      yield* h.settle(opened, again, Settlement.ack)
      yield* h.until({ ackFloor: 1, ackPending: 0 })
    })),
  behaviour("refuses a backoff list that is longer than the deliveries", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const consumer = Topology.consumer("c", { backoff: ["1 second", "2 seconds", "3 seconds"], maxDeliver: 2 })
      const reason = yield* h.reason(h.admin.createConsumer(h.stream, consumer))
      assert.strictEqual(reason._tag, "Rejected")
      assert.isFalse(reason.isRetryable)
    })),
  behaviour(
    "takes a backoff list without a limit of deliveries, or says that it cannot",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        for (const maxDeliver of [-1, 2]) {
          const consumer = Topology.consumer(`c${maxDeliver}`, { backoff: ["1 second", "2 seconds"], maxDeliver })
          const creating = h.admin.createConsumer(h.stream, consumer)
          if (h.capabilities.unlimitedBackoff) {
            yield* creating
            assert.strictEqual((yield* h.info(consumer.name)).consumer.maxDeliver, maxDeliver)
          } else {
            assert.strictEqual((yield* h.reason(creating))._tag, "Unsupported")
          }
        }
      })
  )
]

const givingUp: ReadonlyArray<Behaviour> = [
  behaviour(
    "gives up what was delivered often enough when somebody asks; until then it counts as unanswered",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(2)
        const consumer = { ackWait: "500 millis", maxDeliver: 2 } as const
        for (const count of [1, 2]) {
          assert.deepStrictEqual(yield* hold(h, consumer, 2), [count, count])
          yield* h.advance("800 millis")
        }
        assert.deepInclude(yield* h.info(), { ackPending: 2, pending: 0, redelivered: 2 })
        yield* h.nothing(yield* h.read({ consumer }), "300 millis")
        assert.deepInclude(yield* h.info(), { ackPending: 0, pending: 0, redelivered: 2 })
        assert.strictEqual((yield* h.streamInfo()).messages, 2)
      })
  ),
  behaviour("delivers others when one was given up", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const opened = yield* h.read({ consumer: { maxDeliver: 1, maxAckPending: 1 } })
      yield* h.settle(opened, yield* h.take(opened, 1), Settlement.nak())
      yield* h.store(["m.2", "2"])
      assert.deepStrictEqual(texts(yield* h.process(opened, 1)), ["2"])
      yield* h.until({ ackPending: 0, pending: 0 })
    })),
  behaviour("keeps in a work queue what it gave up", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "workqueue" })
      yield* h.storeMany(2)
      const opened = yield* h.read({ consumer: { maxDeliver: 1 } })
      const [first, second] = yield* h.take(opened, 2)
      yield* h.settle(opened, [first!], Settlement.nak())
      yield* h.settle(opened, [second!], Settlement.ack)
      yield* h.until({ ackPending: 0 })
      yield* h.nothing(opened, "200 millis")
      assert.deepInclude(yield* h.streamInfo(), { messages: 1, firstSequence: 1 })
    })),
  behaviour(
    "keeps under interest what one consumer gave up and another acknowledged, or removes it",
    (h) =>
      Effect.gen(function*() {
        yield* h.create({ retention: "interest" })
        const one = yield* h.read({ name: "one", consumer: { maxDeliver: 1 } })
        const two = yield* h.read({ name: "two" })
        yield* h.storeMany(1)
        yield* h.settle(one, yield* h.take(one, 1), Settlement.nak())
        yield* h.until({ ackPending: 0 }, "one")
        yield* h.process(two, 1)
        yield* h.until({ ackPending: 0, ackFloor: 1 }, "two")
        const messages = h.capabilities.keepsGivenUp ? 1 : 0
        yield* h.eventually(h.streamInfo(), (info) => assert.strictEqual(info.messages, messages))
      })
  )
]

const returns: ReadonlyArray<Behaviour> = [
  behaviour("delivers at once what went back while nobody asked, or all but one of it", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const consumer = { ackWait: "3 seconds" } as const
      // It asks for more than there is: its pull still waits when it leaves.
      const first = yield* h.read({ consumer })
      yield* h.take(first, 4)
      yield* first.close
      const second = yield* h.read({ consumer })
      const atOnce = yield* h.process(second, h.capabilities.promptReturn ? 4 : 3)
      yield* h.nothing(second, "500 millis")
      yield* h.advance("3 seconds")
      const later = h.capabilities.promptReturn ? [] : yield* h.process(second, 1)
      assert.deepStrictEqual(texts([...atOnce, ...later]).toSorted(), numbers(1, 4))
    })),
  behaviour("counts a delay from the return, also on the second", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const opened = yield* h.read({ consumer: { ackWait: "1 hour" } })
      for (const count of [1, 2]) {
        const taken = yield* h.take(opened, 1)
        assert.strictEqual(taken[0]?.deliveryCount, count)
        yield* h.settle(opened, taken, Settlement.nak("700 millis"))
        yield* h.nothing(opened, "400 millis")
        yield* h.advance("500 millis")
      }
      assert.strictEqual((yield* h.process(opened, 1))[0]?.deliveryCount, 3)
    }))
]

const waiting: ReadonlyArray<Behaviour> = [
  behaviour("counts the pulls that wait", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const one = yield* h.read()
      yield* h.until({ waiting: 1 })
      const two = yield* h.read()
      yield* h.until({ waiting: 2 })
      yield* one.close
      yield* two.close
      yield* h.until({ waiting: 0 })
    })),
  behaviour("lets in later whoever asks beyond the limit of waiting pulls", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const consumer = { maxWaiting: 1 } as const
      const one = yield* h.read({ consumer, queue: Queue.suspend({ messages: 2 }) })
      yield* h.until({ waiting: 1 })
      const two = yield* h.read({ consumer })
      yield* h.nothing(two, "500 millis")
      assert.strictEqual((yield* h.info()).waiting, 1)
      yield* h.storeMany(4)
      assert.deepStrictEqual(texts(yield* h.take(one, 2)), ["1", "2"])
      yield* h.advance("5 seconds")
      assert.deepStrictEqual(texts(yield* h.process(two, 2)), ["3", "4"])
    })),
  behaviour("does not compare the limit of waiting pulls", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { maxWaiting: 7 }))
      assert.strictEqual((yield* h.info()).consumer.maxWaiting, 7)
      yield* h.storeMany(1)
      assert.deepStrictEqual(texts(yield* h.process(yield* h.read(), 1)), ["1"])
    }))
]

export const redelivering: ReadonlyArray<Behaviour> = [...backoffs, ...givingUp, ...returns, ...waiting]
