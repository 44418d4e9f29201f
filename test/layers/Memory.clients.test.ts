import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "../../src/layers/Memory.ts"
import * as Settlement from "../../src/Settlement.ts"
import { Harness, numbers, refusalOf, sequenceOf, texts } from "../../src/testing/harness.ts"
import * as Topology from "../../src/Topology.ts"
import { Transport } from "../../src/Transport.ts"
import type { TransportError } from "../../src/TransportError.ts"
import { eventually } from "../support/patience.ts"

type Program = (
  h: Harness,
  connection: Memory.Connection,
  other: Harness
) => Effect.Effect<void, TransportError, Scope.Scope>

/** A test with the connection in its hands, and with another client of the same broker, on the same stream. */
const withConnection = (
  name: string,
  program: Program
) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      const broker = yield* Memory.Broker
      const [connection, other] = [yield* broker.connect, yield* broker.connect]
      const h = yield* Harness.make(connection.transport, "virtual")
      const others = yield* Harness.make(other.transport, "virtual")
      yield* program(h, connection, Object.assign(others, { stream: h.stream }))
    }).pipe(Effect.scoped, Effect.provide(Memory.brokerLayer())))

/** `sequence/delivery` of each. */
const deliveries = (taken: ReadonlyArray<{ readonly streamSequence: number; readonly deliveryCount: number }>) =>
  taken.map(({ deliveryCount, streamSequence }) => `${streamSequence}/${deliveryCount}`)

