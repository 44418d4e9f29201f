import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as Memory from "../src/layers/Memory.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import * as Subject from "../src/Subject.ts"
import type { Transport } from "../src/Transport.ts"
import { consumer, delivered, type Job, keyed, memory, options, pass, send, start, unkeyed } from "./support/reading.ts"

/** What a policy that lacks markers claims to have: for readers that types cannot check. */
const unmarked = (policy: AckPolicy.Policy) =>
  Layer.mergeAll(
    Layer.succeed(AckPolicy.AckPolicy, policy),
    Layer.succeed(AckPolicy.Retryable, true),
    Layer.succeed(AckPolicy.Concurrent, true)
  )

const retry = Schedule.spaced("1 second")
const ignore = () => Effect.void

describe("types refuse", () => {
  /** Compiles for an effect that needs nothing more; for any other it asks for an argument that nobody gives. */
  const closed = <R>(_: Effect.Effect<void, unknown, R>, ..._missing: [R] extends [never] ? [] : [R]): void => {}
  const transport = Memory.layer()

  it("retry under a policy that may have acked already", () => {
    closed(Reader.handle(keyed, { ...options, retry }, ignore).pipe(Effect.provide([AckPolicy.onProcess, transport])))
    // @ts-expect-error Retryable is missing
    closed(Reader.handle(keyed, { ...options, retry }, ignore).pipe(Effect.provide([AckPolicy.onEnqueue, transport])))
    const hybrid = AckPolicy.hybrid({ onEnqueue: [] })
    // @ts-expect-error Retryable is missing
    closed(Reader.handle(keyed, { ...options, retry }, ignore).pipe(Effect.provide([hybrid, transport])))
    const batch = { ...options, size: 2, within: "1 second" } as const
    closed(Reader.handleBatch(keyed, batch, ignore).pipe(Effect.provide([AckPolicy.onEnqueue, transport])))
    // @ts-expect-error Retryable is missing
    closed(
      Reader.handleBatch(keyed, { ...batch, retry }, ignore).pipe(Effect.provide([AckPolicy.onEnqueue, transport]))
    )
  })

  it("dead letters under a policy that may have acked already", () => {
    const options_ = { ...options, deadLetter: true } as const
    closed(Reader.handle(keyed, options_, ignore).pipe(Effect.provide([AckPolicy.confirmed, transport])))
    // @ts-expect-error Retryable is missing
    closed(Reader.handle(keyed, options_, ignore).pipe(Effect.provide([AckPolicy.onEnqueue, transport])))
  })

  it("lanes under a policy that acks a prefix", () => {
    closed(
      Reader.handle(keyed, { ...options, lanes: 64 }, ignore).pipe(Effect.provide([AckPolicy.onEnqueue, transport]))
    )
    closed(Reader.handle(keyed, { ...options, lanes: 1 }, ignore).pipe(Effect.provide([AckPolicy.upTo, transport])))
    closed(Reader.handle(keyed, options, ignore).pipe(Effect.provide([AckPolicy.upTo, transport])))
    // @ts-expect-error Concurrent is missing
    closed(Reader.handle(keyed, { ...options, lanes: 2 }, ignore).pipe(Effect.provide([AckPolicy.upTo, transport])))
    const lanes = 2 as number
    // @ts-expect-error Concurrent is missing: nobody knows how many these are
    closed(Reader.handle(keyed, { ...options, lanes }, ignore).pipe(Effect.provide([AckPolicy.upTo, transport])))
  })

  it("a schedule that cannot take what a handler may end with", () => {
    const fails = () => Effect.fail("no" as const)
    const takes = Schedule.spaced(1).pipe(Schedule.setInputType<"no" | Reader.Defect | Reader.TimeBudgetExceeded>())
    void Reader.handle(keyed, { ...options, retry: takes }, fails)
    const onlyErrors = Schedule.spaced(1).pipe(Schedule.setInputType<"no">())
    // @ts-expect-error a handler can also die, or take too long
    void Reader.handle(keyed, { ...options, retry: onlyErrors }, fails)
  })

  it("nothing that a handler, or giving up, needs is forgotten", () => {
    interface Db {
      readonly _: unique symbol
    }
    const needsDb = null! as Effect.Effect<void, never, Db>
    const of = <R>(_: () => Effect.Effect<unknown, unknown, R>): ReadonlyArray<R> => []
    type Rest = Transport | AckPolicy.AckPolicy
    const handler: ReadonlyArray<Db | Rest> = of(() => Reader.handle(keyed, options, () => needsDb))
    const giveUp: ReadonlyArray<Db | Rest> = of(() =>
      Reader.handle(keyed, { ...options, onGiveUp: () => needsDb }, ignore)
    )
    // @ts-expect-error Db is needed
    const wrong: ReadonlyArray<Rest> = of(() => Reader.handle(keyed, { ...options, onGiveUp: () => needsDb }, ignore))
    assert.lengthOf([...handler, ...giveUp, ...wrong], 0)
  })
})

