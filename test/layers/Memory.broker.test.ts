import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Headers from "../../src/Headers.ts"
import * as Memory from "../../src/layers/Memory.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { Harness, numbers, refusalOf, sequenceOf, textOf, texts } from "../../src/testing/harness.ts"
import * as Topology from "../../src/Topology.ts"
import type { TransportError } from "../../src/TransportError.ts"

const deleted = "Unacknowledged message was deleted"

type Program = (
  h: Harness,
  broker: Memory.Broker["Service"],
  connection: Memory.Connection
) => Effect.Effect<void, TransportError, Scope.Scope>

/** A test with the broker in its hands, and one client. */
const test = (name: string, program: Program) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      const broker = yield* Memory.Broker
      const connection = yield* broker.connect
      yield* program(yield* Harness.make(connection.transport, "virtual"), broker, connection)
    }).pipe(Effect.scoped, Effect.provide(Memory.brokerLayer())))

describe("who looks inside", () => {
  test("sees what a stream keeps, as it was published", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.publish(h.message("a", "one", { headers: Headers.set(Headers.empty, "X", "1"), id: "first" }))
      yield* h.advance("3 seconds")
      yield* h.store(["b", "two"])
      yield* broker.topology.deleteMessage(h.stream, 1).pipe(Effect.andThen(h.store(["a", "three"])))
      const found = yield* broker.messages(h.stream)
      assert.deepStrictEqual(
        found.map((one) => [one.sequence, one.subject, new TextDecoder().decode(one.payload), one.timestamp]),
        [[2, h.subject("b"), "two", 3_000], [3, h.subject("a"), "three", 3_000]]
      )
      found[0]!.payload.fill(0)
      assert.deepStrictEqual(texts(yield* h.process(yield* h.read(), 2)), ["two", "three"])
      assert.strictEqual((yield* h.reason(broker.messages("NONE")))._tag, "StreamNotFound")
    }))

  test("sees which deliveries nobody has answered, and until when", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const consumer = { ackWait: "10 seconds" } as const
      const opened = yield* h.read({ consumer, queue: Queue.suspend({ messages: 4 }), timeBudgetMs: 0 })
      const [a, b, c] = yield* h.take(opened, 4)
      yield* h.settle(opened, [a!], Settlement.ack)
      yield* h.settle(opened, [b!], Settlement.nak("1 minute"))
      yield* opened.inlet.stop
      yield* h.settle(opened, [c!], Settlement.nak())
      yield* h.advance("1 second")
      assert.deepStrictEqual(yield* broker.unanswered(h.stream, "c"), [
        { sequence: 2, deliveries: 1, state: "delayed", until: 60_000 },
        { sequence: 3, deliveries: 1, state: "due", until: 0 },
        { sequence: 4, deliveries: 1, state: "leased", until: 10_000 }
      ])
      yield* h.advance("10 seconds")
      const states = (yield* broker.unanswered(h.stream, "c")).map(({ state, until }) => [state, until])
      assert.deepStrictEqual(states, [["delayed", 60_000], ["due", 0], ["due", 10_000]])
      assert.strictEqual((yield* h.reason(broker.unanswered(h.stream, "none")))._tag, "ConsumerNotFound")
    }))

  test("may administrate while everybody is cut off", (h, broker) =>
    Effect.gen(function*() {
      yield* broker.disconnect
      yield* broker.topology.createStream(Topology.stream(h.stream, { subjects: [h.subject(">")] }))
      assert.strictEqual((yield* h.reason(h.streamInfo()))._tag, "Disconnected")
      yield* broker.reconnect
      assert.strictEqual((yield* h.streamInfo()).messages, 0)
    }))

  test("may corrupt what is stored", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", "1"], ["a", ""], ["a", "3"])
      yield* broker.corrupt(h.stream, 1)
      yield* broker.corrupt(h.stream, 2)
      const taken = texts(yield* h.process(yield* h.read(), 3))
      assert.notInclude(["1", ""], taken[0])
      assert.notInclude(["1", ""], taken[1])
      assert.strictEqual(taken[2], "3")
      assert.include(yield* h.reason(broker.corrupt(h.stream, 9)), { _tag: "Rejected", code: 10_057 })
    }))
})