describe("a connection", () => {
  withConnection("that is cut sends nothing and says so", (h, connection, other) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* connection.disconnect
      assert.strictEqual(refusalOf(yield* h.publish(h.message("a", "")))._tag, "Disconnected")
      assert.strictEqual((yield* h.reason(h.read()))._tag, "Disconnected")
      assert.strictEqual((yield* h.reason(h.streamInfo()))._tag, "Disconnected")
      assert.strictEqual((yield* other.streamInfo()).messages, 0)
      yield* connection.reconnect
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", ""))), 1)
    }))

  withConnection("shows its status, and every change of it", (h, connection) =>
    Effect.gen(function*() {
      const watching = yield* h.transport.status.pipe(
        Stream.map((status) => status._tag),
        Stream.take(3),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* h.advance("1 millis")
      yield* connection.disconnect
      yield* connection.disconnect
      yield* h.advance("1 millis")
      yield* connection.reconnect
      const seen = yield* h.within(Fiber.join(watching), () => "the status did not change")
      assert.deepStrictEqual(seen, ["Connected", "Connecting", "Connected"])
    }))

  withConnection(
    "that comes back in time keeps what it holds: nothing runs twice",
    (h, connection) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(4)
        const opened = yield* h.read({ consumer: { ackWait: "1 minute" } })
        const taken = yield* h.take(opened, 3)
        yield* connection.disconnect
        yield* h.settle(opened, taken.slice(0, 2), Settlement.ack)
        yield* h.advance("30 seconds")
        yield* connection.reconnect
        yield* h.until({ ackPending: 2 })
        yield* h.settle(opened, taken.slice(2), Settlement.ack)
        yield* h.until({ ackFloor: 3, redelivered: 0 })
        assert.deepInclude(opened.inlet.ledger(), { delivered: 4, settled: 3, lost: 0, swallowed: 0, held: 1 })
      })
  )

  withConnection(
    "that stays away for too long loses its messages to others",
    (h, connection, other) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(3)
        const opened = yield* h.read({ consumer: { ackWait: "1 minute" } })
        const [first] = yield* h.take(opened, 1)
        yield* connection.disconnect
        const others = yield* other.read({ consumer: { ackWait: "1 minute" } })
        yield* h.advance("2 minutes")
        assert.deepStrictEqual(deliveries(yield* other.process(others, 3)), ["1/2", "2/2", "3/2"])
        assert.isFalse(opened.inlet.holds(first!))
        yield* connection.reconnect
        yield* h.store(["m.4", "4"])
        yield* others.close
        assert.deepStrictEqual(texts(yield* h.process(opened, 1)), ["4"])
      })
  )

  withConnection(
    "finds its consumer gone when it comes back, and makes it anew",
    (h, connection, other) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(5)
        const opened = yield* h.read()
        yield* h.process(opened, 3)
        yield* h.until({ ackFloor: 3 })
        yield* connection.disconnect
        yield* other.admin.deleteConsumer(h.stream, "c")
        yield* other.store(["m.6", "6"])
        yield* h.advance("1 second")
        yield* connection.reconnect
        assert.deepStrictEqual(texts(yield* h.process(opened, 3)), numbers(4, 6))
      })
  )

  it.effect("is of one broker, and each broker is of its own", () =>
    Effect.gen(function*() {
      const client = Layer.fresh(Memory.clientLayer)
      const use = Effect.gen(function*() {
        const h = yield* Harness.make(yield* Transport, "virtual")
        yield* h.admin.createStream(Topology.stream("SHARED", { subjects: ["shared"] }))
        return Option.isSome(yield* h.admin.describeStream("SHARED"))
      })
      const look = Effect.gen(function*() {
        const { topology } = yield* Transport
        return Option.isSome(yield* Option.getOrThrow(topology).describeStream("SHARED"))
      })
      const together = Effect.all([Effect.provide(use, client), Effect.provide(look, client)])
      assert.deepStrictEqual(yield* Effect.provide(together, Memory.brokerLayer()), [true, true])
      assert.isFalse(yield* Effect.provide(look, Memory.layer()))
    }))

  it.effect("that is closed says so, to readers too", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Memory.layer(), scope)
      const h = yield* Effect.provide(
        Effect.flatMap(Transport, (transport) => Harness.make(transport, "virtual")),
        context
      )
      yield* h.create()
      yield* h.storeMany(2)
      const opened = yield* h.read({ consumer: { ackWait: "1 second" } })
      const taken = yield* h.take(opened, 1)
      const waiting = yield* Effect.forkChild(h.reason(Effect.andThen(opened.inlet.take(1), opened.inlet.take(1))))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "Closed")
      assert.strictEqual((yield* h.reason(h.publish(h.message("a", ""))))._tag, "Closed")
      assert.strictEqual((yield* h.reason(h.read()))._tag, "Closed")
      yield* h.settle(opened, taken, Settlement.ack)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.map(h.transport.status, (status) => status._tag)), [
        "Closed"
      ])
    }).pipe(Effect.scoped))

  withConnection(
    "that is cut lets its readers close while the clock stands still",
    (h, connection) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(2)
        const opened = yield* h.read()
        yield* h.take(opened, 1)
        yield* connection.disconnect
        yield* opened.close
        assert.deepInclude(opened.inlet.ledger(), { delivered: 2, returned: 2, unconfirmed: 2 })
      })
  )

  it.effect("that comes back within the time that a closing reader has takes its last verdicts with it", () =>
    Effect.gen(function*() {
      const connection = yield* Effect.flatMap(Memory.Broker, (broker) => broker.connect)
      const h = yield* Harness.make(connection.transport, "virtual")
      yield* h.create()
      yield* h.storeMany(2)
      const opened = yield* h.read()
      yield* h.settle(opened, yield* h.take(opened, 2), Settlement.ack)
      yield* connection.disconnect
      const closing = yield* Effect.forkChild(opened.close)
      yield* TestClock.adjust("1 second")
      yield* connection.reconnect
      yield* Fiber.join(closing)
      assert.deepInclude(opened.inlet.ledger(), { settled: 2, unconfirmed: 0 })
    }).pipe(Effect.scoped, Effect.provide(Memory.brokerLayer({ absentWithin: "2 seconds" }))))

  it.live("leaves no timer behind", () =>
    Effect.gen(function*() {
      const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
      const before = timers()
      const program = Effect.gen(function*() {
        const h = yield* Harness.make(yield* Transport, "live")
        yield* h.create({ maxAge: "1 hour" })
        yield* h.storeMany(1)
        yield* h.take(yield* h.read({ consumer: { ackWait: "1 hour" } }), 1)
        return timers()
      })
      const during = yield* program.pipe(Effect.scoped, Effect.provide(Memory.layer()))
      assert.isAbove(during, before)
      yield* eventually(Effect.sync(timers), (after) => assert.isAtMost(after, before))
    }))
})
