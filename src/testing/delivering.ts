/** What reaches a reader, and how much of it. */
import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import type { ConsumerStart } from "../Topology.ts"
import { type Behaviour, behaviour, type Harness, numbers, texts } from "./harness.ts"

const reading: ReadonlyArray<Behaviour> = [
  behaviour("delivers everything in order, and says what each message is", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const before = yield* Clock.currentTimeMillis
      yield* h.storeMany(20)
      const after = yield* Clock.currentTimeMillis
      const taken = yield* h.process(yield* h.read(), 20)
      assert.deepStrictEqual(texts(taken), numbers(1, 20))
      for (const [index, delivery] of taken.entries()) {
        const { consumer, consumerSequence, deliveryCount, pending, stream, streamSequence, subject } = delivery
        assert.deepStrictEqual(
          { consumer, consumerSequence, deliveryCount, pending, stream, streamSequence, subject },
          {
            consumer: "c",
            consumerSequence: index + 1,
            deliveryCount: 1,
            pending: 19 - index,
            stream: h.stream,
            streamSequence: index + 1,
            subject: h.subject(`m.${index + 1}`)
          }
        )
        assert.isTrue(delivery.timestamp >= before - 1 && delivery.timestamp <= after + 1, "the time of storing")
      }
    })),
  behaviour("waits for the first message", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const opened = yield* h.read()
      const taking = yield* Effect.forkChild(h.take(opened, 1), { startImmediately: true })
      yield* h.advance("50 millis")
      assert.isUndefined(taking.pollUnsafe())
      yield* h.storeMany(1)
      assert.deepStrictEqual(texts(yield* Fiber.join(taking)), ["1"])
    })),
  behaviour("gives at most as many as were asked for", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(10)
      const opened = yield* h.read()
      const [first] = yield* h.take(opened, 1)
      const sizes = [(yield* opened.inlet.take(4)).length, (yield* opened.inlet.take(100)).length].map(Number)
      assert.strictEqual(first?.streamSequence, 1)
      assert.isTrue(sizes.every((size) => size >= 1) && sizes[0]! <= 4)
    }).pipe(Effect.catchIf((error) => error._tag !== "TransportError", Effect.die))),
  behaviour("delivers ten thousand messages, each once and in order", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      for (let i = 0; i < 20; i++) {
        yield* h.storeMany(500)
      }
      const opened = yield* h.read()
      for (let next = 1; next <= 10_000;) {
        for (const { streamSequence } of yield* h.process(opened, Math.min(500, 10_001 - next))) {
          assert.strictEqual(streamSequence, next++)
        }
      }
      yield* h.until({ ackFloor: 10_000, pending: 0, ackPending: 0 })
    })),
  behaviour("reads only what its filter lets through", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a.1", "1"], ["b.1", "2"], ["a.2", "3"], ["b.2", "4"], ["a.x.y", "5"])
      const opened = yield* h.read({ consumer: { filters: [h.subject("a.*")] } })
      yield* h.store(["b.3", "6"], ["a.3", "7"])
      assert.deepStrictEqual(texts(yield* h.process(opened, 3)), ["1", "3", "7"])
      yield* h.nothing(opened, "100 millis")
    })),
  behaviour("reads through several filters, or says that it cannot", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", "1"], ["b", "2"], ["c", "3"], ["a", "4"])
      const reader = h.read({ consumer: { filters: [h.subject("a"), h.subject("c")] } })
      if (h.capabilities.filterSubjects) {
        assert.deepStrictEqual(texts(yield* h.process(yield* reader, 3)), ["1", "3", "4"])
      } else {
        assert.strictEqual((yield* h.reason(reader))._tag, "Unsupported")
      }
    }))
]

