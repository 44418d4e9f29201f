import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as Memory from "../src/layers/Memory.ts"
import * as Publisher from "../src/Publisher.ts"
import * as Reader from "../src/Reader.ts"
import * as Topic from "../src/Topic.ts"
import * as Topology from "../src/Topology.ts"
import { Transport } from "../src/Transport.ts"
import * as Worker from "../src/Worker.ts"

const zero: Reader.Ledger = {
  delivered: 0,
  finished: 0,
  returned: 0,
  abandoned: 0,
  lost: 0,
  swallowed: 0,
  displaced: 0,
  unconfirmed: 0,
  processed: 0,
  retried: 0,
  rejected: 0,
  failed: 0,
  deadLettered: 0,
  dropped: 0
}

/** A reader without a broker: it registers, works until it shall drain, and says what happened to it. */
const fakeReader = (log: Array<string>, name: string, options: {
  readonly ledger?: Partial<Reader.Ledger>
  /** How long a handler that is running at the drain needs to finish. */
  readonly handler?: Effect.Effect<void>
} = {}) =>
  Effect.gen(function*() {
    const control = yield* Reader.Control
    control.register({ name, ledger: () => ({ ...zero, ...options.ledger }) })
    log.push(`${name} starts`)
    yield* control.draining
    log.push(`${name} stops pulling`)
    yield* options.handler ?? Effect.void
    log.push(`${name} is done`)
  }).pipe(Effect.onInterrupt(() => Effect.sync(() => log.push(`${name} hands back`))))

const ticks = Topic.make("ticks", { schema: Schema.Finite })
const stream = Topology.stream("TICKS", { subjects: ["ticks"] })

/** Lets fibers that can go on do so. */
const settle = Effect.forEach([1, 2, 3, 4, 5], () => Effect.yieldNow)

