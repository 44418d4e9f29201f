/**
 * Testing a worker without a server: the broker in memory runs on Effect's clock, so minutes pass at once, and it does what
 * nats-server does. Four situations that are hard to get from a real one.
 */
import { assert, it } from "@effect/vitest"
import * as AckPolicy from "effect-sluice/AckPolicy"
import * as Memory from "effect-sluice/layers/Memory"
import * as Provisioner from "effect-sluice/Provisioner"
import * as Publisher from "effect-sluice/Publisher"
import { Transport } from "effect-sluice/Transport"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Bank, billing, Orders, ordersStream } from "./billing.ts"

const order = (id: string) => ({ id, customer: "ann" })
const environment = Layer.merge(Memory.layer(), AckPolicy.onProcess)

it.effect("a handler that fails is tried again after one second and after two, then given up", () =>
  Effect.gen(function*() {
    const calls: Array<string> = []
    const bank = {
      charge: (id: string) => Effect.andThen(Effect.sync(() => calls.push(id)), Effect.fail("declined" as const))
    }
    yield* Provisioner.ensure(ordersStream)
    yield* Publisher.publish(Orders, order("o-1"))
    yield* Effect.forkChild(Effect.provideService(billing, Bank, bank))
    yield* TestClock.adjust("900 millis")
    assert.strictEqual(calls.length, 1)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(calls.length, 2)
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(calls.length, 3)
  }).pipe(Effect.provide(environment)))

it.effect("a handler that takes ten minutes keeps its message: the lease is renewed, nobody else gets it", () =>
  Effect.gen(function*() {
    const calls: Array<string> = []
    const bank = {
      charge: (id: string) => Effect.andThen(Effect.sync(() => calls.push(id)), Effect.sleep("10 minutes"))
    }
    yield* Provisioner.ensure(ordersStream)
    yield* Publisher.publish(Orders, order("o-1"))
    const replica = Effect.forkChild(Effect.provideService(billing, Bank, bank))
    yield* replica
    yield* replica
    yield* TestClock.adjust("11 minutes")
    assert.deepStrictEqual(calls, ["o-1"])
  }).pipe(Effect.provide(environment)))

it.effect("a replica that loses its connection loses its lease after the ack wait, and another takes over", () =>
  Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const calls: Array<string> = []
    const replica = Effect.fnUntraced(function*(name: string) {
      const { disconnect, transport } = yield* broker.connect
      const bank = { charge: () => Effect.andThen(Effect.sync(() => calls.push(name)), Effect.sleep("1 hour")) }
      yield* billing.pipe(
        Effect.provideService(Bank, bank),
        Effect.provideService(Transport, transport),
        Effect.forkChild
      )
      return disconnect
    })
    yield* Effect.provide(Provisioner.ensure(ordersStream), Memory.clientLayer)
    const cut = yield* replica("first")
    yield* Effect.provide(Publisher.publish(Orders, order("o-1")), Memory.clientLayer)
    yield* TestClock.adjust("1 second")
    yield* cut
    yield* Effect.asVoid(replica("second"))
    yield* TestClock.adjust("31 seconds")
    assert.deepStrictEqual(calls, ["first", "second"])
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(Memory.brokerLayer(), AckPolicy.onProcess))))

it.effect("a publisher waits for a broker that is away, and the order is stored once", () =>
  Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const { disconnect, reconnect, transport } = yield* broker.connect
    const onIt = Effect.provideService(Transport, transport)
    yield* onIt(Provisioner.ensure(ordersStream))
    yield* disconnect
    const publishing = yield* Effect.forkChild(onIt(Publisher.publish(Orders, order("o-1"))))
    yield* TestClock.adjust("10 seconds")
    assert.isUndefined(publishing.pollUnsafe())
    yield* reconnect
    yield* TestClock.adjust("3 seconds")
    const receipt = yield* Fiber.join(publishing)
    assert.deepStrictEqual([receipt.sequence, receipt.duplicate], [1, false])
  }).pipe(Effect.scoped, Effect.provide(Memory.brokerLayer())))