describe("a leader that steps down", () => {
  test("leaves publishes without an answer until there is another one", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* broker.stepDown(h.stream, { electionTime: "1 second" })
      assert.strictEqual(refusalOf(yield* h.publish(h.message("a", "")))._tag, "NoResponders")
      yield* h.advance("999 millis")
      assert.strictEqual(refusalOf(yield* h.publish(h.message("a", "")))._tag, "NoResponders")
      yield* h.advance("1 millis")
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", ""))), 1)
      assert.strictEqual((yield* h.reason(broker.stepDown("NONE")))._tag, "StreamNotFound")
    }))

  test("takes no delivery and no verdict along", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(6)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 3 }) })
      const taken = yield* h.take(opened, 3)
      yield* broker.stepDown(h.stream, { electionTime: "1 second" })
      yield* h.settle(opened, taken, Settlement.ack)
      yield* h.nothing(opened, "900 millis")
      assert.deepInclude(yield* h.info(), { ackPending: 3, waiting: 0 })
      yield* h.advance("2 seconds")
      assert.deepStrictEqual(texts(yield* h.process(opened, 3)), numbers(4, 6))
      yield* h.until({ ackFloor: 6, redelivered: 0 })
      assert.deepInclude(opened.inlet.ledger(), { delivered: 6, settled: 6, lost: 0, unconfirmed: 0 })
    }))
})

describe("another leader", () => {
  test(
    "delivers what was due when its lease ends, and what has expired a second after the election",
    (h, broker) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(2)
        const consumer = { ackWait: "10 seconds" } as const
        const opened = yield* h.read({ consumer, queue: Queue.suspend({ messages: 2 }), timeBudgetMs: 0 })
        const [first] = yield* h.take(opened, 2)
        yield* opened.inlet.stop
        yield* h.settle(opened, [first!], Settlement.nak())
        yield* h.advance("4 seconds")
        const states = Effect.map(
          broker.unanswered(h.stream, "c"),
          (all) => all.map(({ state, until }) => [state, until])
        )
        assert.deepStrictEqual(yield* states, [["due", 0], ["leased", 10_000]])
        yield* broker.stepDown(h.stream)
        yield* h.advance("50 millis")
        assert.deepStrictEqual(yield* states, [["leased", 10_000], ["leased", 10_000]])
        yield* broker.stepDown(h.stream, { electionTime: "7 seconds" })
        yield* h.advance("7 seconds")
        assert.deepStrictEqual(yield* states, [["leased", 12_050], ["leased", 12_050]])
      })
  )
})

describe("a restart", () => {
  test(
    "cuts everybody off, and those who were cut off before stay so",
    (h, broker, connection) =>
      Effect.gen(function*() {
        yield* h.create({ storage: "file" })
        const other = yield* broker.connect
        yield* connection.disconnect
        yield* broker.restart({ downFor: "5 seconds" })
        const now = (one: Memory.Connection) =>
          Effect.map(Stream.runCollect(Stream.take(one.transport.status, 1)), ([status]) => status?._tag)
        assert.deepStrictEqual([yield* now(connection), yield* now(other)], ["Connecting", "Connecting"])
        yield* other.reconnect
        const late = yield* broker.connect
        assert.deepStrictEqual([yield* now(other), yield* now(late)], ["Connecting", "Connecting"])
        yield* h.advance("5 seconds")
        const all = [yield* now(connection), yield* now(other), yield* now(late)]
        assert.deepStrictEqual(all, ["Connecting", "Connected", "Connected"])
      })
  )

  test("keeps what lies in files: messages, consumers, unanswered deliveries", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create({ storage: "file" })
      yield* h.storeMany(4)
      const opened = yield* h.read({ consumer: { ackWait: "1 minute" }, queue: Queue.suspend({ messages: 3 }) })
      const taken = yield* h.take(opened, 3)
      yield* h.settle(opened, taken.slice(0, 1), Settlement.ack)
      yield* h.until({ ackFloor: 1 })
      yield* broker.restart({ downFor: "3 seconds" })
      yield* h.advance("3 seconds")
      assert.deepInclude(yield* h.info(), { ackPending: 3, ackFloor: 1, redelivered: 0 })
      yield* h.settle(opened, taken.slice(1), Settlement.ack)
      assert.deepStrictEqual((yield* h.process(opened, 1)).map(textOf), ["4"])
      yield* h.until({ ackFloor: 4, ackPending: 0 })
      assert.strictEqual((yield* broker.messages(h.stream)).length, 4)
    }))

  test("knows the ids of the messages that are left, and no others", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create({ storage: "file" })
      const [kept, removed] = [h.message("a", ""), h.message("a", "")]
      yield* h.publish(kept)
      yield* h.publish(removed)
      yield* h.admin.deleteMessage(h.stream, 2)
      assert.deepInclude(yield* h.publish(removed), { sequence: 2, duplicate: true })
      yield* broker.restart()
      assert.deepInclude(yield* h.publish(kept), { sequence: 1, duplicate: true })
      assert.deepInclude(yield* h.publish(removed), { sequence: 3, duplicate: false })
    }))

  test("loses what lies in memory: streams, and ephemeral consumers", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create({ storage: "memory" })
      yield* broker.topology.createStream(Topology.stream("FILE", { subjects: ["file"] }))
      const ephemeral = yield* h.open({ _tag: "ephemeral", stream: "FILE", filters: [], start: { _tag: "all" } })
      yield* h.transport.publish([h.message("", "1", { subject: "file" })])
      const [first] = yield* h.process(ephemeral, 1)
      yield* broker.restart()
      assert.isTrue(Option.isNone(yield* broker.topology.describeStream(h.stream)))
      assert.isTrue(Option.isNone(yield* broker.topology.describeConsumer("FILE", first!.consumer)))
      yield* h.transport.publish([h.message("", "2", { subject: "file" })])
      assert.deepStrictEqual(texts(yield* h.process(ephemeral, 1)), ["2"])
    }))
})

