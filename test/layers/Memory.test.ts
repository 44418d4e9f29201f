import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Memory from "../../src/layers/Memory.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { Harness, refusalOf, sequenceOf, texts } from "../../src/testing/harness.ts"
import * as Topology from "../../src/Topology.ts"
import { Transport } from "../../src/Transport.ts"
import type { TransportError } from "../../src/TransportError.ts"

type Program = (h: Harness) => Effect.Effect<void, TransportError, Scope.Scope>

/** A test with a broker of its own. */
const test = (name: string, program: Program, options?: Memory.Options) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      yield* program(yield* Harness.make(yield* Transport, "virtual"))
    }).pipe(Effect.scoped, Effect.provide(Memory.layer(options))))

/** `sequence/delivery` of each. */
const deliveries = (taken: ReadonlyArray<{ readonly streamSequence: number; readonly deliveryCount: number }>) =>
  taken.map(({ deliveryCount, streamSequence }) => `${streamSequence}/${deliveryCount}`)

describe("redelivery, in the order of nats-server", () => {
  test("of returned messages is the order of their return", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(6)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 5 }) })
      const taken = yield* h.take(opened, 5)
      yield* h.settle(opened, [taken[4]!, taken[2]!, taken[3]!], Settlement.nak())
      assert.deepStrictEqual(deliveries(yield* h.take(opened, 3)), ["5/2", "3/2", "4/2"])
    }))

  test("of expired and delayed ones that are due at once is the order of the stream", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const slow = yield* h.read({ consumer: { ackWait: "10 seconds" }, timeBudgetMs: 0 })
      const taken = yield* h.take(slow, 4)
      yield* h.settle(slow, [taken[3]!, taken[0]!, taken[2]!], Settlement.nak("10 seconds"))
      yield* h.until({ ackPending: 4 })
      const other = yield* h.read({ consumer: { ackWait: "10 seconds" } })
      yield* slow.inlet.stop
      yield* h.advance("20 seconds")
      assert.deepStrictEqual(deliveries(yield* h.take(other, 4)), ["1/2", "2/2", "3/2", "4/2"])
    }))

  test("happens at each end of a lease, also when an hour passes at once", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const consumer = { ackWait: "10 minutes", maxDeliver: 4 } as const
      const hold = Effect.gen(function*() {
        const opened = yield* h.read({ consumer, queue: Queue.suspend({ messages: 1 }), timeBudgetMs: 0 })
        return yield* h.take(opened, 1)
      })
      for (const count of [1, 2, 3, 4]) {
        const holding = yield* Effect.forkChild(hold)
        yield* h.advance("10 minutes")
        assert.deepStrictEqual(deliveries(yield* Fiber.join(holding)), [`1/${count}`])
      }
      yield* h.advance("1 hour")
      // It is given up when its turn comes, and counts as delivered again for good.
      assert.deepInclude(yield* h.info(), { ackPending: 1, pending: 0, redelivered: 1 })
      yield* h.nothing(yield* h.read({ consumer }), "1 minute")
      assert.deepInclude(yield* h.info(), { ackPending: 0, pending: 0, redelivered: 1 })
    }))

  test("of a delayed one is off when it was answered in the meantime", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(2)
      const opened = yield* h.read()
      const taken = yield* h.take(opened, 2)
      yield* h.settle(opened, taken, Settlement.nak("1 minute"))
      yield* h.until({ ackPending: 2 })
      yield* h.advance("1 minute")
      const again = yield* h.take(opened, 2)
      yield* h.settle(opened, again.slice(0, 1), Settlement.nak("1 hour"))
      yield* h.settle(opened, again.slice(1), Settlement.ack)
      yield* h.advance("59 minutes")
      assert.deepInclude(yield* h.info(), { ackPending: 1, redelivered: 1 })
      yield* h.nothing(opened, "30 seconds")
      yield* h.advance("1 minute")
      assert.deepStrictEqual(deliveries(yield* h.process(opened, 1)), ["1/3"])
      yield* h.until({ ackPending: 0, redelivered: 0 })
    }))
})