describe("a worker's end", () => {
  it.effect("comes in order: all stop pulling, handlers finish, then the ledger", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const stop = yield* Deferred.make<void>()
      const worker = Worker.make({
        name: "shop",
        readers: [
          fakeReader(log, "a", {
            ledger: { delivered: 5, finished: 4, returned: 1 },
            handler: Effect.sleep("3 seconds")
          }),
          fakeReader(log, "b", { ledger: { delivered: 2, finished: 2 } })
        ]
      })
      const fiber = yield* Effect.forkChild(Worker.run(worker, { drain: Deferred.await(stop) }))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(log, ["a starts", "b starts"])
      yield* Deferred.succeed(stop, undefined)
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const ledger = yield* Fiber.join(fiber)
      assert.deepStrictEqual(log.slice(2), ["a stops pulling", "b stops pulling", "b is done", "a is done"])
      assert.deepStrictEqual(ledger.readers.map(({ name }) => name), ["a", "b"])
      assert.deepStrictEqual(ledger.total, { ...zero, delivered: 7, finished: 6, returned: 1 })
      assert.isTrue(Worker.addsUp(ledger))
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("hands back what is not done when nine tenths of the grace are over, and no sooner", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const worker = Worker.make({
        readers: [fakeReader(log, "slow", { handler: Effect.never }), fakeReader(log, "b")]
      })
      const fiber = yield* Effect.forkChild(Worker.run(worker, { grace: "4 seconds", drain: Effect.sleep("1 second") }))
      yield* TestClock.adjust("4599 millis")
      assert.notInclude(log, "slow hands back")
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      assert.include(log, "slow hands back")
      assert.notInclude(log, "b hands back")
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("is bounded, even by a handler that cannot be interrupted", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const worker = Worker.make({
        readers: [fakeReader(log, "stuck", { handler: Effect.uninterruptible(Effect.never) })]
      })
      const fiber = yield* Effect.forkChild(Worker.run(worker, { grace: 0, drain: Effect.sleep("1 second") }))
      yield* TestClock.adjust("5 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("by interruption goes through the same steps, and stays an interruption", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      let seen: (() => Worker.Ledger) | undefined
      const worker = Worker.make({
        readers: [fakeReader(log, "a", { ledger: { delivered: 1, finished: 1 }, handler: Effect.sleep("2 seconds") })]
      })
      const fiber = yield* Effect.forkChild(Worker.run(worker, {
        observe: (ledger) => {
          seen = ledger
        }
      }))
      yield* TestClock.adjust("1 second")
      fiber.interruptUnsafe()
      yield* TestClock.adjust("2 seconds")
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.hasInterrupts(exit))
      assert.deepStrictEqual(log, ["a starts", "a stops pulling", "a is done"])
      assert.strictEqual(seen?.().total.finished, 1)
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("does not wait for what reads nothing, but keeps it while handlers run", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const beside = Effect.onInterrupt(Effect.never, () => Effect.sync(() => log.push("beside ends")))
      const worker = Worker.make({ readers: [beside, fakeReader(log, "a", { handler: Effect.sleep("2 seconds") })] })
      const fiber = yield* Effect.forkChild(Worker.run(worker, { drain: Effect.sleep("1 second") }))
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      assert.deepStrictEqual(log.slice(1), ["a stops pulling", "a is done", "beside ends"])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("comes when all readers have ended by themselves", () =>
    Effect.gen(function*() {
      const ledger = yield* Worker.run(Worker.make({ readers: [Effect.void, Effect.void] }))
      assert.isEmpty(ledger.readers)
    }).pipe(Effect.provide(Memory.layer())))
})

describe("a reader that fails", () => {
  it.effect("drains the others, and its failure is the worker's", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const failing = Effect.andThen(Effect.sleep("1 second"), Effect.fail("broken" as const))
      const worker = Worker.make({ readers: [fakeReader(log, "a", { handler: Effect.sleep("1 second") }), failing] })
      const fiber = yield* Effect.forkChild(Worker.run(worker))
      yield* TestClock.adjust("1 second")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "broken")
      assert.deepStrictEqual(log, ["a starts", "a stops pulling", "a is done"])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("first is the one that counts, whatever follows from it", () =>
    Effect.gen(function*() {
      const failing = Effect.andThen(Effect.sleep("1 second"), Effect.fail("broken" as const))
      const worker = Worker.make({ readers: [fakeReader([], "a", { handler: Effect.die("because of it") }), failing] })
      const fiber = yield* Effect.forkChild(Worker.run(worker))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "broken")
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("while draining is not passed over", () =>
    Effect.gen(function*() {
      const worker = Worker.make({ readers: [fakeReader([], "a", { handler: Effect.die("bug") })] })
      const exit = yield* Effect.exit(Worker.run(worker, { drain: Effect.void }))
      assert.isTrue(Exit.hasDies(exit))
    }).pipe(Effect.provide(Memory.layer())))
})

describe("what readers are given", () => {
  const policyOf = (seen: Array<string>) =>
    Effect.gen(function*() {
      seen.push((yield* AckPolicy.AckPolicy)._tag)
      yield* AckPolicy.Retryable
    })

  it.effect("is onProcess, unless one brings its own policy or the worker chooses for all", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const reader = policyOf(seen)
      yield* Worker.run(Worker.make({ readers: [reader, Effect.provide(reader, AckPolicy.confirmed)] }))
      yield* Worker.run(Worker.make({ readers: [reader], layer: AckPolicy.confirmed }))
      assert.deepStrictEqual(seen, ["onProcess", "confirmed", "confirmed"])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("a layer is built once for all of them, and closed after the last", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      class Pool extends Context.Service<Pool, string>()("test/Pool") {}
      const layer = Layer.effect(
        Pool,
        Effect.acquireRelease(
          Effect.sync(() => {
            log.push("open")
            return "pool"
          }),
          () => Effect.sync(() => log.push("close"))
        )
      )
      const reader = Effect.andThen(Pool, fakeReader(log, "r", { handler: Effect.sleep(1) }))
      const fiber = yield* Effect.forkChild(
        Worker.run(Worker.make({ readers: [reader, reader], layer }), { drain: Effect.void })
      )
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(log.filter((line) => line === "open" || line === "close"), ["open", "close"])
      assert.strictEqual(log.at(-1), "close")
    }).pipe(Effect.provide(Memory.layer())))

  it("the types refuse a retrying reader under a policy that has acknowledged already", () => {
    type Missing<W> = W extends Worker.Worker<any, infer R> ? [R] extends [never] ? "nothing" : R : never
    const retrying: Effect.Effect<void, never, Transport | AckPolicy.AckPolicy | AckPolicy.Retryable> = Effect.void
    const fine = Worker.make({ readers: [retrying] })
    const byReader = Worker.make({ readers: [Effect.provide(retrying, AckPolicy.onEnqueue), retrying] })
    const byLayer = Worker.make({ readers: [retrying], layer: AckPolicy.onEnqueue })
    const nothing: Missing<typeof fine> = "nothing"
    const left: ReadonlyArray<[Missing<typeof byReader>, Missing<typeof byLayer>]> = []
    const markers: ReadonlyArray<[AckPolicy.Retryable, AckPolicy.Retryable]> = left
    // @ts-expect-error -- something is missing here
    const wrong: Missing<typeof byReader> = "nothing"
    // @ts-expect-error -- and here
    const wrongToo: Missing<typeof byLayer> = "nothing"
    assert.deepStrictEqual([nothing, wrong, wrongToo, markers.length], ["nothing", "nothing", "nothing", 0])
  })
})

describe("a worker", () => {
  it("knows a worker from everything else", () => {
    assert.isTrue(Worker.isWorker(Worker.make({ readers: [] })))
    assert.isFalse(Worker.isWorker({ readers: [] }))
    assert.isFalse(Worker.isWorker(undefined))
  })

  it.effect("makes its topology before anything reads", () =>
    Effect.gen(function*() {
      const { topology } = yield* Transport
      assert.strictEqual(topology._tag, "Some")
      if (topology._tag === "None") return
      let found = "nothing"
      const reader = Effect.map(topology.value.describeStream("TICKS"), (info) => {
        found = info._tag
      })
      yield* Worker.run(Worker.make({ readers: [Effect.orDie(reader)], topology: [stream] }))
      assert.strictEqual(found, "Some")
      const conflict = { ...stream, maxMessages: 1 }
      const error = yield* Effect.flip(Worker.run(Worker.make({ readers: [], topology: [conflict] })))
      assert.strictEqual(error.reason._tag, "Conflict")
    }).pipe(Effect.provide(Memory.layer())))
})

describe("a worker with a broker", () => {
  it.effect("processes, drains in the middle of the work, and every message is accounted for", () =>
    Effect.gen(function*() {
      const handled: Array<number> = []
      const reader = Reader.handle(
        ticks,
        { stream: "TICKS", consumer: "billing", lanes: 4 },
        (value) => Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => void handled.push(value)))
      )
      const worker = Worker.make({ name: "shop", topology: [stream], readers: [reader] })
      const stop = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(Worker.run(worker, { drain: Deferred.await(stop), grace: "3 seconds" }))
      yield* settle
      yield* Publisher.publishAll(ticks, Array.from({ length: 40 }, (_, value) => ({ value })))
      yield* TestClock.adjust("2500 millis")
      yield* Deferred.succeed(stop, undefined)
      yield* TestClock.adjust("20 seconds")
      const ledger = yield* Fiber.join(fiber)
      // Two rounds of four before it was told, three more in the grace; what ran at the deadline is abandoned.
      assert.strictEqual(handled.length, 20)
      assert.strictEqual(ledger.total.processed, handled.length)
      assert.isTrue(Worker.addsUp(ledger), Worker.format(ledger))
      assert.strictEqual(ledger.total.abandoned, 4)
      assert.strictEqual(ledger.total.returned, 16)
      // The rest is there for the next worker, at once.
      const next = yield* Effect.forkChild(Worker.run(worker, { drain: Effect.sleep("1 minute") }))
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(next)
      assert.deepStrictEqual(handled.toSorted((a, b) => a - b), Array.from({ length: 40 }, (_, value) => value))
    }).pipe(Effect.provide(Memory.layer())))
})

describe("the ledger for people", () => {
  const ledger = (total: Partial<Reader.Ledger>, others: ReadonlyArray<string> = []): Worker.Ledger => ({
    worker: "shop",
    readers: ["billing", ...others].map((name) => ({ name, ledger: { ...zero, ...total } })),
    total: { ...zero, ...total }
  })

  it("says that it adds up, and of what", () => {
    const text = Worker.format(ledger({ delivered: 12, finished: 10, returned: 1, lost: 1, processed: 10 }))
    assert.strictEqual(text.split("\n").at(-1), "adds up: 12 delivered = 10 finished + 1 returned + 1 lost")
    assert.notInclude(text, "displaced")
    assert.notInclude(text, "together")
  })

  it("says loudly that it does not", () => {
    const broken = ledger({ delivered: 12, finished: 10, displaced: 1 })
    assert.isFalse(Worker.addsUp(broken))
    assert.include(
      Worker.format(broken),
      "DOES NOT ADD UP: 12 delivered, but 10 finished + 1 displaced; 1 unaccounted for"
    )
  })

  it("has a line for each reader and one for all, in columns", () => {
    const lines = Worker.format(ledger({ delivered: 7, finished: 7, failed: 3 }, ["a reader with a long name"])).split(
      "\n"
    )
    assert.lengthOf(lines, 5)
    assert.isTrue(lines[3]!.startsWith("together"))
    assert.include(lines[0], "failed")
    assert.lengthOf(new Set(lines.slice(0, 4).map((line) => line.length)), 1)
  })
})
