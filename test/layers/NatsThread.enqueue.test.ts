/** Early acks while the application blocks its own thread: the queue takes what it may, and its strategy decides the rest. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Worker } from "node:worker_threads"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Queue from "../../src/Queue.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { eventually } from "../support/patience.ts"
import { createStream, durable, flow } from "../support/transport.ts"

const BLOCK_MS = Number(process.env["SLUICE_BLOCK_MS"] ?? 4_000)
const PER_SECOND = 1_000
const CAPACITY = 500
const MEGABYTE = 1_048_576

/** Publishes from a thread of its own, so many a second, until it is stopped; says how many that were. */
const publisher = (url: string) => {
  const count = new Int32Array(new SharedArrayBuffer(4))
  const code = `
    const { workerData: { url, count, perSecond } } = require("node:worker_threads")
    require("@nats-io/transport-node").connect({ servers: url }).then((connection) => {
      const began = performance.now()
      setInterval(() => {
        const due = Math.floor((performance.now() - began) * perSecond / 1_000)
        for (let at = Atomics.load(count, 0); at < due; at++) {
          connection.publish("jobs", new Uint8Array(100))
        }
        Atomics.store(count, 0, due)
      }, 20)
    })`
  const workerData = { url, count, perSecond: PER_SECOND }
  return { worker: new Worker(code, { eval: true, workerData }), published: () => Atomics.load(count, 0) }
}

describe("an application that blocks its own thread, with acks on enqueue", () => {
  for (
    const [name, queue] of [
      ["dropOldest", Queue.sliding({ messages: CAPACITY })],
      ["suspend", Queue.suspend({ messages: CAPACITY })]
    ] as const
  ) {
    it.live(
      `is read for to the cap of its queue, and then the strategy decides: ${name}`,
      () =>
        Effect.gen(function*() {
          const server = yield* NatsServer.scoped()
          yield* Effect.gen(function*() {
            const transport = yield* Transport
            yield* createStream("JOBS", ["jobs"])
            const inlet = yield* transport.open(durable("JOBS", "C"), flow({ queue, ack: { _tag: "onEnqueue" } }))
            const { published, worker } = publisher(server.url)
            while (published() === 0) {
              yield* Effect.sleep(10)
            }
            const before = process.memoryUsage().rss
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCK_MS)
            const grown = process.memoryUsage().rss - before
            const came = published()
            yield* Effect.promise(() => worker.terminate())
            assert.isAtLeast(came, (BLOCK_MS * PER_SECOND) / 1_000 / 2)
            const atLeast = name === "suspend" ? CAPACITY : came - PER_SECOND
            yield* eventually(
              Effect.sync(() => inlet.ledger().delivered),
              (delivered) => assert.isAtLeast(delivered, atLeast)
            )
            // What is too much would come now.
            yield* Effect.sleep(500)
            yield* eventually(
              Option.getOrThrow(transport.topology).describeConsumer("JOBS", "C"),
              (info) =>
                assert.strictEqual(
                  Option.getOrThrow(info).ackPending,
                  0,
                  "everything that was delivered is acknowledged"
                )
            )
            const { delivered, displaced, held } = inlet.ledger()
            if (name === "suspend") {
              assert.deepStrictEqual({ delivered, displaced }, { delivered: CAPACITY, displaced: 0 })
            } else {
              assert.isAtLeast(displaced, delivered - CAPACITY)
              assert.isAtLeast(delivered - displaced, CAPACITY / 2)
            }
            assert.isAtMost(held, CAPACITY)
            assert.isBelow(grown, 32 * MEGABYTE)
          }).pipe(Effect.scoped, Effect.provide(NatsThread.layer({ servers: server.url })))
        }).pipe(Effect.scoped),
      BLOCK_MS + 30_000
    )
  }
})
