/** What a spill refuses, and when. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as Memory from "../src/layers/Memory.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import * as Spill from "../src/Spill.ts"
import { keyed, options, send, start } from "./support/reading.ts"
import { isAcked, jobs, noting, spilling } from "./support/spilled.ts"
import { filesOf, until } from "./support/spilling.ts"
import { bound, durable, flow, open } from "./support/transport.ts"

describe("a directory", () => {
  const attempt = (directory: string, source = durable("JOBS", "worker")) =>
    Effect.map(
      Effect.result(Effect.scoped(open(source, {
        queue: Queue.spill({ directory }),
        ack: { _tag: "onEnqueue" }
      }))),
      (result) => result._tag === "Failure" ? result.failure.reason : undefined
    )

  it.effect("is for one reader at a time", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        const first = yield* start(noting(directory).reader)
        yield* until(isAcked, "it has its consumer")
        assert.deepInclude(yield* attempt(directory), { _tag: "SpillFailed", code: "LOCKED", isRetryable: true })
        yield* first.interrupt
        assert.strictEqual((yield* attempt(directory, bound("JOBS", "worker")))?.problem, undefined)
      })
    ))

  it.effect("belongs to one consumer, as long as anything is in it", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* send(...jobs(1, 3))
        const { gate, reader } = noting(directory)
        gate.closeUnsafe()
        const first = yield* start(reader)
        yield* until(isAcked, "all are acknowledged")
        yield* first.interrupt
        const reason = yield* attempt(directory, durable("JOBS", "other"))
        assert.strictEqual(reason?._tag, "Invalid")
        assert.include(reason?.problem, "JOBS/worker")
      })
    ))

  it.effect("that cannot be made is a typed failure", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        yield* Effect.promise(() => writeFile(join(directory, "file"), ""))
        assert.deepInclude(yield* attempt(join(directory, "file", "spill")), { _tag: "SpillFailed", code: "ENOTDIR" })
      })
    ))
})

describe("what does not go together", () => {
  const spill = Spill.settings({ directory: "/tmp/never" })

  it("is refused when the reader opens", () => {
    const policies: ReadonlyArray<AckPolicy.Policy> = [
      { _tag: "onProcess" },
      { _tag: "confirmed" },
      { _tag: "upTo" },
      { _tag: "hybrid", onEnqueue: [] }
    ]
    for (const policy of policies) {
      assert.include(Spill.problemOf(spill, "durable", policy)?.[0], policy._tag)
    }
    const onEnqueue = { _tag: "onEnqueue" } as const
    assert.include(Spill.problemOf(spill, "ephemeral", onEnqueue)?.[0], "ephemeral")
    assert.include(Spill.problemOf(spill, "ordered", onEnqueue)?.[0], "ordered")
    assert.include(Spill.problemOf({ ...spill, maxBytes: spill.segmentBytes }, "durable", onEnqueue)?.[0], "maxBytes")
    assert.include(Spill.problemOf({ ...spill, segmentBytes: 0 }, "durable", onEnqueue)?.[0], "segmentBytes")
    assert.include(Spill.problemOf({ ...spill, sync: { everyMs: 5_000 } }, "durable", onEnqueue)?.[0], "5000")
    assert.include(Spill.problemOf({ ...spill, directory: "" }, "durable", onEnqueue)?.[0], "where")
    assert.include(Spill.problemOf(undefined, "durable", onEnqueue)?.[0], "where")
    assert.isUndefined(Spill.problemOf(spill, "durable", onEnqueue))
  })

  it.effect("also where types cannot tell, and with the reader's name; and at the seam", () =>
    spilling((directory) =>
      Effect.gen(function*() {
        const queue = Queue.spill({ directory })
        const reading = (consumer: Reader.Options["consumer"], policy: AckPolicy.Policy) =>
          Reader.handle(keyed, { ...options, consumer, queue }, () => Effect.void).pipe(
            Effect.provideService(AckPolicy.AckPolicy, policy),
            Effect.flip
          )
        const unsafe = yield* reading("worker", { _tag: "onProcess" })
        assert.include(unsafe.message, "JOBS/worker")
        assert.include(unsafe.message, "AckPolicy.onEnqueue")
        assert.include((yield* reading(Reader.ordered(), { _tag: "onEnqueue" })).message, "ordered")
        const atSeam = yield* Effect.flip(Effect.scoped(open(durable("JOBS", "worker"), flow({ queue }))))
        assert.strictEqual(atSeam.reason._tag, "Invalid")
        assert.deepStrictEqual(yield* filesOf(directory, ""), [])
      })
    ))

  it("does not compile where types can tell", () => {
    const closed = <R>(_: Effect.Effect<void, unknown, R>, ..._missing: [R] extends [never] ? [] : [R]): void => {}
    const transport = Memory.layer()
    const queue = Queue.spill({ directory: "/tmp/never" })
    const ignore = () => Effect.void
    const retry = Schedule.spaced("1 second")
    const early = Layer.merge(AckPolicy.onEnqueue, transport)
    const late = Layer.merge(AckPolicy.onProcess, transport)
    closed(Reader.handle(keyed, { ...options, queue }, ignore).pipe(Effect.provide(early)))
    closed(Reader.handle(keyed, { ...options, queue, lanes: 8, retry }, ignore).pipe(Effect.provide(early)))
    // @ts-expect-error Spillable is missing
    closed(Reader.handle(keyed, { ...options, queue }, ignore).pipe(Effect.provide(late)))
    const batch = { ...options, queue, size: 2, within: "1 second" } as const
    closed(Reader.handleBatch(keyed, { ...batch, retry }, ignore).pipe(Effect.provide(early)))
    // @ts-expect-error Spillable is missing
    closed(Reader.handleBatch(keyed, batch, ignore).pipe(Effect.provide(late)))
    const suspending = { ...options, queue: Queue.suspend(), retry }
    // @ts-expect-error Retryable is missing: nothing keeps the message
    closed(Reader.handle(keyed, suspending, ignore).pipe(Effect.provide(early)))
    closed(Reader.handle(keyed, suspending, ignore).pipe(Effect.provide(late)))
  })
})