describe("advisories", () => {
  test("tell of streams, consumers and leaders, from the subscription on", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create()
      const seen = yield* Effect.forkChild(Stream.runCollect(Stream.take(broker.advisories, 8)), {
        startImmediately: true
      })
      yield* h.advance("1 second")
      const { topology } = broker
      yield* topology.createStream(Topology.stream("S", { subjects: ["s"] }))
      yield* topology.createConsumer("S", Topology.consumer("c"))
      yield* topology.createConsumer("S", Topology.consumer("c"))
      yield* broker.stepDown("S", { electionTime: "1 second" })
      yield* h.advance("1 second")
      yield* topology.deleteConsumer("S", "c")
      yield* topology.createConsumer("S", Topology.consumer("d"))
      yield* topology.deleteStream("S")
      assert.deepStrictEqual(yield* h.within(Fiber.join(seen), () => "some are missing"), [
        { _tag: "StreamCreated", stream: "S", at: 1_000 },
        { _tag: "ConsumerCreated", stream: "S", consumer: "c", at: 1_000 },
        { _tag: "StreamLeader", stream: "S", at: 2_000 },
        { _tag: "ConsumerLeader", stream: "S", consumer: "c", at: 2_000 },
        { _tag: "ConsumerDeleted", stream: "S", consumer: "c", at: 2_000 },
        { _tag: "ConsumerCreated", stream: "S", consumer: "d", at: 2_000 },
        { _tag: "ConsumerDeleted", stream: "S", consumer: "d", at: 2_000 },
        { _tag: "StreamDeleted", stream: "S", at: 2_000 }
      ])
    }))

  test("tell what becomes of deliveries, with the reader's reason", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create({ maxMessages: 4 })
      yield* h.storeMany(4)
      const opened = yield* h.read({ consumer: { maxDeliver: 2 }, queue: Queue.suspend({ messages: 4 }) })
      const [a, b, c, d] = yield* h.take(opened, 4)
      const seen = yield* Effect.forkChild(Stream.runCollect(Stream.take(broker.advisories, 6)), {
        startImmediately: true
      })
      yield* h.settle(opened, [b!], Settlement.term("poison"))
      yield* h.advance("1 second")
      yield* h.settle(opened, [c!], Settlement.nak())
      yield* h.settle(opened, yield* h.take(opened, 1), Settlement.nak())
      yield* h.advance("1 second")
      yield* h.store(["m.5", "5"])
      yield* h.admin.deleteMessage(h.stream, d!.streamSequence)
      assert.strictEqual(a?.streamSequence, 1)
      const of = { stream: h.stream, consumer: "c" }
      assert.deepStrictEqual(yield* h.within(Fiber.join(seen), () => "some are missing"), [
        { ...of, _tag: "Terminated", sequence: 2, consumerSequence: 2, deliveries: 1, reason: "poison", at: 0 },
        { ...of, _tag: "Naked", sequence: 3, consumerSequence: 3, deliveries: 1, at: 1_000 },
        { ...of, _tag: "Naked", sequence: 3, consumerSequence: 5, deliveries: 2, at: 1_000 },
        { ...of, _tag: "MaxDeliveries", sequence: 3, deliveries: 2, at: 1_000 },
        { ...of, _tag: "Terminated", sequence: 1, consumerSequence: 1, deliveries: 1, reason: deleted, at: 2_000 },
        { ...of, _tag: "Terminated", sequence: 4, consumerSequence: 4, deliveries: 1, reason: deleted, at: 2_000 }
      ])
    }))

  test("are missed by whoever does not listen, and cost nobody else", (h, broker) =>
    Effect.gen(function*() {
      yield* h.create()
      const slow = yield* Effect.forkChild(
        Stream.runForEach(broker.advisories, () => Effect.never),
        { startImmediately: true }
      )
      yield* h.advance("1 millis")
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 500 }) })
      for (let round = 0; round < 12; round++) {
        yield* h.storeMany(500)
        yield* h.settle(opened, yield* h.take(opened, 500), Settlement.term("no"))
      }
      yield* h.until({ ackFloor: 6_000 })
      const late = yield* Effect.forkChild(Stream.runCollect(Stream.take(broker.advisories, 1)), {
        startImmediately: true
      })
      yield* broker.topology.deleteConsumer(h.stream, "c")
      assert.strictEqual((yield* Fiber.join(late))[0]?._tag, "ConsumerDeleted")
      yield* Fiber.interrupt(slow)
    }))
})
