/** The I/O thread may die at any moment, and another one goes on. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Worker } from "node:worker_threads"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Headers from "../../src/Headers.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import type { Delivery, Outgoing } from "../../src/Message.ts"
import * as Publisher from "../../src/Publisher.ts"
import * as Reader from "../../src/Reader.ts"
import * as Settlement from "../../src/Settlement.ts"
import * as Topic from "../../src/Topic.ts"
import { type Inlet, type Source, Transport } from "../../src/Transport.ts"
import type { TransportError } from "../../src/TransportError.ts"
import * as NatsServer from "../support/nats-server.ts"
import { eventually } from "../support/patience.ts"
import { createStream, durable, flow } from "../support/transport.ts"

const jobs = Topic.make("jobs", { schema: Schema.Number })

const message = (id: string): Outgoing => ({ subject: "jobs", payload: new Uint8Array(1), headers: Headers.empty, id })

/** Knows the newest thread of this process, and kills it. */
const threads = Effect.acquireRelease(
  Effect.sync(() => {
    const all: Array<Worker> = []
    const seen = (worker: Worker) => void all.push(worker)
    process.on("worker", seen)
    let killed = 0
    const kill = Effect.gen(function*() {
      while (all.length === killed) {
        yield* Effect.sleep(10)
      }
      yield* Effect.promise(() => all[killed++]!.terminate())
    })
    return { all, seen, kill }
  }),
  ({ seen }) => Effect.sync(() => process.off("worker", seen))
)

const takeAll = (inlet: Inlet, count: number): Effect.Effect<ReadonlyArray<Delivery>, unknown> =>
  Effect.gen(function*() {
    const taken: Array<Delivery> = []
    while (taken.length < count) {
      taken.push(...yield* inlet.take(count - taken.length))
    }
    return taken
  })

const sequences = (deliveries: ReadonlyArray<Delivery>) => deliveries.map(({ streamSequence }) => streamSequence)

const settle = (inlet: Inlet, deliveries: ReadonlyArray<Delivery>) =>
  inlet.settle(deliveries.map((delivery) => ({ delivery, settlement: Settlement.ack })))

