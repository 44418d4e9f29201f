/** The strategy `spill` as a reader sees it, over the broker in memory. The disk is real, and so takes real time. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as DeadLetter from "../src/DeadLetter.ts"
import { Files } from "../src/internal/spill/files.ts"
import * as Metrics from "../src/Metrics.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import * as Settlement from "../src/Settlement.ts"
import * as Topology from "../src/Topology.ts"
import { Transport } from "../src/Transport.ts"
import { makeDlq } from "./support/letters.ts"
import { keyed, Logs, options, send, start, unkeyed } from "./support/reading.ts"
import { assertAddsUp, isAcked, jobs, noting, range, spilling, standing } from "./support/spilled.ts"
import { filesOf, Refusing, sizeOf, tick, until } from "./support/spilling.ts"
import { bound, durable, numbered, open, publish, textOf } from "./support/transport.ts"

describe("a reader that spills", () => {
  it.effect("frees the broker although it is stuck, and the next one gets the rest, in order", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* send(...jobs(1, 40))
        const stuck = noting(directory, { segmentBytes: 2_000 })
        stuck.gate.closeUnsafe()
        const first = yield* start(stuck.reader)
        yield* until(isAcked, "all are on disk, and acknowledged")
        yield* first.interrupt
        assertAddsUp(first.ledger())
        assert.deepInclude(first.ledger(), { delivered: 40, returned: 39, abandoned: 1 })
        yield* send(...jobs(41, 60))
        const quick = noting(directory, { segmentBytes: 2_000 })
        const second = yield* start(quick.reader)
        yield* until(() => quick.seen.length === 60, "all are handled")
        assert.deepStrictEqual(quick.seen, range(1, 60))
        yield* until(isAcked, "all are acknowledged")
        yield* second.interrupt
        assertAddsUp(second.ledger())
        assert.deepInclude(second.ledger(), { delivered: 60, finished: 60, processed: 60, returned: 0 })
        assert.deepStrictEqual(yield* filesOf(directory, ""), [])
      })
    ))

  it.effect("hands on what does not have to wait without reading it back", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        const files = new Refusing()
        files.refuses.add("read")
        const { reader, seen } = noting(directory)
        const running = yield* start(Effect.provideService(reader, Files, files))
        for (let n = 1; n <= 5; n++) {
          yield* send(["k", n])
          yield* until(() => seen.length === n, `${n} is handled`)
        }
        assert.strictEqual(files.refused, 0)
        yield* running.interrupt
      })
    ))

  it.effect("keeps the order while it reads back and more comes in, sometimes faster and sometimes slower", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        const seen: Array<number> = []
        let pause = 0
        const queue = Queue.spill({ directory, messages: 8, segmentBytes: 2_000 })
        const reader = yield* start(
          Reader.handle(keyed, { ...options, queue }, ({ n }) =>
            Effect.andThen(
              Effect.sleep(pause),
              Effect.sync(() => void seen.push(n))
            ))
        )
        for (let burst = 0; burst < 40; burst++) {
          pause = burst % 10 < 6 ? 20 : 0
          yield* send(...jobs(burst * 5 + 1, burst * 5 + 5))
          for (let turn = 0; turn < 4; turn++) {
            yield* tick
          }
        }
        yield* until(() => seen.length >= 200, "all are handled")
        assert.deepStrictEqual(seen, range(1, 200))
        yield* reader.interrupt
        assertAddsUp(reader.ledger())
      })
    ))

  it.effect("tries again what fails, from the disk; then gives it up, and it is gone from there", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* send(...jobs(1, 3))
        const attempts: Array<readonly [n: number, attempt: number]> = []
        const given: Array<number> = []
        const reader = yield* start(
          Reader.handle(
            unkeyed,
            {
              ...options,
              queue: Queue.spill({ directory }),
              retry: Schedule.spaced("1 second"),
              maxAttempts: 3,
              onGiveUp: (failure) => Effect.sync(() => void given.push(failure.attempts))
            },
            ({ n }, message, attempt) => {
              attempts.push([n, attempt])
              assert.strictEqual(message.deliveryCount, attempt)
              return n === 2 ? Effect.fail("no") : Effect.void
            }
          )
        )
        yield* until(() => given.length === 1, "it is given up")
        yield* until(isAcked, "all are acknowledged")
        assert.deepStrictEqual(attempts, [[1, 1], [2, 1], [3, 1], [2, 2], [2, 3]])
        yield* reader.interrupt
        assertAddsUp(reader.ledger())
        assert.deepInclude(reader.ledger(), { delivered: 5, finished: 5, processed: 2, retried: 2, failed: 1 })
        assert.deepStrictEqual(yield* filesOf(directory, ""), [])
      })
    ))

  it.effect("keeps what it gives up as a dead letter, and gets it again when it is replayed", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* makeDlq
        yield* send(...jobs(1, 5))
        const seen: Array<number> = []
        let isMended = false
        const reader = yield* start(
          Reader.handle(
            keyed,
            { ...options, queue: Queue.spill({ directory }), maxAttempts: 1, deadLetter: true },
            ({ n }) =>
              Effect.suspend(() => n === 3 && !isMended ? Effect.fail("no") : Effect.sync(() => void seen.push(n)))
          )
        )
        yield* until(() => seen.length === 4, "the others are handled")
        yield* until(Effect.map(DeadLetter.list(), ({ length }) => length === 1), "it is buried")
        isMended = true
        const replayed = yield* Effect.forkChild(DeadLetter.replay(), { startImmediately: true })
        yield* until(() => replayed.pollUnsafe() !== undefined, "it is replayed")
        yield* until(() => seen.length === 5, "it is handled")
        assert.deepStrictEqual(seen, [1, 2, 4, 5, 3])
        yield* reader.interrupt
      })
    ))

  it.effect("drains what is in memory, and leaves the rest on disk", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* send(...jobs(1, 50))
        const seen: Array<number> = []
        let gate = Effect.never as Effect.Effect<void>
        const queue = Queue.spill({ directory, messages: 8 })
        const slow = yield* start(
          Reader.handle(keyed, { ...options, queue }, ({ n }) =>
            Effect.andThen(
              Effect.raceFirst(gate, Effect.sleep("1 second")),
              Effect.sync(() => void seen.push(n))
            ))
        )
        yield* until(isAcked, "all are acknowledged")
        const before = seen.length
        yield* slow.drain
        gate = Effect.sleep("10 millis")
        yield* until(() => slow.fiber.pollUnsafe() !== undefined, "it ends")
        assert.isAtLeast(seen.length, 1)
        assert.isAtMost(seen.length, before + 8)
        assert.deepStrictEqual(seen, range(1, seen.length))
        assertAddsUp(slow.ledger())
        const rest = noting(directory)
        const next = yield* start(rest.reader)
        yield* until(() => rest.seen.length + seen.length === 50, "the rest is handled")
        assert.deepStrictEqual([...seen, ...rest.seen], range(1, 50))
        yield* next.interrupt
      })
    ))

  it.effect("reads nothing back once it is stopped, however much room there is", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* publish(...numbered("jobs.work", 1, 30))
        const inlet = yield* open(durable("JOBS", "worker"), {
          queue: Queue.spill({ directory, messages: 8 }),
          ack: { _tag: "onEnqueue" }
        })
        yield* until(isAcked, "all are acknowledged")
        const taken = yield* inlet.take(8)
        yield* inlet.stop
        yield* inlet.settle(taken.map((delivery) => ({ delivery, settlement: Settlement.ack })))
        for (let turn = 0; turn < 20; turn++) {
          yield* tick
        }
        assert.isTrue(Cause.isDone(yield* Effect.flip(inlet.take(8))))
      })
    ))

  it.effect("stops pulling when the directory is full, and goes on when there is room", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* send(...jobs(1, 200))
        const full = noting(directory, { maxBytes: 4_000, segmentBytes: 1_000 })
        full.gate.closeUnsafe()
        const stuck = yield* start(full.reader)
        yield* until(Effect.map(standing, ({ ackPending }) => ackPending === 8), "it holds what it may")
        // Until nothing more happens, however long it takes.
        for (let [delivered, turns] = [0, 0]; turns < 50; turns++) {
          const now = stuck.ledger().delivered
          turns = now === delivered ? turns : 0
          delivered = now
          yield* tick
        }
        assert.isAtLeast((yield* standing).pending, 100)
        assert.strictEqual((yield* standing).ackPending, 8)
        const sizes = yield* Effect.promise(() => sizeOf(directory))
        assert.isAtLeast(sizes, 3_000)
        assert.isAtMost(sizes, 4_000)
        yield* stuck.interrupt
        const { reader, seen } = noting(directory, { maxBytes: 4_000, segmentBytes: 1_000 })
        const quick = yield* start(reader)
        yield* until(() => new Set(seen).size === 200, "all are handled")
        assert.deepStrictEqual(seen, range(1, 200))
        yield* quick.interrupt
      })
    ))

  it.effect("lets go of what is done, also while something older is not", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const queue = Queue.spill({ directory, maxBytes: 4_000, segmentBytes: 2_000 })
        const reader = yield* start(
          Reader.handle(keyed, { ...options, queue, lanes: 8 }, ({ key }) =>
            key === "stuck" ? Effect.never : Effect.sync(() =>
              void seen.push(key)
            ))
        )
        yield* send(["stuck", 0], ...jobs(1, 22))
        yield* until(() => seen.length === 22, "all others are handled")
        assert.lengthOf(yield* filesOf(directory, ".segment"), 2)
        // It fits only without the segment that is being written, of which everything is done.
        const large = "x".repeat(4_000 - 20 - (yield* Effect.promise(() => sizeOf(directory))))
        yield* send([large, 1])
        yield* until(() => seen.includes(large), "it is handled")
        yield* reader.interrupt
        assertAddsUp(reader.ledger())
      })
    ))

  it.effect("gives all that is on disk before it tells that its source is gone", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* publish(...numbered("jobs.work", 1, 30))
        const admin = Option.getOrThrow((yield* Transport).topology)
        yield* admin.createConsumer("JOBS", Topology.consumer("worker"))
        const inlet = yield* open(bound("JOBS", "worker"), {
          queue: Queue.spill({ directory, messages: 8 }),
          ack: { _tag: "onEnqueue" }
        })
        yield* until(isAcked, "all are acknowledged")
        yield* admin.deleteConsumer("JOBS", "worker")
        const texts: Array<string> = []
        const taking = Effect.gen(function*() {
          while (true) {
            const deliveries = yield* inlet.take(3)
            texts.push(...deliveries.map(textOf))
            yield* inlet.settle(deliveries.map((delivery) => ({ delivery, settlement: Settlement.ack })))
          }
        })
        const taker = yield* Effect.forkChild(Effect.flip(taking), { startImmediately: true })
        yield* until(() => taker.pollUnsafe() !== undefined, "it ends")
        const error = yield* Fiber.join(taker)
        assert.deepStrictEqual(texts, range(1, 30).map(String))
        assert.isTrue(!Cause.isDone(error) && error.reason._tag === "ConsumerNotFound")
      })
    ))
})

describe("a disk that refuses", () => {
  for (const [what, code] of [["write", "ENOSPC"], ["sync", "EIO"]] as const) {
    it.effect(`to ${what}: nothing is acknowledged; it is told and counted, and goes on when it no longer does`, () =>
      spilling((directory) =>
        Effect.gen(function*() {
          const files = new Refusing()
          files.code = code
          const { reader, seen } = noting(directory)
          const running = yield* start(Effect.provideService(reader, Files, files))
          yield* send(...jobs(1, 3))
          yield* until(() => seen.length === 3, "the first are handled")
          yield* until(isAcked, "they are acknowledged")
          files.partly = 100
          files.refuses.add(what)
          yield* send(...jobs(4, 9))
          yield* until(() => files.refused >= 6, "it has tried some times")
          assert.strictEqual((yield* standing).ackPending, 6)
          assert.deepStrictEqual(seen, range(1, 3))
          const told = (yield* Logs).filter((line) => line.includes(code) && line.includes("nothing is acknowledged"))
          assert.lengthOf(told, 1)
          const { failures } = Metrics.spill({ stream: "JOBS", consumer: "worker" })
          assert.isAtLeast((yield* Metric.value(failures(code))).count, 3)
          files.refuses.clear()
          yield* until(() => seen.length === 9, "all are handled")
          assert.deepStrictEqual(seen, range(1, 9))
          yield* until(isAcked, "all are acknowledged")
          assert.isTrue((yield* Logs).some((line) => line.includes("the disk takes it again")))
          yield* running.interrupt
          assertAddsUp(running.ledger())
        })
      ).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
  }

  it.effect("to read: it is told, and read when it no longer does", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* send(...jobs(1, 40))
        const files = new Refusing()
        files.code = "EIO"
        const { gate, reader, seen } = noting(directory)
        gate.closeUnsafe()
        const running = yield* start(Effect.provideService(reader, Files, files))
        yield* until(isAcked, "all are acknowledged")
        files.refuses.add("read")
        gate.openUnsafe()
        yield* until(() => files.refused >= 3, "it has tried some times")
        assert.isTrue((yield* Logs).some((line) => line.includes("nothing is read back") && line.includes("EIO")))
        // There is room in memory now, but these are not next.
        yield* send(...jobs(41, 44))
        yield* until(() => running.ledger().delivered === 44, "they are on disk")
        yield* until(isAcked, "they are acknowledged")
        assert.deepStrictEqual(seen, range(1, 8))
        files.refuses.clear()
        yield* until(() => seen.length === 44, "all are handled")
        assert.deepStrictEqual(seen, range(1, 44))
        yield* running.interrupt
      })
    ))

  it.effect("to keep what it was given: what cannot be read is lost, by name and number, and its file is kept", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* send(...jobs(1, 30))
        const stuck = noting(directory)
        stuck.gate.closeUnsafe()
        const first = yield* start(stuck.reader)
        yield* until(isAcked, "all are acknowledged")
        yield* first.interrupt
        const [name = ""] = yield* filesOf(directory, ".segment")
        const path = join(directory, name)
        const bytes = yield* Effect.promise(() => readFile(path))
        bytes[bytes.indexOf(`"n":20`) + 5]! ^= 1
        yield* Effect.promise(() => writeFile(path, bytes))
        const { reader, seen } = noting(directory)
        const second = yield* start(reader)
        yield* until(() => seen.length === 29, "all others are handled")
        assert.deepStrictEqual(seen, [...range(1, 19), ...range(21, 30)])
        assert.isTrue((yield* Logs).some((line) => line.startsWith("Error") && line.includes("1 messages on disk")))
        yield* second.interrupt
        assertAddsUp(second.ledger())
        assert.strictEqual(second.ledger().lost, 1)
        assert.deepStrictEqual(yield* filesOf(directory, ""), [`${name}.damaged`])
      })
    ))
})