describe("delivery", () => {
  test("takes turns between those who wait", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const [one, two] = [yield* h.read(), yield* h.read()]
      yield* h.advance("100 millis")
      yield* h.storeMany(8)
      yield* h.advance("100 millis")
      assert.deepStrictEqual([one, two].map((opened) => opened.inlet.ledger().delivered), [4, 4])
    }))

  test("begins in a turn of its own, never inside the call that asked for it", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const opened = yield* h.read()
      yield* h.advance("100 millis")
      const delivered = () => opened.inlet.ledger().delivered
      const [receipt, after] = yield* Effect.map(h.publish(h.message("a", "")), (receipt) =>
        [receipt, delivered()] as const)
      assert.strictEqual(sequenceOf(receipt), 1)
      assert.strictEqual(after, 0)
      yield* h.eventually(Effect.sync(delivered), (count) =>
        assert.strictEqual(count, 1))
    }))

  test("lets others run between bursts", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      for (let i = 0; i < 10; i++) {
        yield* h.storeMany(500)
      }
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 5_000 }) })
      const seen = new Set<number>()
      while (opened.inlet.ledger().delivered < 5_000) {
        seen.add(opened.inlet.ledger().delivered)
        yield* Effect.yieldNow
      }
      assert.isAtLeast(seen.size, 4)
    }))

  test("keeps to the bytes that were asked for, and goes on with what they leave", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const payload = new Uint8Array(3_000)
      for (let i = 0; i < 30; i++) {
        yield* h.publish(h.message(`m.${i}`, "", { payload }))
      }
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 1_000, bytes: 20_000 }) })
      yield* h.advance("100 millis")
      assert.isAtMost((yield* h.info()).ackPending, 6)
      assert.isAtLeast((yield* h.info()).ackPending, 4)
      assert.strictEqual((yield* h.process(opened, 30)).length, 30)
    }), { maxPayload: 4_000 })

  test("gives each delivery bytes of its own", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      const opened = yield* h.read()
      const [first] = yield* h.take(opened, 1)
      first!.payload.fill(0)
      yield* h.settle(opened, [first!], Settlement.nak())
      assert.deepStrictEqual(texts(yield* h.process(opened, 1)), ["1"])
    }))

  test("of ten thousand messages, published and acknowledged, is a matter of milliseconds", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const began = performance.now()
      for (let i = 0; i < 20; i++) {
        yield* h.storeMany(500)
      }
      yield* h.process(yield* h.read({ queue: Queue.suspend({ messages: 1_000 }) }), 10_000)
      // Some 100 ms; a scan per message would take many seconds.
      assert.isBelow(performance.now() - began, 3_000)
    }))

  test("of a work queue through which much has gone takes no longer than at its beginning", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "workqueue" })
      const opened = yield* h.read()
      const began = performance.now()
      for (let i = 0; i < 40; i++) {
        yield* h.store(...Array.from({ length: 500 }, (_, j) => ["one", String(i * 500 + j)] as const))
        yield* h.process(opened, 500)
      }
      yield* h.until({ ackPending: 0 })
      assert.deepInclude(yield* h.streamInfo(), { messages: 0, bytes: 0, firstSequence: 20_001, lastSequence: 20_000 })
      assert.isBelow(performance.now() - began, 5_000)
    }))
})

