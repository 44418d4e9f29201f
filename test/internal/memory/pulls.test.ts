import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/testing/TestClock"
import { Broker } from "../../../src/internal/memory/broker.ts"
import type { Puller } from "../../../src/internal/memory/consumer.ts"
import type { Ask } from "../../../src/internal/memory/requests.ts"
import * as Topology from "../../../src/Topology.ts"

const never = Number.POSITIVE_INFINITY
const plenty = { bytes: 1_000_000, expiresAt: never }

/** A consumer, and what its pulls get: messages by sequence and delivery, and the end of each pull. */
const setup = (options: Parameters<typeof Topology.consumer>[1] = {}, more: Partial<Topology.Stream> = {}) =>
  Effect.gen(function*() {
    const broker = new Broker({
      clock: yield* Clock.Clock,
      scheduler: yield* Scheduler.Scheduler,
      context: yield* Effect.context<never>(),
      maxPayload: 1_024,
      absentWithinMs: 0
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => broker.close()))
    broker.createStream(Topology.stream("S", { subjects: ["s"], ...more }))
    const consumer = Result.getOrThrow(broker.createConsumer("S", Topology.consumer("C", options)))
    let published = 0
    const publish = (count = 1, bytes = 1, subject = "s") => {
      for (let n = 0; n < count; n++) {
        const message = { subject, id: `m${++published}`, payload: new Uint8Array(bytes), expect: undefined }
        broker.publish({ ...message, headers: new Uint8Array(0) })
      }
    }
    const got: Array<string> = []
    const pull = (name: string, ask: Partial<Ask> = {}) => {
      const puller: Puller = {
        deliver: (_, { deliveries, sequence }) => got.push(`${name} ${sequence}/${deliveries}`),
        returned: (messages, _bytes, why) => got.push(`${name} ${why} ${messages}`),
        lost: () => {}
      }
      consumer.pull(puller, { messages: 1, ...plenty, ...ask })
    }
    const turn = Effect.map(TestClock.adjust(1), () => got.splice(0))
    return { broker, consumer, publish, pull, turn }
  })

const address = (sequence: number, consumerSequence = sequence, deliveries = 1) => ({
  sequence,
  consumerSequence,
  deliveries
})

describe("a pull", () => {
  it.effect("ends when its time is over: 408", () =>
    Effect.gen(function*() {
      const { pull, turn } = yield* setup()
      pull("a", { messages: 5, expiresAt: 1_000 })
      yield* TestClock.adjust(998)
      assert.deepStrictEqual(yield* turn, [])
      assert.deepStrictEqual(yield* turn, ["a expired 5"])
    }))

  it.effect("that would not wait ends at once where nothing is: 404", () =>
    Effect.gen(function*() {
      const { pull, publish, turn } = yield* setup()
      pull("a", { noWait: true })
      assert.deepStrictEqual(yield* turn, ["a empty 1"])
      publish(2)
      pull("b", { messages: 5, noWait: true })
      assert.deepStrictEqual(yield* turn, ["b 1/1", "b 2/1", "b empty 3"])
    }))

  it.effect("that would not wait, and has time, waits for the first message only", () =>
    Effect.gen(function*() {
      const { pull, publish, turn } = yield* setup()
      pull("a", { messages: 5, noWait: true, expiresAt: 10_000 })
      assert.deepStrictEqual(yield* turn, [])
      publish(1)
      assert.deepStrictEqual(yield* turn, ["a 1/1", "a empty 4"])
    }))

  it.effect("that would not wait gives way to those before it: 408", () =>
    Effect.gen(function*() {
      const { broker, pull, publish, turn } = yield* setup()
      pull("a", { messages: 5 })
      publish(1)
      pull("b", { noWait: true })
      assert.deepStrictEqual(yield* turn, ["b busy 1", "a 1/1"])
      broker.close()
    }))

  it.effect("ends when the next message is too large for what it has left: 409", () =>
    Effect.gen(function*() {
      const { pull, publish, turn } = yield* setup()
      publish(3, 300)
      pull("a", { messages: 5, bytes: 800 })
      assert.deepStrictEqual(yield* turn, ["a 1/1", "a 2/1", "a bytes 3"])
    }))

  it.effect("beyond the limit is refused, until one has ended: 409", () =>
    Effect.gen(function*() {
      const { consumer, pull, publish, turn } = yield* setup({ maxWaiting: 2 })
      pull("a")
      pull("b", { expiresAt: 1_000 })
      pull("c")
      assert.deepStrictEqual(yield* turn, ["c full 1"])
      assert.strictEqual(consumer.info.waiting, 2)
      yield* TestClock.adjust("1 second")
      pull("c")
      publish(2)
      assert.deepStrictEqual(yield* turn, ["b expired 1", "a 1/1", "a served 0", "c 2/1", "c served 0"])
    }))

  it.effect("ends when the leader steps down, and gets no answer until there is one: 409, 503", () =>
    Effect.gen(function*() {
      const { broker, pull, publish, turn } = yield* setup()
      publish(1)
      yield* turn
      pull("a", { messages: 2 })
      assert.deepStrictEqual(yield* turn, ["a 1/1"])
      broker.stepDown("S", 1_000)
      pull("b")
      assert.deepStrictEqual(yield* turn, ["a leader 1", "b nobody 1"])
      yield* TestClock.adjust("1 second")
      publish(1)
      pull("c")
      assert.deepStrictEqual(yield* turn, ["c 2/1", "c served 0"])
    }))

  it.effect("takes turns with others, one message each", () =>
    Effect.gen(function*() {
      const { pull, publish, turn } = yield* setup()
      pull("a", { messages: 3 })
      pull("b", { messages: 1 })
      pull("c", { messages: 2 })
      publish(6)
      const served = (yield* turn).filter((line) => line.includes("/"))
      assert.deepStrictEqual(served, ["a 1/1", "b 2/1", "c 3/1", "a 4/1", "c 5/1", "a 6/1"])
    }))
})