const capacity: ReadonlyArray<Behaviour> = [
  behaviour("holds no more than its capacity, and goes on as it is settled", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(20)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 5 }) })
      const first = yield* h.take(opened, 5)
      yield* h.nothing(opened, "100 millis")
      assert.deepInclude(yield* h.info(), { ackPending: 5, pending: 15 })
      yield* h.settle(opened, first.slice(0, 2), Settlement.ack)
      assert.deepStrictEqual(texts(yield* h.take(opened, 2)), ["6", "7"])
      yield* h.nothing(opened, "100 millis")
    })),
  behaviour("never lets the broker count more than the capacity as unanswered", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(200)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 10 }) })
      for (let left = 200; left > 0;) {
        const taken = yield* h.take(opened, Math.min(left, 1 + left % 4))
        assert.isAtMost((yield* h.info()).ackPending, 10)
        yield* h.settle(opened, taken, Settlement.ack)
        assert.isAtMost((yield* h.info()).ackPending, 10)
        left -= taken.length
      }
    })),
  behaviour("holds no more bytes than its capacity, and goes on as they are settled", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const [size, count, messages] = [256 * 1024, 40, 100]
      for (let n = 1; n <= count; n++) {
        yield* h.publish(h.message("m", "", { payload: new Uint8Array(size).fill(n) }))
      }
      // Room for the largest message that the broker takes has to be left, so it is never quite full.
      const bytes = 4 * h.capabilities.maxPayload
      const opened = yield* h.read({ queue: Queue.suspend({ messages, bytes }) })
      yield* h.advance("500 millis")
      const { ackPending } = yield* h.info()
      assert.isAtLeast(ackPending, 1)
      assert.isAtMost(ackPending * size, bytes)
      const taken = yield* h.process(opened, count)
      assert.deepStrictEqual(
        taken.map((delivery) => delivery.payload[0]),
        Array.from({ length: count }, (_, i) => i + 1)
      )
      yield* h.until({ ackFloor: count, ackPending: 0 })
    })),
  behaviour("shares a consumer between two readers: everything once, to one of them", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const one = yield* h.read({ queue: Queue.suspend({ messages: 10 }) })
      const two = yield* h.read({ queue: Queue.suspend({ messages: 10 }) })
      yield* h.storeMany(100)
      const seen: Array<number> = []
      const work = (opened: typeof one) =>
        Effect.forever(Effect.gen(function*() {
          const taken = yield* h.process(opened, 1)
          seen.push(...taken.map((delivery) => delivery.streamSequence))
        }))
      const working = yield* Effect.forkChild(Effect.all([work(one), work(two)], { concurrency: 2 }))
      yield* h.until({ ackFloor: 100, ackPending: 0, pending: 0 })
      yield* Fiber.interrupt(working)
      assert.deepStrictEqual(seen.toSorted((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i + 1))
      assert.isAtLeast(one.inlet.ledger().delivered, 1)
      assert.isAtLeast(two.inlet.ledger().delivered, 1)
    })),
  behaviour(
    "keeps to the consumer's own limit of unanswered deliveries, over all its readers",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(20)
        const one = yield* h.read({ consumer: { maxAckPending: 6 } })
        const taken = yield* h.take(one, 6)
        const two = yield* h.read({ consumer: { maxAckPending: 6 } })
        yield* h.nothing(two, "100 millis")
        yield* h.settle(one, taken, Settlement.ack)
        yield* h.until({ ackFloor: 6 })
        assert.deepInclude(yield* h.info(), { pending: 8, ackPending: 6 })
      })
  )
]

const startingAt = (name: string, start: ConsumerStart, expected: ReadonlyArray<string>): Behaviour =>
  behaviour(`begins where it is told: ${name}`, (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", "1"], ["b", "2"], ["a", "3"], ["c", "4"], ["b", "5"])
      const filters = [[], [">"], [h.subject(">")]]
      const all = yield* Effect.forEach(
        filters,
        (filters, i) => h.read({ name: `c${i}`, consumer: { start, filters } })
      )
      yield* h.store(["a", "6"])
      for (const opened of all) {
        assert.deepStrictEqual(texts(yield* h.process(opened, expected.length)), expected)
        yield* h.nothing(opened, "100 millis")
      }
    }))

/** When the message of this sequence was stored. */
const timeOf = (h: Harness, sequence: number) =>
  Effect.gen(function*() {
    const start = { _tag: "sequence", sequence } as const
    const opened = yield* h.open({ _tag: "ordered", stream: h.stream, filters: [], start })
    const [delivery] = yield* h.take(opened, 1)
    yield* opened.close
    return delivery!.timestamp
  })

const starts: ReadonlyArray<Behaviour> = [
  startingAt("at the first message", { _tag: "all" }, ["1", "2", "3", "4", "5", "6"]),
  startingAt("with what comes", { _tag: "new" }, ["6"]),
  startingAt("at the last message", { _tag: "last" }, ["5", "6"]),
  startingAt("at the last message of each subject", { _tag: "lastPerSubject" }, ["3", "4", "5", "6"]),
  startingAt("at a sequence", { _tag: "sequence", sequence: 4 }, ["4", "5", "6"]),
  behaviour("begins where it is told: at a time", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", "1"])
      yield* h.advance("50 millis")
      yield* h.store(["a", "2"], ["a", "3"])
      const start = { _tag: "time", millis: yield* timeOf(h, 2) } as const
      assert.deepStrictEqual(texts(yield* h.process(yield* h.read({ consumer: { start } }), 2)), ["2", "3"])
    }))
]

export const delivering: ReadonlyArray<Behaviour> = [...reading, ...capacity, ...starts]
