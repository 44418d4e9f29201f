import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Headers from "../src/Headers.ts"
import type * as Message from "../src/Message.ts"
import * as Metrics from "../src/Metrics.ts"
import * as Publisher from "../src/Publisher.ts"
import * as Topic from "../src/Topic.ts"
import { Transport } from "../src/Transport.ts"
import type { Receipt } from "../src/Transport.ts"
import * as TransportError from "../src/TransportError.ts"
import { each, refuse, scripted, textOf } from "./support/scripted.ts"
import type { Batch } from "./support/scripted.ts"

const placed = Topic.make("orders.{region}.placed", { schema: Schema.Struct({ total: Schema.Number }) })
const ticks = Topic.make("ticks", { schema: Schema.Finite })

const disconnected = new TransportError.Disconnected({ detail: "gone" })
const timedOut = new TransportError.TimedOut({ operation: "publish", millis: 5000 })
const tooLarge = new TransportError.PayloadTooLarge({ subject: "ticks", bytes: 2, limit: 1 })
const notSent = (reason: TransportError.Reason): Receipt => ({ _tag: "NotSent", reason })
const ambiguous: Receipt = { _tag: "Ambiguous", reason: timedOut }

const values = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ value: from + index }))
const soon: Publisher.RetryOptions = { retry: Schedule.spaced(10) }

/** Runs with time flying past, so that no test waits for a retry. */
const flying = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    for (let tick = 0; tick < 2_000 && fiber.pollUnsafe() === undefined; tick++) {
      yield* TestClock.adjust("50 millis")
    }
    return yield* Fiber.join(fiber)
  })

const publishError = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(flying(Effect.flip(effect)), (error) => {
    assert.instanceOf(error, Publisher.PublishError)
    return error
  })

