/** What a stream keeps, and how streams and consumers come and go. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import * as Topology from "../Topology.ts"
import { type Behaviour, behaviour, sequenceOf, texts } from "./harness.ts"

const limits: ReadonlyArray<Behaviour> = [
  behaviour("keeps the newest messages of a stream with a limit", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxMessages: 3 })
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c"))
      yield* h.storeMany(5)
      yield* h.until({ pending: 3 })
      const { firstSequence, lastSequence, messages } = yield* h.streamInfo()
      assert.deepStrictEqual({ firstSequence, lastSequence, messages }, {
        firstSequence: 3,
        lastSequence: 5,
        messages: 3
      })
      assert.deepStrictEqual(texts(yield* h.process(yield* h.read(), 3)), ["3", "4", "5"])
    })),
  behaviour("keeps the newest messages of each subject", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxPerSubject: 2 })
      yield* h.store(["a", "1"], ["b", "2"], ["a", "3"], ["a", "4"], ["b", "5"], ["a", "6"])
      assert.deepStrictEqual(texts(yield* h.process(yield* h.read(), 4)), ["2", "4", "5", "6"])
    })),
  behaviour("forgets messages that are too old", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxAge: "1 second", duplicateWindow: "1 second" })
      yield* h.storeMany(3)
      assert.strictEqual((yield* h.streamInfo()).messages, 3)
      yield* h.advance("1 second")
      yield* h.eventually(h.streamInfo(), (info) => assert.strictEqual(info.messages, 0))
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("m.4", "4"))), 4)
      assert.deepStrictEqual(texts(yield* h.process(yield* h.read(), 1)), ["4"])
    })),
  behaviour("waits no more for an answer to what the stream has forgotten", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxMessages: 3 })
      yield* h.storeMany(3)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 3 }) })
      const taken = yield* h.take(opened, 3)
      yield* h.storeMany(2)
      yield* h.until({ ackFloor: 2, ackPending: 1, pending: 2 })
      yield* h.settle(opened, taken, Settlement.nak())
      const rest = yield* h.process(opened, 3)
      assert.deepStrictEqual(rest.map((delivery) => delivery.streamSequence).toSorted(), [3, 4, 5])
      yield* h.until({ ackFloor: 5, ackPending: 0 })
    })),
  behaviour("removes from a work queue what was acknowledged", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "workqueue" })
      yield* h.storeMany(3)
      const opened = yield* h.read()
      const taken = yield* h.process(opened, 2)
      yield* h.eventually(h.streamInfo(), (info) => assert.deepInclude(info, { messages: 1, firstSequence: 3 }))
      assert.deepStrictEqual(texts(taken), ["1", "2"])
    })),
  behaviour(
    "keeps under interest what somebody has yet to acknowledge, and nothing else",
    (h) =>
      Effect.gen(function*() {
        yield* h.create({ retention: "interest" })
        assert.strictEqual(sequenceOf(yield* h.publish(h.message("nobody", ""))), 1)
        assert.strictEqual((yield* h.streamInfo()).messages, 0)
        const [one, two] = [yield* h.read({ name: "one" }), yield* h.read({ name: "two" })]
        yield* h.storeMany(2)
        yield* h.process(one, 2)
        yield* h.until({ ackPending: 0, pending: 0 }, "one")
        assert.strictEqual((yield* h.streamInfo()).messages, 2)
        yield* h.process(two, 2)
        yield* h.eventually(h.streamInfo(), (info) => assert.strictEqual(info.messages, 0))
      })
  )
]

const administration: ReadonlyArray<Behaviour> = [
  behaviour("creates a stream as declared, and again without harm", (h) =>
    Effect.gen(function*() {
      const declared = yield* h.create({ maxMessages: 100, maxBytes: 1_000_000, maxPerSubject: 10, discard: "new" })
      yield* h.admin.createStream(declared)
      const { firstSequence, lastSequence, messages, stream } = yield* h.streamInfo()
      assert.deepStrictEqual(Topology.streamDifferences(declared, stream), [])
      assert.deepInclude({ lastSequence, messages }, { lastSequence: 0, messages: 0 })
      assert.isAtMost(firstSequence, 1)
    })),
  behaviour("does not change a stream that stands there with other settings", (h) =>
    Effect.gen(function*() {
      const declared = yield* h.create({ maxMessages: 100 })
      const reason = yield* h.reason(h.admin.createStream({ ...declared, maxMessages: 50 }))
      assert.isFalse(reason.isRetryable)
      assert.strictEqual((yield* h.streamInfo()).stream.maxMessages, 100)
    })),
  behaviour("refuses subjects that another stream takes", (h) =>
    Effect.gen(function*() {
      const declared = yield* h.create()
      const other = { ...declared, name: `${h.stream}_other`, subjects: [h.subject("a.*")] }
      yield* h.forgetLater(other.name)
      assert.isFalse((yield* h.reason(h.admin.createStream(other))).isRetryable)
      assert.isTrue(Option.isNone(yield* h.admin.describeStream(other.name)))
    })),
  behaviour("creates a consumer as declared, and again without harm", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const declared = Topology.consumer("c", {
        filters: [h.subject("m.*")],
        start: { _tag: "sequence", sequence: 3 },
        ackWait: "7 seconds",
        maxAckPending: 77,
        maxDeliver: 7,
        inactiveThreshold: "70 seconds"
      })
      yield* h.admin.createConsumer(h.stream, declared)
      yield* h.admin.createConsumer(h.stream, declared)
      const info = yield* h.info()
      assert.deepStrictEqual(Topology.consumerDifferences(declared, info.consumer), [])
      assert.deepInclude(info, { ackPending: 0, pending: 2, redelivered: 0, delivered: 2 })
    })),
  behaviour("forgets a consumer that nobody pulls from for too long, and no other", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      for (const name of ["idle", "busy"]) {
        yield* h.admin.createConsumer(h.stream, Topology.consumer(name, { inactiveThreshold: "1 second" }))
      }
      const opened = yield* h.open({ _tag: "durable", stream: h.stream, consumer: "busy", create: Option.none() })
      yield* h.advance("500 millis")
      yield* h.info("idle")
      yield* h.advance("1 second")
      yield* h.eventually(
        h.admin.describeConsumer(h.stream, "idle"),
        (found) => assert.isTrue(Option.isNone(found), "it is still there")
      )
      yield* h.nothing(opened, "1 second")
      yield* h.storeMany(1)
      yield* h.process(opened, 1)
    })),
  behaviour("says that something is not there", (h) =>
    Effect.gen(function*() {
      assert.isTrue(Option.isNone(yield* h.admin.describeStream(h.stream)))
      assert.strictEqual((yield* h.reason(h.admin.describeConsumer(h.stream, "c")))._tag, "StreamNotFound")
      assert.strictEqual((yield* h.reason(h.admin.deleteStream(h.stream)))._tag, "StreamNotFound")
      assert.strictEqual(
        (yield* h.reason(h.admin.createConsumer(h.stream, Topology.consumer("c"))))._tag,
        "StreamNotFound"
      )
      yield* h.create()
      assert.isTrue(Option.isNone(yield* h.admin.describeConsumer(h.stream, "c")))
      assert.strictEqual((yield* h.reason(h.admin.deleteConsumer(h.stream, "c")))._tag, "ConsumerNotFound")
    })),
  behaviour("begins anew after a stream was deleted", (h) =>
    Effect.gen(function*() {
      const declared = yield* h.create()
      yield* h.storeMany(3)
      yield* h.admin.deleteStream(h.stream)
      yield* h.admin.createStream(declared)
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", ""))), 1)
    })),
  behaviour("says that it is connected", (h) =>
    Effect.gen(function*() {
      const [status] = yield* h.within(
        Stream.runCollect(Stream.take(h.transport.status, 1)),
        () => "the transport does not say where it stands"
      )
      assert.strictEqual(status?._tag, "Connected")
    }))
]

export const keeping: ReadonlyArray<Behaviour> = [...limits, ...administration]
