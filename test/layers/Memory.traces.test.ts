/** What comparing traces with a nats-server brought to light (`npm run traces`), each as a test of its own. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Memory from "../../src/layers/Memory.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { type Behaviour, Harness, refusalOf, sequenceOf, texts } from "../../src/testing/harness.ts"
import * as Topology from "../../src/Topology.ts"
import type { Source } from "../../src/Transport.ts"
import { Transport } from "../../src/Transport.ts"

const test = (name: string, run: Behaviour["run"]) =>
  it.effect(
    name,
    () =>
      Effect.flatMap(Transport, (transport) => Effect.flatMap(Harness.make(transport, "virtual"), run)).pipe(
        Effect.scoped,
        Effect.provide(Memory.layer())
      )
  )

const bound = (h: Harness): Source => ({ _tag: "durable", stream: h.stream, consumer: "c", create: Option.none() })

describe("a stream", () => {
  test("has no first sequence until it has had a message, or was emptied", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      assert.deepInclude(yield* h.streamInfo(), { firstSequence: 0, lastSequence: 0 })
      yield* h.admin.purgeStream(h.stream, { keep: 1 })
      assert.strictEqual((yield* h.streamInfo()).firstSequence, 0)
      yield* h.admin.purgeStream(h.stream)
      assert.deepInclude(yield* h.streamInfo(), { firstSequence: 1, lastSequence: 0 })
    }))

  test("counts in a file 18 bytes more per message than in memory", (h) =>
    Effect.gen(function*() {
      const bytes = (storage: "file" | "memory") =>
        Effect.gen(function*() {
          yield* h.create({ storage })
          yield* h.publish(h.message("a", "1", { id: "1" }))
          const info = yield* h.streamInfo()
          yield* h.admin.deleteStream(h.stream)
          return info.bytes
        })
      assert.strictEqual((yield* bytes("file")) - (yield* bytes("memory")), 18)
    }))

  test("that is full of bytes lets a message in that takes the place of a larger one", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxBytes: 1_500, maxPerSubject: 1, discard: "new" })
      const publish = (rest: string, size: number) => h.publish(h.message(rest, "x".repeat(size)))
      yield* publish("a", 600)
      yield* publish("b", 600)
      assert.include(refusalOf(yield* publish("b", 700)), { _tag: "Rejected", code: 10_077 })
      assert.strictEqual(sequenceOf(yield* publish("b", 500)), 3)
    }))

  test("takes what fills its bytes exactly, and no more", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxBytes: 10_000, discard: "new" })
      yield* h.publish(h.message("a", "", { id: "1" }))
      const { bytes } = yield* h.streamInfo()
      yield* h.admin.deleteStream(h.stream)
      yield* h.create({ maxBytes: 2 * bytes, discard: "new" })
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", "", { id: "1" }))), 1)
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", "", { id: "2" }))), 2)
      assert.include(refusalOf(yield* h.publish(h.message("a", "", { id: "3" }))), { _tag: "Rejected", code: 10_077 })
    }))

  test("of interest is purged when its last consumer is deleted, also if it was empty", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "interest" })
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c"))
      yield* h.admin.deleteConsumer(h.stream, "c")
      assert.deepInclude(yield* h.streamInfo(), { firstSequence: 1, lastSequence: 0 })
    }))

  test("of interest keeps what a consumer that is deleted had given up below its floor", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "interest" })
      yield* h.admin.createConsumer(h.stream, Topology.consumer("other", { filters: [h.subject("x")] }))
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { maxDeliver: 1 }))
      const opened = yield* h.open(bound(h), { queue: Queue.suspend({ messages: 10 }) })
      yield* h.store(["a", "1"], ["a", "2"], ["a", "3"])
      const [first, second] = yield* h.take(opened, 3)
      yield* h.settle(opened, [second!], Settlement.ack)
      yield* h.settle(opened, [first!], Settlement.nak())
      // The first is given up, the second done: the floor is at 2, and what is looked through begins there.
      yield* h.advance("10 millis")
      yield* h.admin.deleteConsumer(h.stream, "c")
      assert.deepInclude(yield* h.streamInfo(), { firstSequence: 1, lastSequence: 3, messages: 1 })
      yield* h.reason(opened.inlet.take(10))
    }))

  test("that is full still takes, and forgets, what nobody wants", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "interest", maxMessages: 1, discard: "new" })
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { filters: [h.subject("a")] }))
      yield* h.store(["a", "1"])
      assert.include(refusalOf(yield* h.publish(h.message("a", ""))), { _tag: "Rejected", code: 10_077 })
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("b", ""))), 2)
    }))

  test("in memory does not tell where there is no message to delete", (h) =>
    Effect.gen(function*() {
      const code = (storage: "file" | "memory") =>
        Effect.gen(function*() {
          yield* h.create({ storage })
          const reason = yield* h.reason(h.admin.deleteMessage(h.stream, 1))
          yield* h.admin.deleteStream(h.stream)
          return reason._tag === "Rejected" ? reason.code : 0
        })
      assert.deepStrictEqual([yield* code("memory"), yield* code("file")], [10_043, 10_057])
    }))
})

describe("a consumer", () => {
  test("that begins farther on than the stream reaches does not count what comes before", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { start: { _tag: "sequence", sequence: 3 } }))
      yield* h.storeMany(3)
      assert.strictEqual((yield* h.info()).pending, 1)
      assert.deepStrictEqual(texts(yield* h.process(yield* h.open(bound(h)), 1)), ["3"])
    }))

  test("without a filter begins with the last sequence, also if its message is gone", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(2)
      yield* h.admin.deleteMessage(h.stream, 2)
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { start: { _tag: "last" } }))
      yield* h.admin.createConsumer(
        h.stream,
        Topology.consumer("f", { filters: [h.subject(">")], start: { _tag: "last" } })
      )
      assert.deepStrictEqual([(yield* h.info()).pending, (yield* h.info("f")).pending], [0, 1])
    }))

  test("of a work queue is asked where it begins before it is asked what it shares", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "workqueue" })
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c"))
      const reason = yield* h.reason(
        h.admin.createConsumer(h.stream, Topology.consumer("d", { start: { _tag: "new" } }))
      )
      assert.include(reason, { _tag: "Rejected", code: 10_101 })
    }))

  test("that exists is made again without a word, unless it differs in more than where it began", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c"))
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { start: { _tag: "new" } }))
      const reason = yield* h.reason(h.admin.createConsumer(h.stream, Topology.consumer("c", { maxDeliver: 2 })))
      assert.strictEqual(reason._tag, "Conflict")
    }))

  test("counts what was given back on its last delivery until somebody asks for more", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const close = (messages: number) =>
        Effect.gen(function*() {
          const opened = yield* h.read({ consumer: { maxDeliver: 1 }, queue: Queue.suspend({ messages }) })
          yield* h.take(opened, 2)
          yield* opened.close
          yield* h.advance("10 millis")
          return (yield* h.info()).ackPending
        })
      // A full reader has nothing on its way; what one that is not full has asked for is still there when it has gone.
      assert.strictEqual(yield* close(2), 2)
      assert.strictEqual(yield* close(8), 0)
    }))

  test("with one ack for a prefix takes everything up to a message that is deleted for acknowledged", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { ack: "all" }))
      const opened = yield* h.open(bound(h), { ack: { _tag: "upTo" } })
      yield* h.take(opened, 4)
      yield* h.admin.deleteMessage(h.stream, 3)
      assert.deepInclude(yield* h.info(), { ackPending: 1, ackFloor: 3 })
    }))

  test("of a reader that was refused is not left behind", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "interest" })
      const source: Source = { _tag: "ephemeral", stream: h.stream, filters: [], start: { _tag: "all" } }
      assert.strictEqual((yield* h.reason(h.open(source, { ack: { _tag: "upTo" } })))._tag, "Invalid")
      yield* h.storeMany(1)
      assert.strictEqual((yield* h.streamInfo()).messages, 0)
    }))
})

describe("a reader", () => {
  test("gets no answer to what a consumer of the same name has not delivered yet", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(2)
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c"))
      const opened = yield* h.open(bound(h), { queue: Queue.suspend({ messages: 2 }), ack: { _tag: "confirmed" } })
      const held = yield* h.take(opened, 2)
      yield* h.admin.deleteConsumer(h.stream, "c")
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c"))
      yield* opened.inlet.stop
      const settling = yield* Effect.forkChild(
        opened.inlet.settle(held.map((delivery) => ({ delivery, settlement: Settlement.ack }))),
        { startImmediately: true }
      )
      yield* h.advance("1 second")
      assert.isUndefined(settling.pollUnsafe())
      assert.strictEqual((yield* h.info()).pending, 2)
      yield* h.advance("20 seconds")
      assert.deepInclude(opened.inlet.ledger(), { settled: 2, unconfirmed: 2 })
    }))

  test("whose consumer is gone makes it anew where it began, not where what is new begins by then", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const opened = yield* h.read({ consumer: { start: { _tag: "new" } } })
      yield* h.admin.deleteConsumer(h.stream, "c")
      yield* h.storeMany(2)
      assert.deepStrictEqual(texts(yield* h.process(opened, 2)), ["1", "2"])
      assert.deepStrictEqual((yield* h.info()).consumer.start, { _tag: "sequence", sequence: 1 })
    }))

  test("in order owes no verdict to anybody, also when the stream is gone", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(2)
      const opened = yield* h.open({ _tag: "ordered", stream: h.stream, filters: [], start: { _tag: "all" } })
      const taken = yield* h.take(opened, 2)
      yield* h.admin.deleteStream(h.stream)
      yield* h.settle(opened, taken.slice(0, 1), Settlement.ack)
      yield* h.advance("5 seconds")
      yield* opened.close
      assert.deepInclude(opened.inlet.ledger(), { settled: 1, returned: 1, unconfirmed: 0 })
    }))

  test("tells a consumer made anew what it knows before it asks for more", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 3 }) })
      yield* h.process(opened, 1)
      for (let time = 0; time < 2; time++) {
        yield* h.admin.deleteConsumer(h.stream, "c")
        yield* h.advance("1 second")
        assert.deepStrictEqual((yield* h.info()).consumer.start, { _tag: "sequence", sequence: 1 })
      }
      yield* h.process(opened, 2)
    }))

  test("that is full learns of the end of its consumer with its next verdict", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(2)
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c"))
      const opened = yield* h.open(bound(h), { queue: Queue.suspend({ messages: 1 }) })
      const [first] = yield* h.take(opened, 1)
      yield* h.admin.deleteConsumer(h.stream, "c")
      yield* h.nothing(opened, "1 second")
      yield* h.settle(opened, [first!], Settlement.ack)
      assert.strictEqual((yield* h.reason(opened.inlet.take(1)))._tag, "ConsumerNotFound")
    }))

  test("that is full of what was acknowledged on enqueue asks for more as soon as it takes", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 2 }), ack: { _tag: "onEnqueue" } })
      for (let turn = 0; turn < 10; turn++) {
        yield* h.advance("1 millis")
      }
      assert.strictEqual(opened.inlet.ledger().delivered, 2)
      yield* h.take(opened, 2)
      for (let turn = 0; turn < 10; turn++) {
        yield* h.advance("1 millis")
      }
      // Not at the next tick of the intake, a quarter of a second later.
      assert.strictEqual(opened.inlet.ledger().delivered, 4)
    }))
})
