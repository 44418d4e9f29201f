import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Provisioner from "../src/Provisioner.ts"
import * as Topology from "../src/Topology.ts"
import { Transport } from "../src/Transport.ts"
import type { TopologyAdmin } from "../src/Transport.ts"
import * as TransportError from "../src/TransportError.ts"

const orders = Topology.stream("ORDERS", { subjects: ["orders.>"] })
const bills = Topology.stream("BILLS", { subjects: ["bills.>"] })
const billing = Topology.consumer("billing", { filters: ["orders.*.placed"] })
const taken = TransportError.because(
  new TransportError.Rejected({ operation: "create", code: 10058, detail: "stream name in use", transient: false })
)

/** A broker that keeps streams and consumers in maps, and a log of what it was made to create. */
const makeBroker = (overrides: (state: {
  readonly streams: Map<string, Topology.Stream>
}) => Partial<TopologyAdmin> = () => ({})) => {
  const streams = new Map<string, Topology.Stream>()
  const consumers = new Map<string, Topology.Consumer>()
  const log: Array<string> = []
  const admin: TopologyAdmin = {
    describeStream: (name) =>
      Effect.sync(() =>
        Option.map(Option.fromNullishOr(streams.get(name)), (stream) => (
          { stream, messages: 0, bytes: 0, firstSequence: 0, lastSequence: 0 }
        ))
      ),
    createStream: (stream) =>
      Effect.suspend(() => {
        log.push(stream.name)
        streams.set(stream.name, stream)
        return Effect.void
      }),
    deleteStream: () => Effect.die("not used"),
    purgeStream: () => Effect.die("not used"),
    deleteMessage: () => Effect.die("not used"),
    describeConsumer: (stream, name) =>
      Effect.suspend(() =>
        streams.has(stream)
          ? Effect.succeed(Option.map(Option.fromNullishOr(consumers.get(`${stream}/${name}`)), (consumer) => (
            { consumer, pending: 0, ackPending: 0, redelivered: 0, ackFloor: 0, delivered: 0, waiting: 0 }
          )))
          : Effect.fail(TransportError.because(new TransportError.StreamNotFound({ stream })))
      ),
    createConsumer: (stream, consumer) =>
      Effect.sync(() => {
        log.push(`${stream}/${consumer.name}`)
        consumers.set(`${stream}/${consumer.name}`, consumer)
      }),
    deleteConsumer: () => Effect.die("not used"),
    ...overrides({ streams })
  }
  return { streams, consumers, log, layer: layerOf(Option.some(admin)) }
}

const layerOf = (topology: Option.Option<TopologyAdmin>) =>
  Layer.mock(Transport)({
    capabilities: Effect.succeed({
      broker: "a broker without streams",
      persistent: false,
      filterSubjects: false,
      metadata: false,
      promptReturn: true,
      unlimitedBackoff: false,
      purgeKeepsUnanswered: true,
      keepsGivenUp: true,
      termReason: false,
      maxPayload: 1024
    }),
    topology
  })

