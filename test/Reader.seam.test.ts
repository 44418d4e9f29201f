/** What a reader asks of the seam, seen from an inlet that does exactly what the test says. */
import { assert, describe, it } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as EffectQueue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as AckPolicy from "../src/AckPolicy.ts"
import { Delivery } from "../src/Message.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import { type Inlet, Transport, type Verdict } from "../src/Transport.ts"
import { because, Disconnected, type TransportError } from "../src/TransportError.ts"
import { keyed, options, pass, start, unkeyed } from "./support/reading.ts"

const job = (n: number): Delivery =>
  new Delivery({
    subject: "jobs.work",
    payload: new TextEncoder().encode(JSON.stringify({ key: `k${n}`, n })),
    headerBytes: new Uint8Array(),
    stream: "JOBS",
    consumer: "worker",
    streamSequence: n,
    consumerSequence: n,
    deliveryCount: 1,
    timestamp: 0,
    pending: 0,
    overheadBytes: 0
  })

const zero = { delivered: 0, settled: 0, displaced: 0, returned: 0, lost: 0, swallowed: 0, unconfirmed: 0, held: 0 }

/** An inlet fed by hand. */
const scripted = Effect.gen(function*() {
  const queue = yield* EffectQueue.unbounded<Delivery, Cause.Done | TransportError>()
  const stopped = yield* Deferred.make<void>()
  const script = {
    queue,
    stopped,
    asked: new Array<number>(),
    settles: new Array<ReadonlyArray<Verdict>>(),
    lost: new Set<number>(),
    opened: 0,
    closed: 0,
    verdicts: () =>
      script.settles.flat().map(({ delivery, settlement }) => `${settlement._tag} ${delivery.streamSequence}`)
  }
  const inlet: Inlet = {
    take: (max) => {
      script.asked.push(max)
      return EffectQueue.takeBetween(queue, 1, max) as unknown as Pull.Pull<
        NonEmptyReadonlyArray<Delivery>,
        TransportError
      >
    },
    settle: (verdicts) => Effect.sync(() => void script.settles.push(verdicts)),
    holds: (delivery) => !script.lost.has(delivery.streamSequence),
    stop: Deferred.await(stopped),
    ledger: () => zero
  }
  const transport = {
    open: () =>
      Effect.acquireRelease(Effect.sync(() => (script.opened++, inlet)), () => Effect.sync(() => void script.closed++))
  } as unknown as Transport["Service"]
  const run = <E, R>(reader: Effect.Effect<void, E, R>) =>
    start(reader.pipe(Effect.provideService(Transport, transport), Effect.provide(AckPolicy.onProcess)))
  return { ...script, script, run }
})

const offer = (queue: EffectQueue.Enqueue<Delivery, Cause.Done | TransportError>, ...ns: ReadonlyArray<number>) =>
  EffectQueue.offerAll(queue, ns.map(job))

