import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as Memory from "../src/layers/Memory.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import { Transport } from "../src/Transport.ts"
import {
  consumer,
  delivered,
  keyed,
  Logs,
  memory,
  options,
  pass,
  send,
  setUp,
  start,
  unkeyed
} from "./support/reading.ts"

const twice = Effect.fnUntraced(function*(millis: number, times: number) {
  for (let i = 0; i < times; i++) {
    yield* pass(millis)
  }
})

describe("a lost lease", () => {
  it.effect("starts no handler: somebody else gets the message", () =>
    Effect.gen(function*() {
      const broker = yield* Memory.Broker
      const connection = yield* broker.connect
      const other = yield* broker.connect
      const seen: Array<string> = []
      const reader = (name: string) =>
        Reader.handle(unkeyed, { ...options, ackWait: "10 seconds" }, (job) =>
          Effect.andThen(
            Effect.sync(() => seen.push(`${name}${job.n}`)),
            Effect.sleep("40 seconds")
          )).pipe(
            Effect.provide(AckPolicy.onProcess)
          )
      yield* Effect.provideService(Effect.andThen(setUp, send(["a", 1], ["a", 2])), Transport, other.transport)
      const first = yield* start(Effect.provideService(reader("x"), Transport, connection.transport))
      yield* pass(100)
      yield* connection.disconnect
      yield* twice(1_000, 12)
      const second = yield* start(Effect.provideService(reader("y"), Transport, other.transport))
      yield* twice(1_000, 90)
      assert.deepStrictEqual(seen.toSorted(), ["x1", "y1", "y2"])
      yield* connection.reconnect
      yield* first.interrupt
      yield* second.interrupt
      const ledger = first.ledger()
      assert.deepStrictEqual([ledger.delivered, ledger.finished, ledger.lost, ledger.returned], [2, 1, 1, 0])
      assert.strictEqual(delivered(ledger), 2)
      // What was lost is nobody's to hand back.
      assert.strictEqual(ledger.abandoned, 0)
    }).pipe(Effect.provide(Memory.brokerLayer())))
})

describe("time", () => {
  it.effect("a delay longer than the budget goes by way of the broker, and the key goes on", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      yield* send(["a", 1], ["a", 2])
      const reader = yield* start(
        Reader.handle(
          keyed,
          { ...options, timeBudget: "5 seconds", retry: Schedule.spaced("10 seconds") },
          (job, message) =>
            Effect.suspend(() => {
              seen.push(`${job.n}:${message.deliveryCount}`)
              return seen.length === 1 ? Effect.fail("no") : Effect.void
            })
        )
      )
      yield* pass(100)
      assert.deepStrictEqual(seen, ["1:1", "2:1"])
      yield* twice(1_000, 11)
      assert.deepStrictEqual(seen, ["1:1", "2:1", "1:2"])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("giving up has a budget too, and keeps the message when that is over", () =>
    Effect.gen(function*() {
      let asked = 0
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          maxAttempts: 1,
          timeBudget: "5 seconds",
          onGiveUp: () => Effect.suspend(() => ++asked === 1 ? Effect.never : Effect.void)
        }, () => Effect.fail("no"))
      )
      yield* twice(1_000, 5)
      assert.include((yield* Logs)[0], "it is kept")
      assert.strictEqual(reader.ledger().failed, 0)
      yield* twice(1_000, 3)
      assert.deepStrictEqual([asked, reader.ledger().failed], [2, 1])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("what waits in a lane does not use up its budget", () =>
    Effect.gen(function*() {
      const numbers = Array.from({ length: 5 }, (_, n) => ["a", n] as const)
      yield* send(...numbers)
      const reader = yield* start(
        Reader.handle(unkeyed, { ...options, timeBudget: "70 seconds" }, () => Effect.sleep("1 minute"))
      )
      yield* twice(5_000, 61)
      const { lost, processed } = reader.ledger()
      assert.deepStrictEqual([processed, lost, (yield* consumer()).redelivered], [5, 0, 0])
      yield* reader.interrupt
    }).pipe(memory))
})

describe("what a log and a broker are told of a failure", () => {
  const told = (cause: Cause.Cause<unknown>) =>
    Effect.gen(function*() {
      const failures: Array<Reader.Failure> = []
      yield* send(["a", 1])
      const onGiveUp = (failure: Reader.Failure) => Effect.sync(() => failures.push(failure))
      const reader = yield* start(
        Reader.handle(keyed, { ...options, maxAttempts: 1, onGiveUp }, () => Effect.failCause(cause))
      )
      yield* pass(10)
      yield* reader.interrupt
      return failures.map(({ _tag, reason }) => `${_tag}: ${reason}`)
    }).pipe(memory)

  it.effect("the tag of a typed error, if it looks like one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(Cause.fail({ _tag: "Shop/OutOfStock" })), ["Failed: Shop/OutOfStock"])
      assert.deepStrictEqual(yield* told(Cause.fail({ _tag: "card 4711 refused" })), ["Failed: Failed"])
      assert.deepStrictEqual(yield* told(Cause.fail("card 4711 refused")), ["Failed: Failed"])
    }))

  it.effect("a defect wins over a typed error beside it", () =>
    Effect.gen(function*() {
      const both = Cause.combine(Cause.fail({ _tag: "Refused" }), Cause.die("bug"))
      assert.deepStrictEqual(yield* told(both), ["Defect: Defect"])
    }))

  it.effect("a handler that interrupts itself has failed: its message must not spin", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(Cause.interrupt(1)), ["Defect: Defect"])
    }))
})