describe("what types cannot tell is refused when the reader opens", () => {
  const refused = (policy: AckPolicy.Policy, reader: Partial<Reader.Options>, more: object, word: string) =>
    Effect.gen(function*() {
      const all = { ...options, ...reader, ...more } as Reader.Options
      const error = yield* Effect.flip(Reader.handle(keyed, all, ignore))
      assert.strictEqual(error.reason._tag, "Invalid")
      assert.include(error.message, word)
      assert.include(error.message, "JOBS/")
    }).pipe((effect) => memory(effect, unmarked(policy)))

  const onProcess = { _tag: "onProcess" } as const
  const upTo = { _tag: "upTo" } as const

  it.effect("upTo with lanes", () => refused(upTo, {}, { lanes: 2 }, "lanes"))
  it.effect("upTo with an ephemeral consumer", () => refused(upTo, { consumer: Reader.ephemeral() }, {}, "durable"))
  it.effect("upTo with an ordered one", () => refused(upTo, { consumer: Reader.ordered() }, {}, "durable"))
  it.effect("onEnqueue with retry", () => refused({ _tag: "onEnqueue" }, {}, { retry }, "retried"))
  it.effect("hybrid with retry", () => refused({ _tag: "hybrid", onEnqueue: [] }, {}, { retry }, "retried"))
  it.effect("ordered with retry", () => refused(onProcess, { consumer: Reader.ordered() }, { retry }, "retry"))
  it.effect("no lanes", () => refused(onProcess, {}, { lanes: 0 }, "lanes"))
  it.effect("half a lane", () => refused(onProcess, {}, { lanes: 1.5 }, "lanes"))
  it.effect("no attempt", () => refused(onProcess, {}, { maxAttempts: 0 }, "maxAttempts"))
  it.effect("no time", () => refused(onProcess, { timeBudget: 0 }, {}, "timeBudget"))
  it.effect("a broker that gives up earlier than the reader", () =>
    refused(onProcess, { maxDeliver: 4 }, {}, "onGiveUp"))
})

const numbers = Array.from({ length: 6 }, (_, n) => ["k", n] as const)

describe("policies", () => {
  it.effect("onEnqueue: acks before the handler, gives up at the first failure, loses what it interrupts", () =>
    Effect.gen(function*() {
      yield* send(...numbers)
      const reader = yield* start(
        Reader.handle(
          unkeyed,
          options,
          (job) => job.n === 0 ? Effect.fail("no") : job.n < 3 ? Effect.void : Effect.never
        )
      )
      yield* pass(100)
      assert.strictEqual((yield* consumer()).ackFloor, 6)
      assert.deepStrictEqual([reader.ledger().failed, reader.ledger().processed], [1, 2])
      yield* reader.interrupt
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.delivered, ledger.finished, ledger.abandoned, ledger.returned], [6, 3, 3, 0])
      yield* pass("1 hour")
      assert.strictEqual((yield* consumer()).redelivered, 0)
    }).pipe((effect) => memory(effect, unmarked({ _tag: "onEnqueue" }))))

  it.effect("onEnqueue, drained: works off what nobody else would get", () =>
    Effect.gen(function*() {
      yield* send(...numbers)
      const reader = yield* start(Reader.handle(unkeyed, options, () => Effect.sleep(1_000)))
      yield* pass(10)
      yield* reader.drain
      yield* pass(6_000)
      assert.deepStrictEqual(reader.fiber.pollUnsafe(), Exit.void)
      assert.deepStrictEqual([reader.ledger().processed, reader.ledger().abandoned], [6, 0])
    }).pipe((effect) => memory(effect, unmarked({ _tag: "onEnqueue" }))))

  it.effect("hybrid: by pattern", () =>
    Effect.gen(function*() {
      yield* send(["a", 1])
      const reader = yield* start(Reader.handle(unkeyed, options, () => Effect.never))
      yield* pass(100)
      assert.strictEqual((yield* consumer()).ackFloor, 1)
      yield* reader.interrupt
      assert.strictEqual(reader.ledger().abandoned, 1)
    }).pipe((effect) => memory(effect, unmarked({ _tag: "hybrid", onEnqueue: [Subject.patternUnsafe("jobs.*")] }))))

  it.effect("upTo: one ack for a prefix, on a consumer made for it", () =>
    Effect.gen(function*() {
      yield* send(...numbers)
      const reader = yield* start(Reader.handle(unkeyed, options, (job) => job.n === 4 ? Effect.never : Effect.void))
      yield* pass(1_000)
      const info = yield* consumer()
      assert.deepStrictEqual([info.consumer.ack, info.ackFloor], ["all", 4])
      yield* reader.interrupt
    }).pipe((effect) => memory(effect, unmarked({ _tag: "upTo" }))))
})