describe("publish", () => {
  it.effect("fills the subject, waits for the receipt, and asks once", () => {
    const broker = scripted()
    return Effect.gen(function*() {
      const receipt = yield* Publisher.publish(placed, { region: "eu" }, { total: 12 }, { id: "a" })
      assert.deepStrictEqual(receipt, { _tag: "Confirmed", stream: "S", sequence: 1, duplicate: false })
      assert.lengthOf(broker.batches, 1)
      const [message] = broker.batches[0]!
      assert.strictEqual(message.subject, "orders.eu.placed")
      assert.strictEqual(message.id, "orders.{region}.placed:a")
      assert.deepStrictEqual(JSON.parse(textOf(message)), { total: 12 })
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("needs no params for a topic without holes", () => {
    const broker = scripted()
    return Effect.gen(function*() {
      yield* Publisher.publish(ticks, 1)
      yield* Publisher.publish(ticks, 2, { id: "two" })
      assert.deepStrictEqual(broker.payloads(), [["1"], ["2"]])
      assert.strictEqual(broker.batches[1]![0].id, "ticks:two")
      assert.notStrictEqual(broker.batches[0]![0].id, "")
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("passes on what the stream must look like", () => {
    const broker = scripted()
    const expect = { stream: "S", lastSubjectSequence: 0 }
    return Effect.map(
      Publisher.publish(ticks, 1, { expect }),
      () => assert.deepStrictEqual(broker.batches[0]![0].expect, expect)
    ).pipe(Effect.provide(broker.layer))
  })

  it.effect("tries an unanswered message again, with the same id, and the broker knows it", () => {
    const broker = scripted(([message]) =>
      Effect.sync(() => {
        broker.store(message)
        return [ambiguous]
      })
    )
    return Effect.gen(function*() {
      const receipt = yield* flying(Publisher.publish(ticks, 1, soon))
      assert.isTrue(receipt.duplicate)
      assert.lengthOf(broker.batches, 2)
      assert.strictEqual(broker.batches[0]![0].id, broker.batches[1]![0].id)
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("tries again when the connection is down", () => {
    const broker = scripted(refuse(disconnected), each(notSent(disconnected)))
    return Effect.map(flying(Publisher.publish(ticks, 1)), () => assert.lengthOf(broker.batches, 3)).pipe(
      Effect.provide(broker.layer)
    )
  })

  it.effect("does not repeat what no repetition heals", () => {
    const broker = scripted(each(notSent(tooLarge)), refuse(new TransportError.Closed()))
    return Effect.gen(function*() {
      const first = yield* publishError(Publisher.publish(ticks, 1, { id: "a" }))
      const second = yield* publishError(Publisher.publish(ticks, 2, { id: "b" }))
      assert.lengthOf(broker.batches, 2)
      assert.strictEqual(first.outcome, "NotSent")
      assert.strictEqual(first.attempts, 1)
      assert.strictEqual(first.reason, tooLarge)
      assert.include(first.message, "message ticks:a for \"ticks\" was not stored")
      assert.include(first.message, tooLarge.hint)
      assert.strictEqual(second.reason._tag, "Closed")
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("once ambiguous, a refusal does not make it certain", () => {
    const broker = scripted(each(ambiguous), each(notSent(tooLarge)))
    return Effect.gen(function*() {
      const error = yield* publishError(Publisher.publish(ticks, 1, soon))
      assert.strictEqual(error.outcome, "Ambiguous")
      assert.strictEqual(error.reason, tooLarge)
      assert.strictEqual(error.attempts, 2)
      assert.include(error.message, "may or may not be stored (2 attempts)")
      assert.include(error.message, "same id")
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("has one budget for all attempts and pauses together", () => {
    const broker = scripted(...Array.from({ length: 50 }, () => each(notSent(disconnected))))
    return Effect.gen(function*() {
      const error = yield* publishError(
        Publisher.publish(ticks, 1, { retry: Schedule.spaced("1 second"), budget: "4500 millis" })
      )
      assert.strictEqual(error.attempts, 5)
      assert.strictEqual(error.outcome, "NotSent")
      assert.isBelow(yield* Clock.currentTimeMillis, 4_500)
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("by default gives up within 30 seconds, and waits 2 seconds at most between attempts", () => {
    const broker = scripted(...Array.from({ length: 100 }, () => refuse(disconnected)))
    return Effect.gen(function*() {
      const error = yield* publishError(Publisher.publish(ticks, 1))
      const now = yield* Clock.currentTimeMillis
      assert.isAtMost(now, 30_000)
      assert.isAtLeast(now, 27_000)
      assert.isAtLeast(error.attempts, 14)
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("a transport that never answers is cut off at the budget, and what it did is not known", () => {
    const broker = scripted(() => Effect.never)
    return Effect.gen(function*() {
      const error = yield* publishError(Publisher.publish(ticks, 1, { budget: "2 seconds" }))
      assert.strictEqual(error.outcome, "Ambiguous")
      assert.strictEqual(error.reason._tag, "TimedOut")
      assert.isAtMost(yield* Clock.currentTimeMillis, 2_100)
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("an attempt gets only what the ones before it have left of the budget", () => {
    const broker = scripted(each(notSent(disconnected)), () => Effect.never)
    return Effect.gen(function*() {
      const options = { budget: "2 seconds", retry: Schedule.spaced("1500 millis") } as const
      const error = yield* publishError(Publisher.publish(ticks, 1, options))
      assert.strictEqual(error.outcome, "Ambiguous")
      assert.isAtMost(yield* Clock.currentTimeMillis, 2_100)
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("a schedule that ends, ends it", () => {
    const broker = scripted(each(notSent(disconnected)), each(notSent(disconnected)), each(notSent(disconnected)))
    return Effect.map(
      publishError(Publisher.publish(ticks, 1, { retry: Schedule.recurs(1) })),
      (error) => assert.strictEqual(error.attempts, 2)
    ).pipe(Effect.provide(broker.layer))
  })

  it.effect("a value that its schema refuses is never sent", () => {
    const broker = scripted()
    return Effect.gen(function*() {
      const error = yield* Effect.flip(Publisher.publish(ticks, Number.NaN))
      assert.strictEqual(error._tag, "EncodeError")
      assert.isEmpty(broker.batches)
    }).pipe(Effect.provide(broker.layer))
  })
})

describe("trace context", () => {
  it.effect("goes along in a copy of the caller's headers", () => {
    const broker = scripted()
    const headers = Headers.set(Headers.empty, "tenant", "eu")
    return Effect.gen(function*() {
      yield* Publisher.publish(ticks, 1, { headers })
      yield* Effect.withSpan(Publisher.publish(ticks, 2, { headers }), "placing")
      yield* Effect.withSpan(Publisher.publishAll(ticks, [{ value: 3 }]), "placing")
      const [without, withSpan, all] = broker.batches.map((batch) => batch[0].headers)
      assert.isFalse(without!.has("traceparent"))
      assert.match(withSpan!.get("traceparent")![0]!, /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/)
      assert.deepStrictEqual(withSpan!.get("tenant"), ["eu"])
      assert.isTrue(all!.has("traceparent"))
      assert.deepStrictEqual([...headers], [["tenant", ["eu"]]])
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("of the caller's own wins", () => {
    const broker = scripted()
    const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    const headers = Headers.set(Headers.empty, "traceparent", own)
    return Effect.map(
      Effect.withSpan(Publisher.publish(ticks, 1, { headers }), "placing"),
      () => assert.deepStrictEqual(broker.batches[0]![0].headers.get("traceparent"), [own])
    ).pipe(
      Effect.provide(broker.layer)
    )
  })
})

describe("publishAll", () => {
  it.effect("gives receipts in order and sends chunk after chunk", () => {
    const broker = scripted()
    return Effect.gen(function*() {
      const receipts = yield* Publisher.publishAll(ticks, values(1, 1200))
      assert.deepStrictEqual(broker.batches.map((batch) => batch.length), [512, 512, 176])
      assert.deepStrictEqual(receipts.map((receipt) => receipt.sequence), values(1, 1200).map(({ value }) => value))
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("sends nothing for nothing", () => {
    const broker = scripted()
    return Effect.map(Publisher.publishAll(ticks, []), (receipts) => {
      assert.isEmpty(receipts)
      assert.isEmpty(broker.batches)
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("gives every message its own params and options", () => {
    const broker = scripted()
    return Effect.gen(function*() {
      yield* Publisher.publishAll(placed, [
        { params: { region: "eu" }, value: { total: 1 }, options: { id: "a" } },
        { params: { region: "us" }, value: { total: 2 }, options: { id: "b" } }
      ])
      const sent = broker.batches[0]!.map(({ id, subject }) => [subject, id])
      assert.deepStrictEqual(sent, [["orders.eu.placed", `${placed.name}:a`], ["orders.us.placed", `${placed.name}:b`]])
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("repeats only what is not confirmed, in order, before it goes on", () => {
    const ok: Receipt = { _tag: "Confirmed", stream: "S", sequence: 9, duplicate: false }
    const broker = scripted(
      each(ok, ambiguous, ok, notSent(disconnected)),
      each(ok, notSent(disconnected)),
      each(ok)
    )
    return Effect.gen(function*() {
      const receipts = yield* flying(Publisher.publishAll(ticks, values(1, 6), { ...soon, chunk: 4 }))
      assert.deepStrictEqual(broker.payloads(), [["1", "2", "3", "4"], ["2", "4"], ["4"], ["5", "6"]])
      assert.lengthOf(receipts, 6)
      const ids = broker.batches.map((batch) => batch.map(({ id }) => id))
      assert.deepStrictEqual([ids[1]![0], ids[1]![1], ids[2]![0]], [ids[0]![1], ids[0]![3], ids[0]![3]])
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("fails with the first that is not confirmed; everything before it is, nothing after its chunk was sent", () => {
    const ok: Receipt = { _tag: "Confirmed", stream: "S", sequence: 9, duplicate: false }
    const broker = scripted(each(ok, ok), each(ok, notSent(tooLarge)))
    return Effect.gen(function*() {
      const error = yield* publishError(Publisher.publishAll(ticks, values(1, 6), { ...soon, chunk: 2 }))
      assert.strictEqual(error.position, 3)
      assert.strictEqual(error.subject, "ticks")
      assert.deepStrictEqual(broker.payloads(), [["1", "2"], ["3", "4"]])
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("a value that its schema refuses ends it: what is before goes out, what is after does not", () => {
    const broker = scripted()
    let closed = false
    const source = function*() {
      try {
        yield* [{ value: 1 }, { value: Number.NaN }, { value: 3 }]
      } finally {
        closed = true
      }
    }
    return Effect.gen(function*() {
      const error = yield* Effect.flip(Publisher.publishAll(ticks, source()))
      assert.strictEqual(error._tag, "EncodeError")
      assert.deepStrictEqual(broker.payloads(), [["1"]])
      assert.isTrue(closed, "the generator was left open")
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("never encodes further ahead than a chunk, however long the input is", () => {
    let drawn = 0
    let confirmed = 0
    let ahead = 0
    const source = function*() {
      while (drawn < 100_000) yield { value: drawn++ }
    }
    const publish = (batch: Batch) =>
      Effect.sync(() => {
        ahead = Math.max(ahead, drawn - confirmed)
        confirmed += batch.length
        return batch.map((): Receipt => ({ _tag: "Confirmed", stream: "S", sequence: 1, duplicate: false }))
      }) as Effect.Effect<never>
    const layer = Layer.mock(Transport)({ publish, topology: Option.none() })
    return Effect.map(Publisher.publishAll(ticks, source()), () => {
      assert.strictEqual(confirmed, 100_000)
      assert.isAtMost(ahead, 512)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a chunk of large messages is cut by its bytes", () => {
    const broker = scripted()
    const texts = Topic.make("texts", { schema: Schema.String })
    const megabyte = "x".repeat(1024 * 1024 - 2)
    return Effect.map(
      Publisher.publishAll(texts, Array.from({ length: 9 }, () => ({ value: megabyte }))),
      () => assert.deepStrictEqual(broker.batches.map((batch) => batch.length), [4, 4, 1])
    ).pipe(
      Effect.provide(broker.layer)
    )
  })
})

describe("sink", () => {
  it.effect("publishes a stream and counts", () => {
    const broker = scripted()
    const source = Stream.map(Stream.range(1, 1000), (value) => ({ value, options: { id: String(value % 900) } }))
    return Effect.gen(function*() {
      const summary = yield* Stream.run(Stream.rechunk(source, 30), Publisher.sink(ticks))
      assert.deepStrictEqual(summary, { confirmed: 1000, duplicates: 100 })
    }).pipe(Effect.provide(broker.layer))
  })

  it.effect("counts positions over all that came", () => {
    const ok: Receipt = { _tag: "Confirmed", stream: "S", sequence: 9, duplicate: false }
    const broker = scripted(each(ok, ok), each(notSent(tooLarge)))
    const source = Stream.fromArrays(values(1, 2), values(3, 3))
    return Effect.map(
      publishError(Stream.run(source, Publisher.sink(ticks))),
      (error) => assert.strictEqual(error.position, 2)
    ).pipe(Effect.provide(broker.layer))
  })
})

describe("publishRaw", () => {
  it.effect("never fails: each message's end is its receipt", () => {
    const message = (id: string): Message.Outgoing => (
      { subject: "s", payload: new Uint8Array(), headers: Headers.empty, id }
    )
    const ok: Receipt = { _tag: "Confirmed", stream: "S", sequence: 9, duplicate: false }
    const broker = scripted(each(ok, notSent(tooLarge), ambiguous), each(ambiguous))
    return Effect.gen(function*() {
      const batch: Batch = [message("a"), message("b"), message("c")]
      const receipts = yield* flying(Publisher.publishRaw(batch, { retry: Schedule.recurs(1) }))
      assert.deepStrictEqual(receipts.map((receipt) => receipt._tag), ["Confirmed", "NotSent", "Ambiguous"])
      assert.deepStrictEqual(broker.batches[1]!.map(({ id }) => id), ["c"])
    }).pipe(Effect.provide(broker.layer))
  })
})

describe("metrics", () => {
  it.effect("count each message once, by how it ended, and every attempt after the first", () => {
    const ok = (duplicate: boolean): Receipt => ({ _tag: "Confirmed", stream: "S", sequence: 9, duplicate })
    const broker = scripted(
      each(ok(false), ok(true), notSent(tooLarge), ambiguous, notSent(disconnected)),
      each(ambiguous, ok(false))
    )
    return Effect.gen(function*() {
      yield* publishError(Publisher.publishAll(ticks, values(1, 5), { retry: Schedule.recurs(1) }))
      const { ambiguous, confirmed, duplicate, notSent, retries } = Metrics.publisher
      const counts = yield* Effect.forEach(
        [confirmed, duplicate, notSent, ambiguous, retries],
        (metric) => Effect.map(Metric.value(metric), (state) => state.count)
      )
      assert.deepStrictEqual(counts, [2, 1, 1, 1, 2])
    }).pipe(Effect.provide(broker.layer), Effect.provideService(Metric.MetricRegistry, new Map()))
  })
})
