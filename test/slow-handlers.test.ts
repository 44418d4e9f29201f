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
import { eventually } from "./support/patience.ts"
import { createStream } from "./support/transport.ts"
import { witness } from "./support/witness.ts"

const MESSAGES = 200
const CAPACITY = 100
const jobs = Topic.make("jobs.{kind}", { schema: Schema.Number })

interface Run {
  readonly replicas: number
  readonly lanes: number
  /** What each replica may hold. */
  readonly capacity: number
  /** What the consumer may have unanswered, over all replicas. */
  readonly maxAckPending?: number
}

const slowRun = (version: string, { capacity, lanes, maxAckPending = 20_000, replicas }: Run) =>
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
      queue: Queue.suspend({ messages: capacity })
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
    yield* eventually(Effect.promise(() => eyes.ackPending("JOBS", "slow")), (left) => assert.strictEqual(left, 0))
    yield* Effect.forEach(readers, Fiber.interrupt)
    return { calls: [...calls.values()], most, redelivered }
  })

const check = (outcome: Effect.Success<ReturnType<typeof slowRun>>, bound: number) => {
  assert.strictEqual(outcome.calls.length, MESSAGES)
  assert.deepStrictEqual(outcome.calls.filter((calls) => calls !== 1), [])
  assert.strictEqual(outcome.redelivered, 0)
  assert.isAtMost(outcome.most, bound)
  // A bound that is never reached proves nothing.
  assert.isAtLeast(outcome.most, bound / 2)
}

describe.concurrent.each(NatsServer.wantedVersions())(
  "handlers slower than the ack wait, nats-server %s",
  (version) => {
    it.live("one replica: no redelivery, and never more outstanding than the capacity", () =>
      Effect.gen(function*() {
        check(yield* slowRun(version, { replicas: 1, lanes: 1, capacity: CAPACITY }), CAPACITY)
      }), 120_000)

    it.live(
      "three replicas: no redelivery, and never more outstanding than their capacities together",
      () =>
        Effect.gen(function*() {
          check(yield* slowRun(version, { replicas: 3, lanes: 1, capacity: 30 }), 3 * 30)
        }),
      120_000
    )

    it.live("three replicas that share one declared capacity", () =>
      Effect.gen(function*() {
        const run = { replicas: 3, lanes: 4, capacity: CAPACITY, maxAckPending: CAPACITY }
        check(yield* slowRun(version, run), CAPACITY)
      }), 120_000)

    it.live("three replicas with lanes", () =>
      Effect.gen(function*() {
        check(yield* slowRun(version, { replicas: 3, lanes: 16, capacity: 20 }), 3 * 20)
      }), 120_000)
  }
)