describe("when the thread dies", () => {
  it.live("another one reads on; what was in hands is lost, and comes again", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const { kill } = yield* threads
      yield* Effect.gen(function*() {
        const transport = yield* Transport
        yield* createStream("JOBS", ["jobs"])
        yield* transport.publish([message("1"), message("2"), message("3")])
        const inlet = yield* transport.open(durable("JOBS", "C", { ackWait: "1 second" }), flow())
        const [first, second] = yield* takeAll(inlet, 2)
        yield* settle(inlet, [first!])
        const info = Option.getOrThrow(transport.topology).describeConsumer("JOBS", "C")
        yield* eventually(info, (found) => assert.strictEqual(Option.getOrThrow(found).ackFloor, 1))
        yield* takeAll(inlet, 1)
        const taking = yield* Effect.forkChild(takeAll(inlet, 2), { startImmediately: true })
        yield* kill
        const again = yield* Fiber.join(taking)
        assert.isFalse(inlet.holds(second!))
        assert.deepStrictEqual(sequences(again).toSorted(), [2, 3])
        // A verdict on what is lost concerns nobody.
        yield* settle(inlet, [second!, ...again])
        yield* eventually(
          Effect.sync(() => inlet.ledger()),
          ({ delivered, held, lost, settled }) =>
            assert.deepStrictEqual({ settled, lost, held }, { settled: 3, lost: delivered - 3, held: 0 })
        )
      }).pipe(Effect.scoped, Effect.provide(NatsThread.layer({ servers: server.url })))
    }).pipe(Effect.scoped))

  for (const source of ["ephemeral", "ordered"] as const) {
    it.live(`an ${source} reader goes on where it stopped`, () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped()
        const { kill } = yield* threads
        yield* Effect.gen(function*() {
          const transport = yield* Transport
          yield* createStream("JOBS", ["jobs"])
          yield* transport.publish([message("1"), message("2"), message("3")])
          const from: Source = { _tag: source, stream: "JOBS", filters: [], start: { _tag: "all" } }
          const inlet = yield* transport.open(from, flow())
          const before = yield* takeAll(inlet, 2)
          yield* settle(inlet, before.slice(0, 1))
          yield* kill
          const after = yield* takeAll(inlet, source === "ordered" ? 1 : 2)
          assert.deepStrictEqual(sequences(after), source === "ordered" ? [3] : [2, 3])
          assert.isTrue(after.every(inlet.holds))
        }).pipe(Effect.scoped, Effect.provide(NatsThread.layer({ servers: server.url })))
      }).pipe(Effect.scoped))
  }

  it.live("no publish that was under way counts as stored, and those that follow wait for the next one", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const { kill } = yield* threads
      yield* Effect.gen(function*() {
        const transport = yield* Transport
        yield* createStream("JOBS", ["jobs"])
        yield* Effect.promise(() => server.freeze())
        const publishing = yield* Effect.forkChild(transport.publish([message("1")]))
        yield* Effect.sleep(200)
        yield* kill
        const [receipt] = yield* Fiber.join(publishing)
        assert.strictEqual(receipt._tag, "Ambiguous")
        const later = yield* Effect.forkChild(transport.publish([message("2")]))
        yield* Effect.promise(() => server.thaw())
        assert.strictEqual((yield* Fiber.join(later))[0]._tag, "Confirmed")
      }).pipe(Effect.scoped, Effect.provide(NatsThread.layer({ servers: server.url })))
    }).pipe(Effect.scoped))

  it.live("too often, readers and publishers end with a type", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const { all, kill } = yield* threads
      yield* Effect.gen(function*() {
        const transport = yield* Transport
        yield* createStream("JOBS", ["jobs", "none"])
        const inlet = yield* transport.open(durable("JOBS", "C", { filters: ["none"] }), flow())
        const taking = yield* Effect.forkChild(Effect.flip(inlet.take(1)))
        yield* kill
        assert.strictEqual((yield* transport.publish([message("1")]))[0]._tag, "Confirmed")
        yield* kill
        const end = yield* Fiber.join(taking)
        assert.strictEqual((end as TransportError).reason._tag, "Disconnected")
        const later = yield* Effect.flip(transport.publish([message("2")]))
        assert.include(later.message, "died within a minute")
        const last = yield* Stream.runLast(transport.status)
        assert.strictEqual(Option.getOrThrow(last)._tag, "Closed")
        assert.strictEqual(all.length, 2)
      }).pipe(Effect.scoped, Effect.provide(NatsThread.layer({ servers: server.url, maxRestarts: 1 })))
    }).pipe(Effect.scoped))
})

const KILLS = Number(process.env["SLUICE_KILLS"] ?? 15)

describe("a thread that is killed again and again under load", () => {
  it.live(`(${KILLS} times) loses nothing, and leaves nothing behind`, () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const { all, kill } = yield* threads
      const done = new Set<number>()
      let published = 0
      yield* Effect.gen(function*() {
        yield* createStream("JOBS", ["jobs"])
        const reader = yield* Effect.forkChild(
          Reader.handle(jobs, { stream: "JOBS", consumer: "C", ackWait: "1 second" }, (job) =>
            Effect.sync(() =>
              void done.add(job)
            ))
        )
        let publishes = true
        const publisher = yield* Effect.forkChild(Effect.gen(function*() {
          while (publishes) {
            const batch = Array.from({ length: 20 }, (_, at) => ({ value: published + at }))
            yield* Publisher.publishAll(jobs, batch)
            published += batch.length
          }
        }))
        for (let kills = 0; kills < KILLS; kills++) {
          const before = published
          while (published === before) {
            yield* Effect.sleep(5)
          }
          yield* Effect.sleep((kills * 7) % 50)
          yield* kill
        }
        publishes = false
        yield* Fiber.join(publisher)
        while (done.size < published) {
          yield* Effect.sleep(50)
        }
        yield* Fiber.interrupt(reader)
      }).pipe(
        Effect.provide(
          Layer.merge(AckPolicy.onProcess, NatsThread.layer({ servers: server.url, maxRestarts: KILLS }))
        )
      )
      assert.isAbove(published, KILLS * 20)
      assert.strictEqual(all.length, KILLS + 1)
      assert.deepStrictEqual(process.getActiveResourcesInfo().filter((what) => what === "MessagePort"), [])
    }).pipe(Effect.scoped), 60_000 + KILLS * 3_000)
})
