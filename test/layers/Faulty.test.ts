import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Memory from "../../src/layers/Memory.ts"
import * as Settlement from "../../src/Settlement.ts"
import { Transport } from "../../src/Transport.ts"
import { pass } from "../support/reading.ts"
import { createStream, durable, numbered, open, publish, textOf } from "../support/transport.ts"

const fault = (operation: Faulty.Operation, at: number, kind: Faulty.Kind, delayMs = 1_000): Faulty.Fault => ({
  operation,
  at,
  kind,
  delayMs
})

/** A stream with three messages, and what goes wrong with it. */
const withFaults = <A, E>(
  faults: ReadonlyArray<Faulty.Fault>,
  effect: Effect.Effect<A, E, Transport | Faulty.Faults | Scope.Scope>
) =>
  Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const connection = yield* broker.connect
    const all = yield* Faulty.Faults
    yield* Effect.provideService(
      Effect.andThen(createStream("S", ["s"]), publish(...numbered("s", 1, 3))),
      Transport,
      (yield* broker.connect).transport
    )
    return yield* Effect.provideService(effect, Transport, yield* all.wrap(connection.transport, connection))
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(Faulty.faultsLayer(Faulty.listed(faults)), Memory.brokerLayer())))

const source = durable("S", "C", { ackWait: "10 seconds" })

const info = Transport.use((transport) => {
  const { topology } = transport
  return topology._tag === "None" ? Effect.die("no topology") : topology.value.describeStream("S")
})

describe("a publish", () => {
  it.effect("is refused, lost, or stored without an answer", () =>
    withFaults(
      [fault("publish", 1, "refusePublish"), fault("publish", 2, "losePublish"), fault("publish", 3, "loseReceipt")],
      Effect.gen(function*() {
        const receipts = yield* publish(...numbered("s", 4, 7))
        assert.deepStrictEqual(receipts.map((one) => one._tag), ["NotSent", "Ambiguous", "Ambiguous", "Confirmed"])
        const found = yield* info
        assert.strictEqual(found._tag === "Some" ? found.value.messages : 0, 5)
      })
    ))

  it.effect("meets a connection that breaks, and comes back", () =>
    withFaults(
      [fault("publish", 1, "disconnect", 2_000)],
      Effect.gen(function*() {
        assert.strictEqual((yield* publish(...numbered("s", 4, 4)))[0]._tag, "NotSent")
        yield* pass(2_000)
        assert.strictEqual((yield* publish(...numbered("s", 4, 4)))[0]._tag, "Confirmed")
      })
    ))
})

describe("an inlet", () => {
  it.effect("is refused, and fails for good", () =>
    withFaults(
      [fault("open", 1, "refuseOpen"), fault("take", 2, "endTake")],
      Effect.gen(function*() {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(open(source))))
        const inlet = yield* open(source)
        yield* inlet.take(1)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(inlet.take(1))))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(inlet.take(1))))
      })
    ))

  it.effect("gives late what arrives late, and loses nothing to an interrupted take", () =>
    withFaults(
      [fault("take", 1, "lateDelivery")],
      Effect.gen(function*() {
        const inlet = yield* open(source)
        const taking = yield* Effect.forkChild(inlet.take(10))
        yield* pass(500)
        yield* Fiber.interrupt(taking)
        const again = yield* Effect.forkChild(inlet.take(10))
        yield* pass(400)
        assert.isUndefined(again.pollUnsafe())
        yield* pass(100)
        assert.deepStrictEqual((yield* Fiber.join(again)).map(textOf), ["1", "2", "3"])
      })
    ))

  it.effect("gives one delivery after those that follow it", () =>
    withFaults(
      [fault("take", 1, "reorder")],
      Effect.gen(function*() {
        const inlet = yield* open(source)
        assert.deepStrictEqual((yield* inlet.take(10)).map(textOf), ["2", "3"])
        const rest = yield* Effect.forkChild(inlet.take(10))
        yield* pass(1_000)
        assert.deepStrictEqual((yield* Fiber.join(rest)).map(textOf), ["1"])
      })
    ))
})

describe("a verdict", () => {
  it.effect("that is lost brings the message back after the ack wait, one that is forgotten earlier", () =>
    withFaults(
      [fault("settle", 1, "loseVerdict"), fault("settle", 2, "repeatDelivery")],
      Effect.gen(function*() {
        const inlet = yield* open(source)
        const deliveries = yield* inlet.take(10)
        yield* inlet.settle(deliveries.map((delivery) => ({ delivery, settlement: Settlement.ack })))
        const early = yield* Effect.forkChild(inlet.take(10))
        yield* pass(1_500)
        assert.deepStrictEqual((yield* Fiber.join(early)).map(textOf), ["2"])
        const late = yield* Effect.forkChild(inlet.take(10))
        yield* pass(8_000)
        assert.isUndefined(late.pollUnsafe())
        yield* pass(1_000)
        assert.deepStrictEqual((yield* Fiber.join(late)).map(textOf), ["1"])
        const injected = yield* Faulty.Faults.use((faults) => faults.injected)
        assert.deepStrictEqual(injected.map(({ kind, what }) => `${kind} ${what}`), [
          "loseVerdict S C 1",
          "repeatDelivery S C 2"
        ])
      })
    ))
})

describe("a plan", () => {
  it.effect("draws the same faults from the same seed, and none once it is healed", () => {
    const run = (seed: number) =>
      Effect.gen(function*() {
        const faults = yield* Faulty.Faults
        yield* createStream("S", ["s"])
        yield* publish(...numbered("s", 1, 50))
        yield* faults.heal
        yield* publish(...numbered("s", 1, 50))
        return (yield* faults.injected).map(({ at }) => at)
      }).pipe(
        Effect.provide(Faulty.layer(Memory.layer(), Faulty.random({ seed, rates: { refusePublish: 0.3 } })))
      )
    return Effect.gen(function*() {
      const [once, again, other] = [yield* run(1), yield* run(1), yield* run(2)]
      assert.isTrue(once.length > 5 && once.every((at) => at <= 50))
      assert.deepStrictEqual(once, again)
      assert.notDeepEqual(once, other)
    })
  })
})
