/** Retries that are far away: on virtual time, and on a real server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Headers from "../src/Headers.ts"
import * as Memory from "../src/layers/Memory.ts"
import * as Nats from "../src/layers/Nats.ts"
import type * as Message from "../src/Message.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Provisioner from "../src/Provisioner.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import { Transport } from "../src/Transport.ts"
import { letters, makeDlq } from "./support/letters.ts"
import * as NatsServer from "./support/nats-server.ts"
import { consumer, keyed, Logs, memory, options, pass, send, setUp, start, unkeyed } from "./support/reading.ts"
import { message, publish } from "./support/transport.ts"

const makeRetry = Effect.asVoid(Provisioner.ensure(DeadLetter.retryStream()))

const now = Effect.clockWith((clock) => clock.currentTimeMillis)

/** How many messages wait. */
const waiting = Transport.use(({ topology }) =>
  Effect.map(Option.getOrThrow(topology).describeStream("RETRY"), (info) => Option.getOrThrow(info).messages)
)

const minutes = (count: number) =>
  Effect.forEach(Array.from({ length: count }), () => pass("1 minute"), { discard: true })

describe("a retry that is far away", () => {
  for (const topic of [keyed, unkeyed]) {
    it.effect(`does not hold up the reader (${topic === keyed ? "keyed" : "without a key"}), and keeps its count`, () =>
      Effect.gen(function*() {
        yield* Effect.all([makeDlq, makeRetry])
        const at = new Map<number, Array<number>>()
        const seen: Array<Message.Delivery> = []
        const reader = yield* start(
          Reader.handle(topic, {
            ...options,
            lanes: 8,
            maxAttempts: 3,
            retry: Schedule.spaced("5 minutes"),
            retryStream: true,
            deadLetter: true,
            queue: Queue.suspend({ messages: 20 })
          }, (job, delivery, attempt) =>
            Effect.flatMap(now, (time) => {
              at.set(job.n, [...at.get(job.n) ?? [], Math.round(time / 60_000)])
              if (job.n >= 100) {
                return Effect.void
              }
              seen.push(delivery)
              assert.strictEqual(attempt, at.get(job.n)!.length)
              return Effect.fail({ _tag: "Closed" })
            }))
        )
        // More than the reader may hold would have to wait with it.
        const headers = Result.getOrThrow(Headers.fromRecord({ tenant: "eu" }))
        const bad = Array.from(
          { length: 50 },
          (_, n) => message("jobs.work", JSON.stringify({ key: "k", n }), { headers })
        )
        yield* publish(...bad)
        yield* send(["k", 100])
        yield* pass(100)
        assert.deepStrictEqual(at.get(100), [0], "the key goes on")
        assert.strictEqual((yield* consumer()).ackPending, 0)
        assert.strictEqual(yield* waiting, 50)
        yield* minutes(12)
        for (let n = 0; n < 50; n++) {
          assert.deepStrictEqual(at.get(n), [0, 5, 10])
        }
        const last = seen.at(-1)!
        assert.deepStrictEqual([last.subject, last.stream, last.consumer], ["jobs.work", "JOBS", "worker"])
        assert.deepStrictEqual(Result.getOrThrow(last.headers).get("tenant"), ["eu"])
        assert.isFalse([...Result.getOrThrow(last.headers).keys()].some((name) => name.startsWith("Sluice-")))
        const found = yield* letters
        assert.lengthOf(found, 50)
        for (const { headers, provenance } of found) {
          const { attempts, firstFailure, kind, lastFailure, replays } = provenance
          assert.deepStrictEqual([kind, attempts, replays, Math.round(firstFailure / 60_000)], ["failed", 3, 0, 0])
          assert.strictEqual(Math.round(lastFailure / 60_000), 10)
          assert.deepStrictEqual(headers.get("tenant"), ["eu"])
        }
        assert.strictEqual(yield* waiting, 0)
        yield* reader.interrupt
      }).pipe(memory))
  }

  it.effect("is what `later` says, and a shorter one is not", () =>
    Effect.gen(function*() {
      yield* makeRetry
      const at: Array<number> = []
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          maxAttempts: 4,
          retryStream: { after: "2 minutes" },
          classify: () => at.length === 1 ? Outcome.later("6 minutes") : Outcome.later("1 minute")
        }, () =>
          Effect.flatMap(now, (time) => {
            at.push(Math.round(time / 60_000))
            return Effect.fail("no")
          }))
      )
      yield* pass(100)
      assert.strictEqual(yield* waiting, 1)
      yield* minutes(9)
      assert.deepStrictEqual(at, [0, 6, 7, 8])
      assert.strictEqual(yield* waiting, 0)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("outlives the process that asked for it; what it stored twice waits once", () =>
    Effect.gen(function*() {
      const broker = yield* Memory.Broker
      const here = Effect.provideService(Transport, (yield* broker.connect).transport)
      yield* here(Effect.all([setUp, makeRetry, makeDlq]))
      const at: Array<number> = []
      const reader = Reader.handle(keyed, {
        ...options,
        ackWait: "5 seconds",
        retry: Schedule.spaced("5 minutes"),
        maxAttempts: 9,
        retryStream: true
      }, () =>
        Effect.flatMap(now, (time) => {
          at.push(Math.round(time / 60_000))
          return at.length < 4 ? Effect.fail("no") : Effect.void
        }))
      yield* here(send(["a", 1]))
      // It is stored, and the process ends before anybody hears that the original is done.
      const first = yield* broker.connect
      const dying: Transport["Service"] = {
        ...first.transport,
        open: (source, flow) =>
          Effect.map(first.transport.open(source, flow), (inlet) => ({
            ...inlet,
            settle: (verdicts) =>
              verdicts.some(({ delivery }) => delivery.stream === "JOBS") ? first.disconnect : inlet.settle(verdicts)
          }))
      }
      const one = yield* start(Effect.provideService(reader, Transport, dying))
      yield* pass("10 seconds")
      yield* one.interrupt
      assert.strictEqual(yield* here(waiting), 1)
      const second = yield* start(here(reader))
      yield* pass("10 seconds")
      assert.deepStrictEqual(at, [0, 0], "it was not acknowledged, so it came again")
      assert.strictEqual(yield* here(waiting), 1)
      yield* minutes(12)
      assert.deepStrictEqual(at, [0, 0, 5, 10])
      assert.strictEqual(yield* here(waiting), 0)
      yield* second.interrupt
    }).pipe(Effect.provide([Memory.brokerLayer(), AckPolicy.onProcess])))

  it.effect("waits as others do while there is no place for it", () =>
    Effect.gen(function*() {
      yield* send(["a", 1])
      let calls = 0
      const reader = yield* start(
        Reader.handle(unkeyed, { ...options, retry: Schedule.spaced("5 minutes"), retryStream: true }, () =>
          ++calls === 1 ? Effect.fail("no") : Effect.void)
      )
      yield* pass("10 seconds")
      assert.strictEqual((yield* consumer()).ackPending, 1)
      assert.include((yield* Logs).join("\n"), "cannot wait in RETRY")
      yield* minutes(6)
      assert.strictEqual(calls, 2)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("is refused where it cannot work", () =>
    Effect.gen(function*() {
      const given = { ...options, consumer: Reader.ephemeral(), retryStream: true } as const
      const error = yield* Effect.flip(Reader.handle(keyed, given, () => Effect.void))
      assert.include(error.message, "retryStream")
    }).pipe(memory))
})

describe.each(NatsServer.wantedVersions())("nats-server %s", (version) => {
  it.live("a message waits in the stream, and comes when it is due", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      yield* Effect.gen(function*() {
        yield* Effect.all([setUp, makeRetry])
        yield* send(["a", 1], ["a", 2])
        const at: Array<readonly [n: number, time: number, attempt: number]> = []
        const reader = yield* start(
          Reader.handle(keyed, {
            ...options,
            retry: Schedule.spaced("1500 millis"),
            retryStream: { after: "1 second" }
          }, (job, _, attempt) =>
            Effect.flatMap(now, (time) => {
              at.push([job.n, time, attempt])
              return job.n === 1 && attempt < 3 ? Effect.fail("no") : Effect.void
            }))
        )
        yield* Effect.repeat(Effect.sleep(50), { until: () => at.length === 4 }).pipe(Effect.timeout("15 seconds"))
        assert.deepStrictEqual(at.map(([n, _, attempt]) => [n, attempt]), [[1, 1], [2, 1], [1, 2], [1, 3]])
        assert.isAtLeast(at[2]![1] - at[0]![1], 1_490)
        assert.isAtLeast(at[3]![1] - at[2]![1], 1_490)
        yield* Effect.repeat(waiting, { until: (count) => count === 0 }).pipe(Effect.timeout("15 seconds"))
        yield* reader.interrupt
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(Nats.layer({ servers: server.url }), AckPolicy.onProcess)))
    }).pipe(Effect.scoped), 30_000)
})