describe("a consumer", () => {
  test("made anew by its reader goes on after what others had finished before", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const first = yield* h.read()
      yield* h.process(first, 3)
      yield* first.close
      const second = yield* h.read()
      yield* h.admin.deleteConsumer(h.stream, "c")
      yield* h.store(["m.4", "4"])
      assert.deepStrictEqual(texts(yield* h.process(second, 1)), ["4"])
    }))

  const refused = (name: string, code: number, wanted: Parameters<typeof Topology.consumer>[1]) =>
    test(`${name} is refused with ${code}`, (h) =>
      Effect.gen(function*() {
        yield* h.create()
        const reason = yield* h.reason(h.admin.createConsumer(h.stream, Topology.consumer("c", wanted)))
        assert.include(reason, { _tag: "Rejected", code })
      }))

  refused("with filters that overlap", 10_138, { filters: ["a.*", "a.b"] })
  refused("with more backoffs than deliveries", 10_116, { backoff: [1, 2, 3], maxDeliver: 2 })
  refused("from the sequence 0", 10_094, { start: { _tag: "sequence", sequence: 0 } })

  test("of a work queue shares no message with another", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "workqueue" })
      const code = (name: string, wanted: Parameters<typeof Topology.consumer>[1] = {}) =>
        Effect.map(Effect.result(h.admin.createConsumer(h.stream, Topology.consumer(name, wanted))), (made) =>
          made._tag === "Success" ? 0 : made.failure.reason._tag === "Rejected" ? made.failure.reason.code : -1)
      const codes = [
        yield* code("none", { ack: "none" }),
        yield* code("all", { ack: "all" }),
        yield* code("new", { start: { _tag: "new" } }),
        yield* code("a", { filters: [h.subject("a")] }),
        yield* code("b", { filters: [h.subject("b")] }),
        yield* code("any", { filters: [h.subject("*")] }),
        yield* code("unfiltered")
      ]
      assert.deepStrictEqual(codes, [10_084, 10_098, 10_101, 0, 0, 10_100, 10_099])
    }))
})

describe("a stream", () => {
  test("forgets under interest what a deleted consumer was the last to want", (h) =>
    Effect.gen(function*() {
      yield* h.create({ retention: "interest" })
      yield* h.admin.createConsumer(h.stream, Topology.consumer("c", { filters: [h.subject("a")] }))
      yield* h.admin.createConsumer(h.stream, Topology.consumer("d"))
      yield* h.store(["a", "1"], ["b", "2"], ["a", "3"])
      yield* h.process(yield* h.open({ _tag: "durable", stream: h.stream, consumer: "c", create: Option.none() }), 1)
      yield* h.until({ ackPending: 1 })
      assert.strictEqual((yield* h.streamInfo()).messages, 3)
      yield* h.admin.deleteConsumer(h.stream, "d")
      assert.deepInclude(yield* h.streamInfo(), { messages: 1, firstSequence: 3 })
    }))

  test("that discards the new still makes room within a full subject", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxMessages: 2, maxPerSubject: 1, discard: "new" })
      const publish = (rest: string) => h.publish(h.message(rest, ""))
      assert.deepStrictEqual([yield* publish("a"), yield* publish("a"), yield* publish("b")].map(sequenceOf), [1, 2, 3])
      const refusal = refusalOf(yield* publish("c"))
      assert.include(refusal, { _tag: "Rejected", code: 10_077, detail: "maximum messages exceeded" })
      assert.strictEqual(sequenceOf(yield* publish("b")), 4)
    }))

  test("that is full of bytes drops the oldest, or refuses the newest", (h) =>
    Effect.gen(function*() {
      const payload = new Uint8Array(1_000)
      yield* h.create({ maxBytes: 3_500 })
      for (let i = 0; i < 5; i++) {
        yield* h.publish(h.message("a", "", { payload }))
      }
      assert.deepInclude(yield* h.streamInfo(), { messages: 3, firstSequence: 3 })
      yield* h.admin.deleteStream(h.stream)
      yield* h.create({ maxBytes: 1_500, discard: "new" })
      yield* h.publish(h.message("a", "", { payload }))
      assert.strictEqual(refusalOf(yield* h.publish(h.message("a", "", { payload })))._tag, "Rejected")
    }))

  test("has the least of dedupe windows and ages, as the server demands", (h) =>
    Effect.gen(function*() {
      const declared = Topology.stream(h.stream, { subjects: [h.subject(">")] })
      for (
        const wrong of [{ duplicateWindowMs: 50 }, { maxAgeMs: 50 }, { maxAgeMs: 1_000, duplicateWindowMs: 2_000 }]
      ) {
        const reason = yield* h.reason(h.admin.createStream({ ...declared, ...wrong }))
        assert.include(reason, { _tag: "Rejected", code: 10_052 })
      }
    }))
})
