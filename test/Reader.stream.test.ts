import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
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
  sendRaw,
  setUp,
  start
} from "./support/reading.ts"

const three = [["a", 1], ["a", 2], ["a", 3]] as const

describe("stream", () => {
  it.effect("keeps chunks, and settles by hand", () =>
    Effect.gen(function*() {
      yield* send(["first", 0])
      const chunks: Array<number> = []
      const reader = yield* start(Stream.runForEachArray(Reader.stream(keyed, options), (chunk) => {
        chunks.push(chunk.length)
        const settle = (delivery: Reader.Delivery<unknown>, i: number) =>
          [delivery.ack, delivery.nak("1 hour"), delivery.term("no use")][i] ?? Effect.void
        return Effect.andThen(Effect.forEach(chunk, settle, { discard: true }), Effect.sleep(50))
      }))
      yield* pass(10)
      yield* send(...three)
      yield* pass(100)
      assert.deepStrictEqual(chunks, [1, 3])
      const { ackFloor, ackPending } = yield* consumer()
      assert.deepStrictEqual([ackFloor, ackPending], [2, 1])
      const { finished, processed, rejected, retried } = reader.ledger()
      assert.deepStrictEqual([finished, processed, retried, rejected], [4, 2, 1, 1])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("settling a second time, or after the end, does nothing", () =>
    Effect.gen(function*() {
      yield* send(...three)
      let last: Reader.Delivery<unknown> | undefined
      const reader = yield* start(
        Reader.stream(keyed, options).pipe(
          Stream.tap((delivery) => {
            last = delivery
            return delivery.message.streamSequence === 3
              ? Effect.void
              : Effect.andThen(delivery.ack, Effect.andThen(delivery.nak(), delivery.term("no")))
          }),
          Stream.take(3),
          Stream.runDrain
        )
      )
      yield* pass(100)
      yield* Fiber.join(reader.fiber)
      yield* last!.ack
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.finished, ledger.processed, ledger.retried, ledger.returned], [2, 2, 0, 1])
      assert.strictEqual(delivered(ledger), ledger.delivered)
      assert.strictEqual((yield* consumer()).ackFloor, 2)
    }).pipe(memory))

  it.effect("gives an undecodable message its error as value", () =>
    Effect.gen(function*() {
      yield* sendRaw("{")
      const first = yield* Stream.runHead(Reader.stream(keyed, options))
      const { value } = Option.getOrThrow(first)
      assert.isTrue(Result.isFailure(value) && value.failure._tag === "DecodeError")
    }).pipe(memory))

  it.effect("holds no more than its capacity, and warns once when nothing is ever settled", () =>
    Effect.gen(function*() {
      const logs = yield* Logs
      yield* send(...three)
      const reader = yield* start(
        Stream.runDrain(Reader.stream(keyed, { ...options, queue: Queue.suspend({ messages: 2 }) }))
      )
      yield* pass("29 seconds")
      assert.strictEqual(reader.ledger().delivered, 2)
      assert.lengthOf(logs, 0)
      yield* pass("10 seconds")
      assert.lengthOf(logs, 1)
      assert.include(logs[0], "Warn reader JOBS/worker has stalled: 2 deliveries are not settled")
      yield* pass("1 hour")
      assert.lengthOf(logs, 1)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("does not warn of a loop that is slow but settles", () =>
    Effect.gen(function*() {
      const logs = yield* Logs
      yield* send(...three)
      const reader = yield* start(
        Reader.stream(keyed, { ...options, queue: Queue.suspend({ messages: 1 }) }).pipe(
          Stream.tap((delivery) => Effect.andThen(Effect.sleep("2 minutes"), delivery.ack)),
          Stream.runDrain
        )
      )
      for (let i = 0; i < 70; i++) {
        yield* pass("10 seconds")
      }
      assert.deepStrictEqual([logs.length, reader.ledger().processed], [0, 3])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("does not warn of a full queue that moves", () =>
    Effect.gen(function*() {
      const logs = yield* Logs
      yield* send(...Array.from({ length: 20 }, (_, n) => ["a", n] as const))
      const reader = yield* start(
        Reader.stream(keyed, { ...options, timeBudget: "1 hour", queue: Queue.suspend({ messages: 2 }) }).pipe(
          Stream.mapEffect(({ ack, message }) =>
            message.streamSequence === 1 ? Effect.never : Effect.andThen(Effect.sleep("4 seconds"), ack), {
            concurrency: 8,
            unordered: true
          }),
          Stream.runDrain
        )
      )
      for (let i = 0; i < 15; i++) {
        yield* pass("4 seconds")
      }
      assert.deepStrictEqual(logs, [])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("drained: ends, and what was taken can still be settled", () =>
    Effect.gen(function*() {
      yield* send(...three)
      const reader = yield* start(
        Reader.stream(keyed, options).pipe(
          Stream.mapEffect((delivery) => Effect.andThen(Effect.sleep(1_000), delivery.ack), { concurrency: 8 }),
          Stream.runDrain
        )
      )
      yield* pass(500)
      yield* reader.drain
      yield* pass(1_000)
      yield* Fiber.join(reader.fiber)
      assert.deepStrictEqual([reader.ledger().finished, reader.ledger().returned], [3, 0])
      assert.strictEqual((yield* consumer()).ackFloor, 3)
    }).pipe(memory))

  it.effect("ordered: there is nothing to settle, so a loop that settles nothing gets everything", () =>
    Effect.gen(function*() {
      yield* send(...three)
      const ordered = { stream: "JOBS", consumer: Reader.ordered(), queue: Queue.suspend({ messages: 1 }) }
      const fiber = yield* Effect.forkChild(Stream.runCount(Stream.take(Reader.stream(keyed, ordered), 3)))
      yield* pass(1_000)
      assert.strictEqual(yield* Fiber.join(fiber), 3)
    }).pipe(memory))

  it.effect("under onEnqueue there is nothing to settle either", () =>
    Effect.gen(function*() {
      yield* send(...three)
      const settings = { ...options, queue: Queue.suspend({ messages: 1 }) }
      const reader = yield* start(
        Reader.stream(keyed, settings).pipe(
          Stream.mapEffect((delivery) => delivery.nak()),
          Stream.take(3),
          Stream.runDrain,
          Effect.provide(AckPolicy.onEnqueue)
        )
      )
      yield* pass(1_000)
      yield* Fiber.join(reader.fiber)
      assert.deepStrictEqual([reader.ledger().processed, reader.ledger().retried], [3, 0])
      assert.strictEqual((yield* consumer()).ackFloor, 3)
    }).pipe(memory))

  it.effect("wait: goes on when the source is there again", () =>
    Effect.gen(function*() {
      const logs = yield* Logs
      const topology = Option.getOrThrow((yield* Transport).topology)
      const seen: Array<number> = []
      const loop = Stream.runForEach(Reader.stream(keyed, { ...options, bind: true, onError: "wait" }), (delivery) =>
        Effect.andThen(Effect.sync(() => seen.push(delivery.message.streamSequence)), delivery.ack))
      const owner = { ...options } as const
      const made = yield* start(Reader.handle(keyed, owner, () =>
        Effect.never))
      yield* pass(10)
      yield* made.interrupt
      const reader = yield* start(loop)
      yield* send(...three)
      yield* pass(100)
      yield* topology.deleteConsumer("JOBS", "worker")
      yield* pass(20_000)
      assert.isUndefined(reader.fiber.pollUnsafe())
      assert.isTrue(logs.length >= 1 && logs.length <= 3, logs.join("\n"))
      const again = yield* start(Reader.handle(keyed, { ...owner, start: { _tag: "sequence", sequence: 4 } }, () =>
        Effect.never))
      yield* pass(10)
      yield* again.interrupt
      yield* send(["a", 4])
      yield* pass(7_000)
      assert.deepStrictEqual(seen, [1, 2, 3, 4])
      assert.strictEqual(reader.ledger().processed, 4)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("raise: fails when the source is gone for good", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Stream.runDrain(Reader.stream(keyed, { ...options, bind: true })))
      assert.strictEqual(error.reason._tag, "ConsumerNotFound")
      assert.strictEqual(yield* Stream.runCount(Reader.stream(keyed, { ...options, bind: true, onError: "finish" })), 0)
    }).pipe(memory))
})

describe("a delivery that waited in its chunk until its lease ran out", () => {
  /** Three deliveries of one chunk; while the first is worked on, the connection is away for longer than the ack wait. */
  const away = Effect.fnUntraced(function*<A, E, R>(read: Stream.Stream<A, E, R>) {
    const broker = yield* Memory.Broker
    yield* setUp
    yield* send(...three)
    const reader = yield* start(Stream.runDrain(read))
    yield* pass(100)
    yield* broker.disconnect
    yield* pass("5 seconds")
    yield* broker.reconnect
    yield* pass(100)
    return reader
  })
  const alone = <A, E>(
    effect: Effect.Effect<
      A,
      E,
      Memory.Broker | Transport | AckPolicy.AckPolicy | AckPolicy.Retryable | AckPolicy.Concurrent | Scope.Scope
    >
  ) =>
    effect.pipe(
      Effect.provide([Layer.provideMerge(Memory.clientLayer, Memory.brokerLayer()), AckPolicy.onProcess])
    )
  const short = { ...options, ackWait: "1 second" } as const

  it.effect("is not held, and its verdict does nothing; it comes again", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const reader = yield* away(
        Reader.stream(keyed, short).pipe(
          Stream.mapEffect((delivery) =>
            Effect.gen(function*() {
              const { deliveryCount, streamSequence } = delivery.message
              seen.push(`${streamSequence}:${deliveryCount} ${delivery.isHeld}`)
              if (seen.length === 1) {
                yield* Effect.sleep("3 seconds")
              }
              yield* delivery.ack
            })
          )
        )
      )
      yield* pass("2 seconds")
      assert.includeMembers(seen, ["1:1 true", "2:1 false", "3:1 false", "2:2 true", "3:2 true"])
      assert.deepInclude(reader.ledger(), { lost: 2, finished: 3 })
      assert.strictEqual((yield* consumer()).ackFloor, 3)
      yield* reader.interrupt
    }).pipe(alone))

  it.effect("is left out by settling", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const results: Array<unknown> = []
      const reader = yield* away(
        Reader.stream(keyed, short).pipe(
          Reader.settling((_, { deliveryCount, streamSequence }) => {
            calls.push(`${streamSequence}:${deliveryCount}`)
            return calls.length === 1 ? Effect.sleep("3 seconds") : Effect.void
          }),
          Stream.tap((result) => Effect.sync(() => results.push(result)))
        )
      )
      yield* pass("2 seconds")
      assert.deepStrictEqual(calls.slice(0, 1), ["1:1"])
      assert.notIncludeMembers(calls, ["2:1", "3:1"])
      assert.includeMembers(calls, ["2:2", "3:2"])
      assert.strictEqual(results.length, calls.length)
      assert.isTrue(results.every((result) => Result.isResult(result)))
      yield* reader.interrupt
    }).pipe(alone))
})

describe("settling", () => {
  it.effect("acks, asks again, or terminates, and passes on each result", () =>
    Effect.gen(function*() {
      yield* send(["a", 1], ["a", 2])
      yield* sendRaw("{}")
      yield* send(["a", 4])
      const calls: Array<string> = []
      const reader = yield* start(
        Reader.stream(keyed, options).pipe(
          Reader.settling((job, message) => {
            calls.push(`${job.n}:${message.deliveryCount}`)
            return job.n === 2 && message.deliveryCount === 1
              ? Effect.fail("no")
              : job.n === 4 && message.deliveryCount === 1
              ? Effect.die("bug")
              : Effect.succeed(job.n)
          }),
          Stream.runForEach((result) =>
            Effect.sync(() =>
              calls.push(
                Result.match(result, { onFailure: (e) => typeof e === "string" ? e : e._tag, onSuccess: String })
              )
            )
          )
        )
      )
      yield* pass(500)
      assert.deepStrictEqual(calls.splice(0), ["1:1", "1", "2:1", "no", "DecodeError", "4:1", "Defect"])
      yield* pass(1_000)
      assert.deepStrictEqual(calls, ["2:2", "2", "4:2", "4"])
      yield* pass(500)
      assert.strictEqual((yield* consumer()).ackFloor, 4)
      const { processed, rejected, retried } = reader.ledger()
      assert.deepStrictEqual([processed, retried, rejected], [3, 2, 1])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("a defect wins over a typed error beside it", () =>
    Effect.gen(function*() {
      yield* send(["a", 1])
      const both = Cause.combine(Cause.fail("no"), Cause.die("bug"))
      const results = yield* Reader.stream(keyed, options).pipe(
        Reader.settling(() => Effect.failCause(both)),
        Stream.runHead,
        Effect.forkChild({ startImmediately: true })
      )
      yield* pass(100)
      const result = Option.getOrThrow(yield* Fiber.join(results))
      assert.isTrue(Result.isFailure(result) && result.failure instanceof Reader.Defect)
    }).pipe(memory))

  it.effect("with concurrency, results come as they are done", () =>
    Effect.gen(function*() {
      yield* send(["a", 30], ["a", 10], ["a", 20])
      const fiber = yield* Reader.stream(keyed, options).pipe(
        Reader.settling((job) => Effect.as(Effect.sleep(job.n), job.n), { concurrency: 3 }),
        Stream.map(Result.getOrThrow),
        Stream.take(3),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* pass(40)
      assert.deepStrictEqual(yield* Fiber.join(fiber), [10, 20, 30])
    }).pipe(memory))
})