const reasonOf = <A, R>(effect: Effect.Effect<A, TransportError.TransportError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

describe("Provisioner.ensure", () => {
  it.effect("creates what is missing, streams before their consumers, and finds it the second time", () => {
    const broker = makeBroker()
    return Effect.gen(function*() {
      const topology = { streams: [orders, bills], consumers: [{ stream: "ORDERS", consumer: billing }] }
      const first = yield* Provisioner.ensure(topology)
      const second = yield* Provisioner.ensure(topology)
      assert.deepStrictEqual(broker.log, ["ORDERS", "BILLS", "ORDERS/billing"])
      assert.deepStrictEqual(first, [
        { _tag: "Stream", stream: "ORDERS", consumer: "", created: true },
        { _tag: "Stream", stream: "BILLS", consumer: "", created: true },
        { _tag: "Consumer", stream: "ORDERS", consumer: "billing", created: true }
      ])
      assert.deepStrictEqual(second, first.map((ensured) => ({ ...ensured, created: false })))
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("takes one stream, many streams, or none", () => {
    const broker = makeBroker()
    return Effect.gen(function*() {
      assert.lengthOf(yield* Provisioner.ensure(orders), 1)
      assert.lengthOf(yield* Provisioner.ensure([orders, bills]), 2)
      assert.lengthOf(yield* Provisioner.ensure([]), 0)
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("names every difference of what exists, and then creates nothing at all", () => {
    const broker = makeBroker()
    broker.streams.set("ORDERS", { ...orders, storage: "memory", maxMessages: 10 })
    broker.consumers.set("ORDERS/billing", { ...billing, ackWaitMs: 1 })
    return Effect.gen(function*() {
      const reason = yield* reasonOf(Provisioner.ensure({
        streams: [bills, orders],
        consumers: [{ stream: "ORDERS", consumer: billing }]
      }))
      assert.strictEqual(reason._tag, "Conflict")
      for (const part of ["stream \"ORDERS\"", "storage", "maxMessages", "consumer \"billing\"", "ackWaitMs"]) {
        assert.include(reason.problem, part)
      }
      assert.isEmpty(broker.log)
      assert.isFalse(broker.streams.has("BILLS"))
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("a start that differs is no difference: it only says where a new consumer begins", () => {
    const broker = makeBroker()
    broker.streams.set("ORDERS", orders)
    broker.consumers.set("ORDERS/billing", { ...billing, start: { _tag: "new" } })
    const topology = { streams: [], consumers: [{ stream: "ORDERS", consumer: billing }] }
    return Effect.map(Provisioner.ensure(topology), ([found]) => assert.isFalse(found?.created)).pipe(
      Effect.provide(broker.layer)
    )
  })

  it.effect("loses a race to somebody who declares the same, and is content", () => {
    const broker = makeBroker(({ streams }) => ({
      createStream: (stream) =>
        Effect.suspend(() => {
          streams.set(stream.name, stream)
          return Effect.fail(taken)
        })
    }))
    return Effect.map(Provisioner.ensure(orders), ([found]) => assert.isFalse(found?.created)).pipe(
      Effect.provide(broker.layer)
    )
  })

  it.effect("loses a race to somebody who declares something else, and says what", () => {
    const broker = makeBroker(({ streams }) => ({
      createStream: (stream) =>
        Effect.suspend(() => {
          streams.set(stream.name, { ...stream, replicas: 3 })
          return Effect.fail(taken)
        })
    }))
    return Effect.map(reasonOf(Provisioner.ensure(orders)), (reason) => {
      assert.strictEqual(reason._tag, "Conflict")
      assert.include(reason.problem, "replicas is 3, wanted 1")
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("a creation that simply failed fails with its own reason", () => {
    const broker = makeBroker(() => ({ createStream: () => Effect.fail(taken) }))
    return Effect.map(reasonOf(Provisioner.ensure(orders)), (reason) => assert.strictEqual(reason, taken.reason)).pipe(
      Effect.provide(broker.layer)
    )
  })

  it.effect("refuses a consumer without a name, which nobody could find again", () => {
    const broker = makeBroker()
    const topology = { streams: [orders], consumers: [{ stream: "ORDERS", consumer: Topology.consumer("") }] }
    return Effect.map(reasonOf(Provisioner.ensure(topology)), (reason) => {
      assert.strictEqual(reason._tag, "Invalid")
      assert.isEmpty(broker.log)
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("a broker that cannot create streams is a typed refusal, unless nothing is asked of it", () =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(Provisioner.ensure(orders))
      assert.strictEqual(reason._tag, "Unsupported")
      assert.include(reason.problem, "a broker without streams")
      assert.isEmpty(yield* Provisioner.ensure([]))
    }).pipe(Effect.provide(layerOf(Option.none()))))
})
