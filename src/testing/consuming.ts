/** Whose consumers are whose, and what happens when they are gone. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import * as Topology from "../Topology.ts"
import { type Behaviour, behaviour, type Harness, numbers, texts } from "./harness.ts"

const start = { _tag: "all" } as const

const bound = (h: Harness, consumer = "c") =>
  h.open({ _tag: "durable", stream: h.stream, consumer, create: Option.none() })

const ephemeral = (h: Harness, from: Topology.ConsumerStart = start) =>
  h.open({ _tag: "ephemeral", stream: h.stream, filters: [], start: from })

const ordered = (h: Harness, messages = 100) =>
  h.open({ _tag: "ordered", stream: h.stream, filters: [], start }, { queue: Queue.suspend({ messages }) })

const durables: ReadonlyArray<Behaviour> = [
  behaviour("makes its own consumer as declared, and finds its place again", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(5)
      const consumer = { ackWait: "4 seconds", maxAckPending: 500, filters: [h.subject("m.*")] } as const
      const first = yield* h.read({ consumer })
      const { consumer: made } = yield* h.info()
      assert.deepStrictEqual(Topology.consumerDifferences(Topology.consumer("c", consumer), made), [])
      yield* h.process(first, 3)
      yield* first.close
      const second = yield* h.read({ consumer })
      // Where a return may be kept until its ack wait is over, that has to pass.
      yield* h.advance(h.capabilities.promptReturn ? 0 : "4 seconds")
      const rest = yield* h.process(second, 2)
      assert.deepStrictEqual(texts(rest).toSorted(), ["4", "5"])
    })),
  behaviour("names what differs when its consumer stands there with other settings", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { ackWait: "10 seconds" }))
      const reason = yield* h.reason(h.read({ consumer: { ackWait: "20 seconds" } }))
      assert.strictEqual(reason._tag, "Conflict")
      assert.isTrue(reason._tag === "Conflict" && reason.differences.some((line) => line.startsWith("ackWaitMs")))
      assert.strictEqual((yield* h.info()).consumer.ackWaitMs, 10_000)
    })),
  behaviour("binds to a consumer as it is", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const consumer = Topology.consumer("c", { ackWait: "10 seconds", start: { _tag: "sequence", sequence: 2 } })
      yield* h.admin.createConsumer(h.stream, consumer)
      assert.deepStrictEqual(texts(yield* h.process(yield* bound(h), 2)), ["2", "3"])
    })),
  behaviour("says what is missing: a bound consumer, a stream", (h) =>
    Effect.gen(function*() {
      const streamless = [h.read(), bound(h), ephemeral(h), ordered(h)]
      for (const reader of streamless) {
        assert.strictEqual((yield* h.reason(reader))._tag, "StreamNotFound")
      }
      yield* h.create()
      assert.strictEqual((yield* h.reason(bound(h)))._tag, "ConsumerNotFound")
    })),
  behaviour(
    "makes its own consumer anew where reading stopped, when somebody deletes it",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(5)
        const opened = yield* h.read()
        yield* h.process(opened, 5)
        yield* h.until({ ackFloor: 5 })
        yield* h.admin.deleteConsumer(h.stream, "c")
        yield* h.store(["m.6", "6"], ["m.7", "7"])
        yield* h.advance("1 second")
        assert.deepStrictEqual(texts(yield* h.process(opened, 2)), ["6", "7"])
        yield* h.until({ ackFloor: 7, ackPending: 0 })
      })
  ),
  behaviour("runs nothing twice that it holds while its consumer is made anew", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(6)
      const opened = yield* h.read()
      const taken = yield* h.take(opened, 4)
      yield* h.settle(opened, taken.slice(0, 1), Settlement.ack)
      yield* h.until({ ackFloor: 1 })
      yield* h.admin.deleteConsumer(h.stream, "c")
      yield* h.advance("1 second")
      assert.deepStrictEqual(texts(yield* h.process(opened, 2)), ["5", "6"])
      yield* h.settle(opened, taken.slice(1), Settlement.ack)
      yield* h.until({ ackFloor: 6, ackPending: 0 })
      yield* h.nothing(opened, "100 millis")
    })),
  behaviour("runs nothing twice that it has done while its consumer is made anew", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 4 }) })
      const [first, second, third, fourth] = yield* h.take(opened, 4)
      yield* h.settle(opened, [second!], Settlement.ack)
      yield* h.settle(opened, [third!], Settlement.term("no use"))
      yield* h.until({ ackPending: 2 })
      yield* h.advance("1 second")
      yield* h.admin.deleteConsumer(h.stream, "c")
      // It begins at the first again, and delivers what was done behind it.
      yield* h.nothing(opened, "1 second")
      yield* h.settle(opened, [first!, fourth!], Settlement.ack)
      yield* h.until({ ackFloor: 4, ackPending: 0 })
      assert.deepInclude(opened.inlet.ledger(), { delivered: 4, settled: 4 })
    })),
  behaviour("loses nothing that it has returned when its consumer is made anew", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const opened = yield* h.read()
      const [first, second, third] = yield* h.take(opened, 3)
      yield* h.settle(opened, [second!], Settlement.nak("1 hour"))
      yield* h.settle(opened, [first!, third!], Settlement.ack)
      yield* h.until({ ackFloor: 1, ackPending: 1 })
      yield* h.admin.deleteConsumer(h.stream, "c")
      // The delay was the consumer's, and is gone with it.
      yield* h.advance("1 second")
      assert.deepStrictEqual(texts(yield* h.process(opened, 1)), ["2"])
      yield* h.until({ ackFloor: 3, ackPending: 0 })
    })),
  behaviour(
    "loses nothing that another reader has returned when its consumer is made anew",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(1)
        const another = yield* h.read()
        yield* h.settle(another, yield* h.take(another, 1), Settlement.nak("1 hour"))
        yield* h.until({ ackPending: 1 })
        yield* another.close
        const opened = yield* h.read()
        yield* h.storeMany(2)
        assert.deepStrictEqual(texts(yield* h.process(opened, 2)), ["1", "2"])
        yield* h.until({ ackPending: 1 })
        yield* h.admin.deleteConsumer(h.stream, "c")
        yield* h.advance("1 second")
        assert.deepInclude((yield* h.process(opened, 1))[0], { streamSequence: 1 })
        yield* h.until({ ackFloor: 3, ackPending: 0 })
      })
  ),
  behaviour("ends with a type when a consumer that it was bound to is deleted", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c"))
      const opened = yield* bound(h)
      yield* h.admin.deleteConsumer(h.stream, "c")
      yield* h.advance("1 second")
      assert.strictEqual((yield* h.reason(opened.inlet.take(1)))._tag, "ConsumerNotFound")
    })),
  behaviour("ends with a type when the stream is deleted and stays away", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const opened = yield* h.read()
      yield* h.admin.deleteStream(h.stream)
      yield* h.nothing(opened, "1 second")
      yield* h.advance("3 seconds")
      assert.strictEqual((yield* h.reason(opened.inlet.take(1)))._tag, "StreamNotFound")
    }))
]

const nameless: ReadonlyArray<Behaviour> = [
  behaviour(
    "reads through an ephemeral consumer, returns included, and leaves none behind",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(3)
        const opened = yield* ephemeral(h)
        const taken = yield* h.take(opened, 3)
        const name = taken[0]!.consumer
        yield* h.settle(opened, taken.slice(1), Settlement.ack)
        yield* h.settle(opened, taken.slice(0, 1), Settlement.nak())
        assert.deepInclude((yield* h.process(opened, 1))[0], { streamSequence: 1, deliveryCount: 2 })
        yield* h.until({ ackFloor: 3, ackPending: 0 }, name)
        yield* opened.close
        yield* h.eventually(h.admin.describeConsumer(h.stream, name), (found) => assert.isTrue(Option.isNone(found)))
      })
  ),
  behaviour("gives each ephemeral reader everything", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      for (const opened of [yield* ephemeral(h), yield* ephemeral(h)]) {
        assert.deepStrictEqual(texts(yield* h.process(opened, 3)), ["1", "2", "3"])
      }
    })),
  behaviour("makes an ephemeral consumer anew where reading stopped", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const opened = yield* ephemeral(h)
      const taken = yield* h.process(opened, 3)
      yield* h.until({ ackFloor: 3 }, taken[0]!.consumer)
      yield* h.admin.deleteConsumer(h.stream, taken[0]!.consumer)
      yield* h.storeMany(2)
      yield* h.advance("1 second")
      assert.deepStrictEqual((yield* h.process(opened, 2)).map((delivery) => delivery.streamSequence), [4, 5])
      yield* h.nothing(opened, "100 millis")
    })),
  behaviour("reads in order exactly what the stream has, however small the queue", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(200)
      assert.deepStrictEqual(texts(yield* h.process(yield* ordered(h, 7), 200)), numbers(1, 200))
    })),
  behaviour("reads in order across the end of its consumer: no gap, no repeat", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(50)
      const opened = yield* ordered(h, 20)
      const first = yield* h.process(opened, 15)
      yield* h.admin.deleteConsumer(h.stream, first[0]!.consumer)
      yield* h.storeMany(10)
      yield* h.advance("1 second")
      const rest = yield* h.process(opened, 45)
      const sequences = [...first, ...rest].map((delivery) => delivery.streamSequence)
      assert.deepStrictEqual(sequences, Array.from({ length: 60 }, (_, i) => i + 1))
      yield* h.nothing(opened, "200 millis")
    })),
  behaviour("reads in order the last message of each subject, then what comes", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", "1"], ["b", "2"], ["a", "3"])
      const opened = yield* h.open({
        _tag: "ordered",
        stream: h.stream,
        filters: [],
        start: { _tag: "lastPerSubject" }
      })
      assert.deepStrictEqual(texts(yield* h.process(opened, 2)), ["2", "3"])
      yield* h.store(["a", "4"])
      assert.deepStrictEqual(texts(yield* h.process(opened, 1)), ["4"])
    })),
  behaviour("skips in order what the stream no longer has", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxPerSubject: 1 })
      yield* h.store(["a", "1"], ["b", "2"], ["a", "3"], ["c", "4"], ["b", "5"])
      assert.deepStrictEqual(texts(yield* h.process(yield* ordered(h), 3)), ["3", "4", "5"])
    })),
  behaviour("leaves no ordered consumer behind", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const opened = yield* ordered(h)
      const [delivery] = yield* h.process(opened, 1)
      yield* opened.close
      yield* h.eventually(
        h.admin.describeConsumer(h.stream, delivery!.consumer),
        (found) => assert.isTrue(Option.isNone(found))
      )
    }))
]

export const consuming: ReadonlyArray<Behaviour> = [...durables, ...nameless]
