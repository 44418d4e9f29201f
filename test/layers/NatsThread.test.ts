/** What the conformance suite cannot ask of the thread: that it goes on while the application computes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Headers from "../../src/Headers.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Metrics from "../../src/Metrics.ts"
import * as Publisher from "../../src/Publisher.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { createStream, durable, flow } from "../support/transport.ts"

const jobs = Topic.make("jobs", { schema: Schema.Number })
const MESSAGES = 50

const SLICE_MS = 20

/** The worst that a handler can do. How long the machine stood still meanwhile, at a time, in ms. */
const block = (millis: number): number => {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  const end = performance.now() + millis
  let longestMs = 0
  for (let now = performance.now(); now < end;) {
    Atomics.wait(cell, 0, 0, SLICE_MS)
    const before = now
    now = performance.now()
    longestMs = Math.max(longestMs, now - before - SLICE_MS)
  }
  return longestMs
}

/** Reads with a handler that blocks the event loop for four ack waits, once. Says how often the server delivered again. */
const blocked = (layer: Layer.Layer<Transport, unknown>) =>
  Effect.gen(function*() {
    yield* createStream("JOBS", ["jobs"])
    yield* Publisher.publishAll(jobs, Array.from({ length: MESSAGES }, (_, value) => ({ value })))
    const calls = new Map<number, number>()
    let ledger = (): Pick<Reader.Ledger, "swallowed" | "lost"> => ({ swallowed: 0, lost: 0 })
    let stoodStillMs = 0
    const reader = yield* Effect.forkChild(
      Reader.handle(
        jobs,
        { stream: "JOBS", consumer: "blocked", ackWait: "1 second" },
        (job) =>
          Effect.sync(() => {
            calls.set(job, (calls.get(job) ?? 0) + 1)
            if (job === 0 && calls.get(job) === 1) {
              stoodStillMs = block(4_000)
            }
          })
      ).pipe(Effect.provideService(Reader.Control, {
        draining: Effect.never,
        register: (reader) => {
          ledger = reader.ledger
        }
      }))
    )
    while (calls.size < MESSAGES) {
      yield* Effect.sleep(20)
    }
    yield* Effect.sleep(1_500)
    const { lost, swallowed } = ledger()
    yield* Fiber.interrupt(reader)
    const { topology } = yield* Transport
    const info = Option.getOrThrow(yield* Option.getOrThrow(topology).describeConsumer("JOBS", "blocked"))
    const extra = [...calls.values()].reduce((sum, count) => sum + count - 1, 0)
    return { repeats: extra + swallowed + lost, unanswered: info.ackPending, stoodStillMs }
  }).pipe(Effect.provide(Layer.merge(layer, AckPolicy.onProcess)))

describe("an application that computes for four ack waits", () => {
  it.live("loses its leases, where the connection lives on its own thread", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const { repeats } = yield* blocked(Nats.layer({ servers: server.url }))
      // The other test proves something only if this happens without the thread.
      assert.isAbove(repeats, 0)
    }).pipe(Effect.scoped))

  it.live("keeps them, where the connection has a thread of its own: nothing runs twice", () =>
    Effect.gen(function*() {
      const once = Effect.gen(function*() {
        const server = yield* NatsServer.scoped()
        return yield* blocked(NatsThread.layer({ servers: server.url }))
      }).pipe(Effect.scoped)
      // A thread that stands still for most of an ack wait renews nothing, either: then it has to be seen again.
      const { repeats, unanswered } = yield* Effect.repeat(once, {
        until: ({ repeats, stoodStillMs }) => repeats === 0 || stoodStillMs < 300,
        times: 2
      })
      assert.deepStrictEqual({ repeats, unanswered }, { repeats: 0, unanswered: 0 })
    }), 120_000)
})

describe("an application that is blocked for longer than it may", () => {
  it.live("holds nothing any longer: nothing of it begins late, and all of it comes back", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const calls: Array<string> = []
      let ledger = (): Partial<Reader.Ledger> => ({})
      const program = Effect.gen(function*() {
        yield* createStream("JOBS", ["jobs"])
        yield* Publisher.publishAll(jobs, Array.from({ length: 10 }, (_, value) => ({ value })))
        const reader = Reader.handle(
          jobs,
          { stream: "JOBS", consumer: "dead", lanes: 1 },
          (job, message) =>
            Effect.sync(() => {
              calls.push(`${job}/${message.deliveryCount}`)
              if (calls.length === 1) {
                block(3_500)
              }
            })
        )
        const fiber = yield* Effect.forkChild(Effect.provideService(reader, Reader.Control, {
          draining: Effect.never,
          register: (reader) => {
            ledger = reader.ledger
          }
        }))
        while (calls.length < 11) {
          yield* Effect.sleep(20)
        }
        yield* Effect.sleep(300)
        yield* Fiber.interrupt(fiber)
      })
      const layer = NatsThread.layer({ servers: server.url, maxBlocked: "2 seconds" })
      yield* Effect.provide(program, Layer.merge(layer, AckPolicy.onProcess))
      assert.deepStrictEqual(calls.toSorted(), ["0/1", ...Array.from({ length: 10 }, (_, job) => `${job}/2`)])
      const { delivered, finished, lost, returned } = ledger()
      assert.strictEqual(delivered, finished! + lost! + returned!)
      const blockedFor = yield* Metric.value(Metrics.blockedSeconds)
      assert.isAtLeast(blockedFor.count, 3)
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map())))
})

describe("the thread", () => {
  it.live("says as a typed failure why it could not connect, and what it was told is in no message", () =>
    Effect.gen(function*() {
      const failing = Layer.build(NatsThread.layer({ servers: "nats://ann:s3cret@127.0.0.1:1" }))
      const error = yield* Effect.flip(Effect.scoped(failing))
      assert.strictEqual(error.reason._tag, "ConnectFailed")
      assert.notInclude(error.message, "s3cret")
    }))

  it.live("does not keep publishes waiting whose server is gone", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const transport = yield* Transport.pipe(
        Effect.provide(NatsThread.layer({ servers: server.url, publishTimeout: "1 second" }))
      )
      const one = { subject: "s", payload: new Uint8Array(1), headers: Headers.empty, id: "1" }
      // The layer's scope is over.
      const error = yield* Effect.flip(transport.publish([one]))
      assert.strictEqual(error.reason._tag, "Closed")
    }).pipe(Effect.scoped))

  it.live("tells the application what it logs, and what it counts", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const lines: Array<string> = []
      const logs = Logger.layer([Logger.map(Logger.formatStructured, ({ level, message }) => {
        lines.push(`${level} ${String(message)}`)
      })])
      const program = Effect.gen(function*() {
        const transport = yield* Transport
        yield* createStream("JOBS", ["jobs"])
        yield* transport.open(durable("JOBS", "C"), flow())
        yield* Effect.promise(() => server.kill())
        while (!lines.some((line) => line.includes("connection lost"))) {
          yield* Effect.sleep(20)
        }
        const { pulls } = Metrics.inlet({ stream: "JOBS", consumer: "C" })
        while ((yield* Metric.value(pulls)).count === 0) {
          yield* Effect.sleep(20)
        }
      })
      yield* Effect.provide(Effect.scoped(program), Layer.provideMerge(NatsThread.layer({ servers: server.url }), logs))
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map())))
})