describe("a source that goes away while handlers run", () => {
  const run = (onError: "raise" | "finish" | "wait") =>
    Effect.gen(function*() {
      const topology = Option.getOrThrow((yield* Transport).topology)
      const log: Array<string> = []
      const owner = yield* start(Reader.handle(keyed, options, () => Effect.never))
      yield* pass(10)
      yield* owner.interrupt
      const reader = yield* start(
        Reader.handle(keyed, { ...options, bind: true, onError, queue: Queue.suspend({ messages: 3 }) }, (job) =>
          Effect.andThen(
            Effect.sleep(1_000),
            Effect.sync(() =>
              log.push(`${job.n}`)
            )
          ).pipe(
            Effect.onInterrupt(() => Effect.sync(() => log.push(`${job.n} interrupted`)))
          ))
      )
      yield* send(["a", 1], ["a", 2])
      yield* pass(10)
      yield* topology.deleteConsumer("JOBS", "worker")
      yield* twice(1_000, 3)
      return { log, reader }
    })

  it.effect("raise: interrupts them", () =>
    Effect.gen(function*() {
      const { log, reader } = yield* run("raise")
      assert.deepStrictEqual(log, ["1 interrupted"])
      assert.strictEqual(reader.fiber.pollUnsafe()?._tag, "Failure")
    }).pipe(memory))

  it.effect("finish: lets them end, begins no other, and ends", () =>
    Effect.gen(function*() {
      const { log, reader } = yield* run("finish")
      assert.deepStrictEqual(log, ["1"])
      assert.strictEqual(reader.fiber.pollUnsafe()?._tag, "Success")
    }).pipe(memory))

  it.effect("wait: lets them end, begins no other, and waits for the source", () =>
    Effect.gen(function*() {
      const { log, reader } = yield* run("wait")
      assert.deepStrictEqual(log, ["1"])
      assert.isUndefined(reader.fiber.pollUnsafe())
      const owner = yield* start(
        Reader.handle(keyed, { ...options, start: { _tag: "sequence", sequence: 2 } }, () => Effect.never)
      )
      yield* pass(10)
      yield* owner.interrupt
      yield* twice(1_000, 8)
      assert.deepStrictEqual(log, ["1", "2"])
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.delivered, ledger.finished, ledger.returned, ledger.processed], [3, 2, 1, 2])
      yield* reader.interrupt
      assert.strictEqual(delivered(reader.ledger()), reader.ledger().delivered)
    }).pipe(memory))
})

describe("what cannot work", () => {
  it.effect("is not waited for", () =>
    Effect.gen(function*() {
      const impossible = { ...options, onError: "wait", queue: Queue.suspend({ bytes: 1 }) } as const
      const error = yield* Effect.flip(Reader.handle(keyed, impossible, () => Effect.void))
      assert.strictEqual(error.reason._tag, "Invalid")
      const same = yield* Effect.flip(Stream.runDrain(Reader.stream(keyed, impossible)))
      assert.strictEqual(same.reason._tag, "Invalid")
    }).pipe(memory))
})

describe("memory that is full of parked keys", () => {
  it.effect("stops taking, and goes on when a key is done", () =>
    Effect.gen(function*() {
      const attempts = new Map<number, number>()
      yield* send(["a", 1], ["b", 2], ["c", 3])
      const reader = yield* start(
        Reader.handle(
          keyed,
          { ...options, queue: Queue.suspend({ messages: 2 }), retry: Schedule.spaced(1_000) },
          (job) =>
            Effect.suspend(() => {
              attempts.set(job.n, (attempts.get(job.n) ?? 0) + 1)
              return attempts.get(job.n) === 1 ? Effect.fail("no") : Effect.void
            })
        )
      )
      yield* pass(900)
      assert.deepStrictEqual([...attempts.keys()], [1, 2])
      yield* twice(500, 6)
      assert.deepStrictEqual([...attempts], [[1, 2], [2, 2], [3, 2]])
      yield* reader.interrupt
    }).pipe(memory))
})