describe("handle", () => {
  it.effect("never asks for more than it has room for", () =>
    Effect.gen(function*() {
      const { queue, run, script } = yield* scripted
      const reader = yield* run(
        Reader.handle(keyed, { ...options, lanes: 8, queue: Queue.suspend({ messages: 5 }) }, () => Effect.never)
      )
      yield* offer(queue, 1, 2, 3)
      yield* pass()
      yield* offer(queue, 4, 5, 6, 7)
      yield* pass()
      assert.deepStrictEqual(script.asked, [5, 2])
      yield* reader.interrupt
      assert.lengthOf(script.verdicts(), 5)
    }))

  it.effect("settles what many lanes finish in one turn with one call", () =>
    Effect.gen(function*() {
      const { queue, run, script } = yield* scripted
      const gate = yield* Deferred.make<void>()
      const reader = yield* run(Reader.handle(unkeyed, { ...options, lanes: 64 }, () => Deferred.await(gate)))
      yield* offer(queue, ...Array.from({ length: 60 }, (_, n) => n))
      yield* pass()
      yield* Deferred.succeed(gate, undefined)
      yield* pass()
      assert.deepStrictEqual(script.settles.map((verdicts) => verdicts.length), [60])
      yield* reader.interrupt
    }))

  it.effect("settles everything before it ends", () =>
    Effect.gen(function*() {
      const { queue, run, script } = yield* scripted
      yield* offer(queue, 1, 2, 3)
      yield* EffectQueue.end(queue)
      const reader = yield* run(Reader.handle(keyed, options, () => Effect.void))
      yield* pass()
      assert.strictEqual(reader.fiber.pollUnsafe()?._tag, "Success")
      assert.deepStrictEqual(script.verdicts(), ["Ack 1", "Ack 2", "Ack 3"])
    }))

  it.effect("works off what still comes while it drains", () =>
    Effect.gen(function*() {
      const { queue, run, script, stopped } = yield* scripted
      const seen: Array<number> = []
      const reader = yield* run(Reader.handle(keyed, options, ({ n }) => Effect.sync(() => seen.push(n))))
      yield* pass()
      yield* reader.drain
      yield* offer(queue, 1, 2)
      yield* pass()
      assert.deepStrictEqual([seen, script.verdicts()], [[1, 2], ["Ack 1", "Ack 2"]])
      yield* Deferred.succeed(stopped, undefined)
      yield* EffectQueue.end(queue)
      yield* pass()
      assert.strictEqual(reader.fiber.pollUnsafe()?._tag, "Success")
      assert.strictEqual(reader.ledger().returned, 0)
    }))

  it.effect("runs and settles nothing whose lease is lost, not even to hand it back", () =>
    Effect.gen(function*() {
      const { queue, run, script } = yield* scripted
      const seen: Array<number> = []
      const reader = yield* run(
        Reader.handle(keyed, options, ({ n }) =>
          Effect.andThen(
            Effect.sync(() => seen.push(n)),
            n === 2 ? Effect.never : Effect.void
          ))
      )
      script.lost.add(1)
      yield* offer(queue, 1, 2, 3, 4)
      yield* pass()
      script.lost.add(2).add(3)
      yield* reader.interrupt
      assert.deepStrictEqual([seen, script.verdicts()], [[2], ["Nak 4"]])
      assert.deepStrictEqual([reader.ledger().abandoned, reader.ledger().returned], [0, 1])
    }))
})

describe("handleBatch", () => {
  it.effect("gathers one batch while another runs, and not more", () =>
    Effect.gen(function*() {
      const { queue, run, script } = yield* scripted
      const reader = yield* run(
        Reader.handleBatch(keyed, { ...options, size: 4, within: "1 hour" }, () => Effect.never)
      )
      yield* offer(queue, 1, 2, 3, 4)
      yield* pass()
      yield* offer(queue, 5, 6)
      yield* pass()
      yield* offer(queue, 7, 8, 9)
      yield* pass()
      assert.deepStrictEqual(script.asked, [4, 4, 2])
      yield* reader.interrupt
    }))

  it.effect("leaves out what is lost", () =>
    Effect.gen(function*() {
      const { queue, run, script } = yield* scripted
      const seen: Array<number> = []
      const reader = yield* run(Reader.handleBatch(keyed, { ...options, size: 3, within: "1 hour" }, (batch) =>
        Effect.sync(() =>
          void seen.push(...batch.map(({ value }) =>
            value.n
          ))
        )))
      script.lost.add(2)
      yield* offer(queue, 1, 2, 3)
      yield* pass()
      assert.deepStrictEqual([seen, script.verdicts()], [[1, 3], ["Ack 1", "Ack 3"]])
      yield* reader.interrupt
    }))
})

describe("stream", () => {
  it.effect("closes one inlet before it opens the next", () =>
    Effect.gen(function*() {
      const { queue, run, script } = yield* scripted
      const reader = yield* run(Stream.runDrain(Reader.stream(keyed, { ...options, onError: "wait" })))
      yield* EffectQueue.fail(queue, because(new Disconnected({ detail: "gone" })))
      for (let i = 0; i < 20; i++) {
        yield* pass(1_000)
      }
      assert.isAtLeast(script.opened, 5)
      assert.isAtMost(script.opened - script.closed, 1)
      yield* reader.interrupt
      assert.strictEqual(script.closed, script.opened)
    }))
})
