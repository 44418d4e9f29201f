/**
 * The defect that every client of this ecosystem has: prefetched messages whose handlers are slower than the ack wait come
 * again and again (`nats.js#218`, `nats.go#1929`). Here leases are renewed, and the server never counts more than was
 * declared; an independent client watches both.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as Nats from "../src/layers/Nats.ts"
import * as Publisher from "../src/Publisher.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import * as Topic from "../src/Topic.ts"
import * as NatsServer from "./support/nats-server.ts"
import { createStream } from "./support/transport.ts"
import { witness } from "./support/witness.ts"

const MESSAGES = 200
const CAPACITY = 100
const jobs = Topic.make("jobs.{kind}", { schema: Schema.Number })

const slowRun = (version: string, replicas: number, lanes: number, maxAckPending = 20_000) =>
  Effect.gen(function*() {
    const server = yield* NatsServer.scoped({ version })
    const eyes = yield* witness(server.url)
    const calls = new Map<number, number>()
    let done = 0
    const replica = Reader.handle(jobs, {
      stream: "JOBS",
      consumer: "slow",
      ackWait: "5 seconds",
      maxAckPending,
      lanes,
      queue: Queue.suspend({ messages: CAPACITY })
    }, (job) =>
      Effect.gen(function*() {
        calls.set(job, (calls.get(job) ?? 0) + 1)
        yield* Effect.sleep("250 millis")
        done++
      })).pipe(Effect.provide(Layer.merge(AckPolicy.onProcess, Nats.layer({ servers: server.url }))))

    yield* Effect.gen(function*() {
      yield* createStream("JOBS", ["jobs.>"])
      const items = Array.from({ length: MESSAGES }, (_, value) => ({ params: { kind: "slow" }, value }))
      yield* Publisher.publishAll(jobs, items)
    }).pipe(Effect.provide(Nats.layer({ servers: server.url })))

    let most = 0
    let redelivered = 0
    const readers = yield* Effect.forEach(Array.from({ length: replicas }), () => Effect.forkChild(replica))
    while (done < MESSAGES) {
      const pending = yield* Effect.promise(() => eyes.ackPending("JOBS", "slow").catch(() => 0))
      most = Math.max(most, pending)
      redelivered = Math.max(redelivered, yield* Effect.promise(() => eyes.redelivered("JOBS", "slow").catch(() => 0)))
      yield* Effect.sleep(5)
    }
    yield* Effect.sleep(500)
    const left = yield* Effect.promise(() => eyes.ackPending("JOBS", "slow"))
    yield* Effect.forEach(readers, Fiber.interrupt)
    return { calls: [...calls.values()], most, redelivered, left }
  })

const check = (outcome: Effect.Success<ReturnType<typeof slowRun>>, bound: number) => {
  assert.strictEqual(outcome.calls.length, MESSAGES)
  assert.deepStrictEqual(outcome.calls.filter((calls) => calls !== 1), [])
  assert.strictEqual(outcome.redelivered, 0)
  assert.isAtMost(outcome.most, bound)
  assert.isAtLeast(outcome.most, 1)
  assert.strictEqual(outcome.left, 0)
}

describe.concurrent.each(NatsServer.wantedVersions())(
  "handlers slower than the ack wait, nats-server %s",
  (version) => {
    it.live("one replica: no redelivery, and never more outstanding than the capacity", () =>
      Effect.gen(function*() {
        check(yield* slowRun(version, 1, 1), CAPACITY)
      }), 120_000)

    it.live("three replicas: the same", () =>
      Effect.gen(function*() {
        check(yield* slowRun(version, 3, 1), 3 * CAPACITY)
      }), 120_000)

    it.live("three replicas that share one declared capacity: the same", () =>
      Effect.gen(function*() {
        check(yield* slowRun(version, 3, 4, CAPACITY), CAPACITY)
      }), 120_000)

    it.live("three replicas with lanes: the same", () =>
      Effect.gen(function*() {
        check(yield* slowRun(version, 3, 16), 3 * CAPACITY)
      }), 120_000)
  }
)