describe("as measured on nats-server 2.15, a consumer", () => {
  it.effect("gives up what comes only once when its lease ends, and anything else when its turn comes", () =>
    Effect.gen(function*() {
      const once = yield* setup({ ackWait: 1_000, maxDeliver: 1 })
      once.publish(3)
      once.pull("a", { messages: 3 })
      yield* once.turn
      once.consumer.ack(address(2))
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude(once.consumer.info, { ackPending: 0, redelivered: 0, ackFloor: 0, delivered: 3 })
      once.consumer.ack(address(1))
      assert.deepInclude(once.consumer.info, { ackPending: 0, redelivered: 0, ackFloor: 0 })
      const twice = yield* setup({ ackWait: 1_000, maxDeliver: 2 })
      twice.publish(2)
      for (const _ of [1, 2]) {
        twice.pull("a", { messages: 2 })
        yield* TestClock.adjust("2 seconds")
      }
      assert.deepInclude(twice.consumer.info, { ackPending: 2, redelivered: 2, ackFloor: 0, pending: 0 })
      twice.pull("b")
      yield* twice.turn
      assert.deepInclude(twice.consumer.info, { ackPending: 0, redelivered: 2, ackFloor: 0, waiting: 1 })
    }))

  it.effect("counts a nak's delay from the first backoff, and a renewal by the present one", () =>
    Effect.gen(function*() {
      const { consumer, publish, pull, turn } = yield* setup({ backoff: [200, 800, 400] })
      publish(1)
      pull("a", { messages: 10 })
      assert.deepStrictEqual(yield* turn, ["a 1/1"])
      consumer.nak(address(1, 1, 1), 100)
      yield* TestClock.adjust(98)
      assert.deepStrictEqual(yield* turn, [])
      assert.deepStrictEqual(yield* turn, ["a 1/2"])
      consumer.nak(address(1, 2, 2), 100)
      yield* TestClock.adjust(698)
      assert.deepStrictEqual(yield* turn, [])
      assert.deepStrictEqual(yield* turn, ["a 1/3"])
      yield* TestClock.adjust(300)
      consumer.extend(1)
      yield* TestClock.adjust(398)
      assert.deepStrictEqual(yield* turn, [])
      assert.deepStrictEqual(yield* turn, ["a 1/4"])
    }))

  it.effect("keeps what is due in its queue, whatever is said, but for a delay", () =>
    Effect.gen(function*() {
      const { consumer, publish, pull, turn } = yield* setup({ ackWait: 300 })
      publish(3)
      pull("a", { messages: 3 })
      yield* turn
      yield* TestClock.adjust(400)
      consumer.extend(1)
      consumer.nak(address(2), 400)
      consumer.nak(address(3), 0)
      pull("b", { messages: 3 })
      assert.deepStrictEqual(yield* turn, ["b 1/2", "b 3/2"])
    }))

  it.effect("does not hear an answer to what it has not delivered yet, whatever it acknowledges by", () =>
    Effect.gen(function*() {
      for (const ack of ["explicit", "all"] as const) {
        const { consumer, publish, pull, turn } = yield* setup({ ack, ackWait: 1_000 })
        publish(10)
        pull("a", { messages: 3 })
        yield* turn
        // Nor does it answer that. To a nak it always does.
        assert.isFalse(consumer.ack(address(6)))
        assert.isFalse(consumer.term(address(6), ""))
        consumer.nak(address(6), 0)
        consumer.nak(address(2, 9), 0)
        assert.deepInclude(consumer.info, { ackFloor: 0, ackPending: 3, delivered: 3 })
        pull("b", { messages: 3 })
        assert.deepStrictEqual(yield* turn, ["b 4/1", "b 5/1", "b 6/1", "b served 0"])
        assert.isTrue(consumer.ack(address(3)))
      }
    }))

  it.effect("takes a message that is removed for one that is acknowledged, under ack all with everything before it", () =>
    Effect.gen(function*() {
      for (const [ack, expected] of [["explicit", [1, 2, 4, 5]], ["all", [4, 5]]] as const) {
        const { broker, consumer, publish, pull, turn } = yield* setup({ ack, ackWait: 1_000 })
        publish(6)
        pull("a", { messages: 5 })
        yield* turn
        broker.deleteMessage("S", 3)
        assert.deepStrictEqual(consumer.unanswered.map(({ sequence }) => sequence), [...expected])
        assert.deepInclude(consumer.info, { ackFloor: ack === "all" ? 3 : 0, ackPending: expected.length })
        broker.halt()
        broker.resume()
        assert.deepStrictEqual(consumer.unanswered.map(({ sequence }) => sequence), [...expected])
      }
    }))

  it.effect("hears no nak below the floor that a purge has raised, and forgets at a restart the acks there", () =>
    Effect.gen(function*() {
      const { broker, consumer, publish, pull, turn } = yield* setup({ ackWait: 1_000 }, { subjects: ["s", "t"] })
      publish(3)
      publish(1, 1, "t")
      publish(1)
      pull("a", { messages: 5 })
      yield* turn
      broker.purgeStream("S", { filter: "t" })
      consumer.nak(address(3), 0)
      consumer.nak(address(5), 0)
      pull("b", { messages: 2 })
      assert.deepStrictEqual(yield* turn, ["b 5/2"])
      consumer.ack(address(1))
      assert.deepInclude(consumer.info, { ackPending: 3 })
      broker.halt()
      broker.resume()
      assert.deepInclude(consumer.info, { ackPending: 4 })
    }))

  it.effect("forgets at a purge what is due, and finds it again when its lease ends", () =>
    Effect.gen(function*() {
      const { broker, consumer, publish, pull, turn } = yield* setup({ ackWait: 700 })
      publish(5)
      pull("a", { messages: 4 })
      yield* turn
      consumer.nak(address(3), 0)
      consumer.nak(address(4), 0)
      broker.purgeStream("S", { upTo: 3 })
      assert.deepInclude(consumer.info, { ackFloor: 2, ackPending: 2, pending: 1 })
      pull("b", { messages: 3 })
      assert.deepStrictEqual(yield* turn, ["b 5/1"])
      yield* TestClock.adjust(696)
      assert.deepStrictEqual(yield* turn, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* turn, ["b 3/2", "b 4/2", "b served 0"])
    }))

  it.effect("is set to the first message that a purge of its subject leaves", () =>
    Effect.gen(function*() {
      const { broker, consumer, publish, pull, turn } = yield* setup({ filters: ["s"] })
      publish(4)
      pull("a", { messages: 2 })
      yield* turn
      broker.purgeStream("S", { filter: "s", upTo: 4 })
      assert.deepInclude(consumer.info, { delivered: 3, ackFloor: 3, ackPending: 0, pending: 1, redelivered: 0 })
      broker.purgeStream("S", { filter: "s" })
      assert.deepInclude(consumer.info, { delivered: 4, ackFloor: 4, ackPending: 0, pending: 0 })
    }))

  it.effect("delivers after a restart what was unanswered when its lease ends, due or not", () =>
    Effect.gen(function*() {
      const { broker, consumer, publish, pull, turn } = yield* setup({ ackWait: 3_000 })
      publish(6)
      pull("a", { messages: 5 })
      yield* turn
      consumer.ack(address(1))
      consumer.ack(address(3))
      consumer.nak(address(4), 6_000)
      consumer.nak(address(5), 0)
      broker.halt()
      yield* TestClock.adjust("2500 millis")
      broker.resume()
      assert.deepInclude(consumer.info, { ackFloor: 1, ackPending: 3, redelivered: 0, delivered: 5, waiting: 0 })
      yield* turn
      pull("b", { messages: 9 })
      assert.deepStrictEqual(yield* turn, ["b 6/1"])
      yield* TestClock.adjust(990)
      assert.deepStrictEqual(yield* turn, [])
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(yield* turn, ["b 2/2", "b 5/2"])
      yield* TestClock.adjust(2_500)
      const later = yield* turn
      assert.include(later, "b 4/2")
    }))
})
