import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Metrics from "../src/Metrics.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import { keyed, memory, options, pass, send, sendRaw, start } from "./support/reading.ts"

/** A registry of its own, so that nobody else's numbers are in it. */
const isolated = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

/** All series, as `name{label=value,…}`, with their counts or values. */
const series = Effect.map(
  Metric.snapshot,
  (all) =>
    Object.fromEntries(
      all.filter(({ id }) => id.startsWith("sluice_")).map((metric) => {
        const labels = Object.entries(metric.attributes ?? {}).map(([key, value]) => `${key}=${value}`).toSorted()
          .join()
        const { state } = metric as { readonly state: { readonly count?: number; readonly value?: number } }
        return [`${metric.id}{${labels}}`, state.count ?? state.value]
      })
    )
)

const own = "consumer=worker,"

describe("a reader", () => {
  it.effect("counts what comes, how it is settled, and how handlers end", () =>
    Effect.gen(function*() {
      yield* send(["a", 1], ["a", 2], ["a", 3])
      yield* sendRaw("{}")
      const reader = yield* start(
        Reader.handle(keyed, { ...options, maxAttempts: 2, retry: Schedule.spaced("5 seconds") }, (job) =>
          job.n === 3 ? Effect.fail("no") : Effect.sleep(20))
      )
      yield* pass(1_000)
      assert.strictEqual((yield* series)[`sluice_reader_held{${own}stream=JOBS}`], 1)
      yield* pass(5_000)
      yield* reader.interrupt
      assert.deepInclude(yield* series, {
        [`sluice_reader_delivered_total{${own}stream=JOBS}`]: 4,
        [`sluice_reader_settled_total{${own}stream=JOBS,verdict=ack}`]: 2,
        [`sluice_reader_settled_total{${own}stream=JOBS,verdict=term}`]: 2,
        [`sluice_reader_handled_total{${own}outcome=processed,stream=JOBS}`]: 2,
        [`sluice_reader_handled_total{${own}outcome=retried,stream=JOBS}`]: 1,
        [`sluice_reader_handled_total{${own}outcome=failed,stream=JOBS}`]: 1,
        [`sluice_reader_handled_total{${own}outcome=rejected,stream=JOBS}`]: 1,
        [`sluice_reader_handler_seconds{${own}stream=JOBS}`]: 4,
        [`sluice_reader_held{${own}stream=JOBS}`]: 0
      })
    }).pipe(memory, isolated))

  it.effect("counts what it did not finish", () =>
    Effect.gen(function*() {
      yield* send(["a", 1], ["a", 2], ["a", 3])
      const reader = yield* start(Reader.handle(keyed, options, () => Effect.never))
      yield* pass(100)
      yield* reader.interrupt
      assert.deepInclude(yield* series, {
        [`sluice_reader_handled_total{${own}outcome=abandoned,stream=JOBS}`]: 1,
        [`sluice_reader_unfinished_total{${own}stream=JOBS,why=returned}`]: 2,
        [`sluice_reader_settled_total{${own}stream=JOBS,verdict=nak}`]: 3
      })
    }).pipe(memory, isolated))

  it.effect("two readers of one consumer add up", () =>
    Effect.gen(function*() {
      const queue = Queue.suspend({ messages: 1 })
      const handler = () => Effect.sleep(1_500)
      yield* send(["a", 1], ["b", 2])
      const [one, two] = [
        yield* start(Reader.handle(keyed, { ...options, queue }, handler)),
        yield* start(Reader.handle(keyed, { ...options, queue }, handler))
      ]
      yield* pass(1_000)
      assert.strictEqual((yield* series)[`sluice_reader_held{${own}stream=JOBS}`], 2)
      yield* pass(2_000)
      yield* one.interrupt
      yield* two.interrupt
      assert.deepInclude(yield* series, {
        [`sluice_reader_held{${own}stream=JOBS}`]: 0,
        [`sluice_reader_handled_total{${own}outcome=processed,stream=JOBS}`]: 2
      })
    }).pipe(memory, isolated))

  it.effect("has no label that grows with the traffic", () =>
    Effect.gen(function*() {
      const ephemeral = { stream: "JOBS", consumer: Reader.ephemeral() }
      for (let i = 0; i < 3; i++) {
        yield* send([`customer-${i}`, i])
        const reader = yield* start(Reader.handle(keyed, ephemeral, () => Effect.void))
        yield* pass(100)
        yield* reader.interrupt
      }
      const names = Object.keys(yield* series)
      assert.isTrue(names.every((name) => name.includes("consumer=ephemeral")), names.join("\n"))
      assert.notInclude(names.join(), "customer")
    }).pipe(memory, isolated))
})

describe("the handles", () => {
  it("are named alike", () => {
    const reader = Metrics.reader({ stream: "S", consumer: "c" })
    const all = [
      ...Object.values(reader),
      ...Object.values(reader.outcomes),
      ...Object.values(Metrics.publisher),
      ...Object.values(Metrics.inlet({ stream: "S", consumer: "c" }))
    ].filter(Metric.isMetric)
    assert.isAbove(all.length, 18)
    for (const metric of all) {
      assert.match(metric.id, metric.type === "Counter" ? /^sluice_\w+_total$/ : /^sluice_\w+$/)
    }
  })

  it("bucket from a millisecond to the default time budget, rising", () => {
    const bounds = Metrics.handlerSecondsBoundaries
    assert.deepStrictEqual([bounds[0], bounds.at(-1)], [0.001, 900])
    assert.deepStrictEqual(bounds, bounds.toSorted((a, b) => a - b))
  })
})