describe("consumers", () => {
  it.effect("ordered: everything in order, nothing to settle, a failure costs one message", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      yield* send(...numbers)
      const reader = yield* start(
        Reader.handle(
          keyed,
          { stream: "JOBS", consumer: Reader.ordered(), queue: Queue.suspend({ messages: 2 }) },
          (job) => Effect.suspend(() => (seen.push(job.n), job.n === 2 ? Effect.fail("no") : Effect.void))
        )
      )
      yield* pass(5_000)
      assert.deepStrictEqual(seen, [0, 1, 2, 3, 4, 5])
      assert.deepStrictEqual([reader.ledger().processed, reader.ledger().failed], [5, 1])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("ephemeral: retried like any other", () =>
    Effect.gen(function*() {
      let calls = 0
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(unkeyed, { stream: "JOBS", consumer: Reader.ephemeral(), retry }, () =>
          Effect.suspend(() =>
            ++calls === 1 ? Effect.fail("no") : Effect.void
          ))
      )
      yield* pass(900)
      yield* pass(900)
      assert.deepStrictEqual([calls, reader.ledger().processed], [2, 1])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("a durable is made as asked for, and filters default to the topic", () =>
    Effect.gen(function*() {
      const reader = yield* start(Reader.handle(keyed, {
        ...options,
        ackWait: "5 seconds",
        maxAckPending: 7,
        maxDeliver: 9,
        start: { _tag: "new" }
      }, ignore))
      yield* pass(10)
      const { consumer: made } = yield* consumer()
      assert.deepInclude(made, {
        filters: ["jobs.work"],
        ackWaitMs: 5_000,
        maxAckPending: 7,
        maxDeliver: 9,
        ack: "explicit"
      })
      yield* reader.interrupt
    }).pipe(memory))
})

describe("queues", () => {
  it.effect("latest: what waits is replaced by what is newer, and lanes do not hoard it", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const reader = yield* start(
        Reader.handle(unkeyed, { ...options, queue: Queue.latest({ messages: 8 }) }, (job: Job) =>
          Effect.andThen(
            Effect.sync(() => seen.push(job.n)),
            Effect.sleep(1_000)
          ))
      )
      yield* pass(10)
      for (const [key, n] of numbers) {
        yield* send([key, n])
        yield* pass(10)
      }
      yield* pass(5_000)
      assert.deepStrictEqual(seen, [0, 5])
      yield* reader.interrupt
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.delivered, ledger.displaced, ledger.finished], [6, 4, 2])
      assert.strictEqual(delivered(ledger), 6)
    }).pipe(memory))

  it.effect("suspend: takes no more than it has room for", () =>
    Effect.gen(function*() {
      yield* send(...numbers)
      const reader = yield* start(
        Reader.handle(unkeyed, { ...options, lanes: 3, queue: Queue.suspend({ messages: 2 }) }, () => Effect.never)
      )
      yield* pass(1_000)
      assert.deepStrictEqual([reader.ledger().delivered, (yield* consumer()).ackPending], [2, 2])
      yield* reader.interrupt
    }).pipe(memory))
})

describe("control", () => {
  it.effect("without anybody in control, a reader runs until it is interrupted", () =>
    Effect.gen(function*() {
      yield* send(["a", 1])
      let ran = false
      const fiber = yield* Effect.forkChild(Reader.handle(keyed, options, () => Effect.sync(() => void (ran = true))))
      yield* pass("1 hour")
      assert.isTrue(ran)
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
    }).pipe(memory))

  it("the reference is no requirement", () => {
    const layer: Layer.Layer<Transport | AckPolicy.AckPolicy> = Layer.merge(Memory.layer(), AckPolicy.upTo)
    const run: Effect.Effect<void, unknown> = Effect.provide(Reader.handle(keyed, options, ignore), layer)
    assert.isTrue(Effect.isEffect(run))
  })
})
