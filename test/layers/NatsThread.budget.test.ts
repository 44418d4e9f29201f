/** A handler that blocks its event loop can't be interrupted there; the I/O thread takes its message away. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Publisher from "../../src/Publisher.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import * as NatsServer from "../support/nats-server.ts"
import { eventually } from "../support/patience.ts"
import { createStream } from "../support/transport.ts"
import { witness } from "../support/witness.ts"

const jobs = Topic.make("jobs", { schema: Schema.Number })
const BLOCK_MS = 3_500

const block = (): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCK_MS)
}

/**
 * Blocks in the first call, for longer than its budget of a second. Says which deliveries there were calls for, once all
 * of them are answered.
 */
const calls = (options: Reader.RetryOptions<never>, count: number) =>
  Effect.gen(function*() {
    const server = yield* NatsServer.scoped()
    const eyes = yield* witness(server.url)
    const calls: Array<string> = []
    const consumer = { stream: "JOBS", consumer: "C", timeBudget: "1 second", lanes: 1, ...options } as const
    const read = Reader.handle(jobs, consumer, (job, { deliveryCount }) =>
      Effect.sync(() => {
        calls.push(`${job} ${deliveryCount}`)
        if (calls.length === 1) {
          block()
        }
      }))
    const program = Effect.gen(function*() {
      yield* createStream("JOBS", ["jobs"])
      yield* Publisher.publishAll(jobs, [{ value: 0 }, { value: 1 }, { value: 2 }])
      const reading = yield* Effect.forkChild(read)
      while (calls.length < count) {
        yield* Effect.sleep(20)
      }
      // What comes too often would come now.
      yield* Effect.sleep(300)
      yield* eventually(Effect.promise(() => eyes.ackPending("JOBS", "C")), (left) => assert.strictEqual(left, 0))
      yield* Fiber.interrupt(reading)
      return calls
    })
    return yield* Effect.provide(program, Layer.merge(AckPolicy.onProcess, NatsThread.layer({ servers: server.url })))
  }).pipe(Effect.scoped)

describe("a handler that can't be interrupted and takes longer than its time budget", () => {
  it.live("loses its message, and no other: it is handed back", () =>
    Effect.gen(function*() {
      const found = yield* calls({}, 4)
      assert.deepStrictEqual(found.toSorted(), ["0 1", "0 2", "1 1", "2 1"])
    }), 20_000)

  it.live("has it terminated where that was its last attempt", () =>
    Effect.gen(function*() {
      const found = yield* calls({ maxAttempts: 1 }, 3)
      assert.deepStrictEqual(found, ["0 1", "1 1", "2 1"])
    }), 20_000)

  it.live("has it handed back even then, where something has to be done before it goes", () =>
    Effect.gen(function*() {
      const found = yield* calls({ maxAttempts: 1, onGiveUp: () => Effect.void }, 4)
      assert.deepStrictEqual(found.toSorted(), ["0 1", "0 2", "1 1", "2 1"])
    }), 20_000)
})
