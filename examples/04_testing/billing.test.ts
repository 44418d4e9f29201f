/**
 * Testing a worker without a server: the broker in memory runs on Effect's clock, so minutes pass at once, and it does what
 * nats-server does. Situations that are hard to get from a real one; docs/testing.md explains them.
 */
import { assert, it } from "@effect/vitest"
import * as AckPolicy from "effect-sluice/AckPolicy"
import * as DeadLetter from "effect-sluice/DeadLetter"
import * as Faulty from "effect-sluice/layers/Faulty"
import * as Memory from "effect-sluice/layers/Memory"
import * as Provisioner from "effect-sluice/Provisioner"
import * as Publisher from "effect-sluice/Publisher"
import { Transport } from "effect-sluice/Transport"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Bank, billing, Orders, streams } from "./billing.ts"

const order = (id: string) => ({ id, customer: "ann" })

/** A bank that takes so long for each order and writes down whom it charged. */
const slowBank = (calls: Array<string>, takes: "0 millis" | "10 minutes" | "1 hour", name = "") => ({
  charge: (id: string) => Effect.andThen(Effect.sync(() => calls.push(`${name}${id}`)), Effect.sleep(takes))
})

const oneClient = Layer.merge(Memory.layer(), AckPolicy.onProcess)

it.effect("a handler that fails is tried again after one second and after two, then given up", () =>
  Effect.gen(function*() {
    const calls: Array<string> = []
    const bank = {
      charge: (id: string) => Effect.andThen(Effect.sync(() => calls.push(id)), Effect.fail("declined" as const))
    }
    yield* Provisioner.ensure(streams)
    yield* Publisher.publish(Orders, order("o-1"))
    yield* Effect.forkChild(Effect.provideService(billing, Bank, bank))
    yield* TestClock.adjust("900 millis")
    assert.strictEqual(calls.length, 1)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(calls.length, 2)
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(calls.length, 3)
  }).pipe(Effect.provide(oneClient)))

it.effect("an order that is given up is a dead letter, and is charged when it is replayed", () =>
  Effect.gen(function*() {
    const calls: Array<string> = []
    const bank = { charge: (_: string): Effect.Effect<void, "declined"> => Effect.fail("declined") }
    yield* Provisioner.ensure(streams)
    yield* Publisher.publish(Orders, order("o-1"))
    yield* Effect.forkChild(Effect.provideService(billing, Bank, bank))
    yield* TestClock.adjust("4 seconds")
    const [letter] = yield* DeadLetter.list()
    assert.deepInclude(letter?.provenance, { stream: "ORDERS", consumer: "billing", kind: "failed", attempts: 3 })
    bank.charge = (id) => Effect.sync(() => void calls.push(id))
    yield* DeadLetter.replay({ handler: "ORDERS/billing" })
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(calls, ["o-1"])
  }).pipe(Effect.provide(oneClient)))

it.effect("a handler that takes ten minutes keeps its message: the lease is renewed, nobody else gets it", () =>
  Effect.gen(function*() {
    const calls: Array<string> = []
    const replica = Effect.forkChild(Effect.provideService(billing, Bank, slowBank(calls, "10 minutes")))
    yield* Provisioner.ensure(streams)
    yield* Publisher.publish(Orders, order("o-1"))
    yield* replica
    yield* replica
    yield* TestClock.adjust("11 minutes")
    assert.deepStrictEqual(calls, ["o-1"])
  }).pipe(Effect.provide(oneClient)))

const severalClients = Layer.merge(Memory.brokerLayer(), AckPolicy.onProcess)

/** One more process with the reader in it: a client of its own, which the test can cut off. */
const replica = Effect.fnUntraced(function*(bank: typeof Bank.Service) {
  const connection = yield* Effect.flatMap(Memory.Broker, (broker) => broker.connect)
  yield* billing.pipe(
    Effect.provideService(Bank, bank),
    Effect.provideService(Transport, connection.transport),
    Effect.forkScoped
  )
  return connection
})

it.effect("a lease runs out when its reader is cut off, 30 seconds after it was renewed last", () =>
  Effect.gen(function*() {
    const broker = yield* Memory.Broker
    yield* Effect.provide(Provisioner.ensure(streams), Memory.clientLayer)
    yield* Effect.provide(Publisher.publish(Orders, order("o-1")), Memory.clientLayer)
    const { disconnect } = yield* replica(slowBank([], "1 hour"))
    yield* TestClock.adjust("1 minute")
    yield* disconnect
    yield* TestClock.adjust("19 seconds")
    const [before] = yield* broker.unanswered("ORDERS", "billing")
    assert.strictEqual(before?.state, "leased")
    yield* TestClock.adjust("12 seconds")
    const [after] = yield* broker.unanswered("ORDERS", "billing")
    assert.strictEqual(after?.state, "due")
  }).pipe(Effect.scoped, Effect.provide(severalClients)))

it.effect("another replica takes over from one that is cut off", () =>
  Effect.gen(function*() {
    const calls: Array<string> = []
    yield* Effect.provide(Provisioner.ensure(streams), Memory.clientLayer)
    const first = yield* replica(slowBank(calls, "1 hour", "first "))
    yield* Effect.provide(Publisher.publish(Orders, order("o-1")), Memory.clientLayer)
    yield* TestClock.adjust("1 second")
    yield* first.disconnect
    yield* replica(slowBank(calls, "0 millis", "second "))
    yield* TestClock.adjust("31 seconds")
    assert.deepStrictEqual(calls, ["first o-1", "second o-1"])
  }).pipe(Effect.scoped, Effect.provide(severalClients)))

it.effect("a publisher waits for a broker that is away, and the order is stored once", () =>
  Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const { disconnect, reconnect, transport } = yield* broker.connect
    const onIt = Effect.provideService(Transport, transport)
    yield* onIt(Provisioner.ensure(streams))
    yield* disconnect
    const publishing = yield* Effect.forkChild(onIt(Publisher.publish(Orders, order("o-1"))))
    yield* TestClock.adjust("10 seconds")
    assert.isUndefined(publishing.pollUnsafe())
    yield* reconnect
    yield* TestClock.adjust("3 seconds")
    const receipt = yield* Fiber.join(publishing)
    assert.deepStrictEqual([receipt.sequence, receipt.duplicate], [1, false])
  }).pipe(Effect.scoped, Effect.provide(severalClients)))

it.effect("whatever single operation fails, the order is charged, at most twice", () =>
  Effect.gen(function*() {
    const program = Effect.gen(function*() {
      const calls: Array<string> = []
      yield* Provisioner.ensure(streams)
      yield* Effect.forkScoped(Effect.provideService(billing, Bank, slowBank(calls, "0 millis")))
      yield* Effect.forkScoped(Publisher.publish(Orders, order("o-1")))
      yield* TestClock.adjust("2 minutes")
      assert.include([1, 2], calls.length)
      return yield* Faulty.Faults.use((faults) => faults.injected)
    })
    const operations = yield* Faulty.untilNothingFails((plan) =>
      Effect.provide(Effect.scoped(program), Faulty.layer(Memory.layer(), plan))
    )
    assert.isAbove(operations, 3)
  }).pipe(Effect.provide(AckPolicy.onProcess)))
