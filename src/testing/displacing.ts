/** What becomes of deliveries when the queue is full. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import { addsUp, type Behaviour, behaviour, type Harness, numbers, type Opened, texts } from "./harness.ts"

/** Capacity 8 keeps 6, and leaves room for 2 to arrive. */
const messages = 8
const kept = 6

const displaced = (h: Harness, opened: Opened, count: number) =>
  h.eventually(Effect.sync(() => opened.inlet.ledger().displaced), (found) => assert.strictEqual(found, count))

export const displacing: ReadonlyArray<Behaviour> = [
  behaviour("suspends: displaces nothing, the broker keeps the rest", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(20)
      const opened = yield* h.read({ queue: Queue.suspend({ messages }) })
      yield* h.until({ ackPending: messages, pending: 20 - messages })
      assert.deepStrictEqual(texts(yield* h.process(opened, 20)), numbers(1, 20))
      assert.strictEqual(opened.inlet.ledger().displaced, 0)
    })),
  behaviour("drops the newest: the oldest stay, the others are settled as told", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(20)
      const opened = yield* h.read({ queue: Queue.dropping({ messages }) })
      yield* displaced(h, opened, 20 - kept)
      yield* h.until({ ackPending: kept, pending: 0 })
      assert.deepStrictEqual(texts(yield* h.process(opened, kept)), numbers(1, kept))
      yield* h.until({ ackFloor: 20, ackPending: 0 })
      addsUp(opened)
    })),
  behaviour("slides: the newest stay, the others are settled as told", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(20)
      const opened = yield* h.read({ queue: Queue.sliding({ messages }) })
      yield* displaced(h, opened, 20 - kept)
      yield* h.until({ ackFloor: 20 - kept, ackPending: kept })
      assert.deepStrictEqual(texts(yield* h.process(opened, kept)), numbers(21 - kept, 20))
      addsUp(opened)
    })),
  behaviour("keeps the newest of each subject", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", "a1"], ["b", "b1"], ["a", "a2"], ["c", "c1"], ["b", "b2"], ["a", "a3"])
      const opened = yield* h.read({ queue: Queue.latest({ messages }) })
      yield* displaced(h, opened, 3)
      assert.deepStrictEqual(texts(yield* h.process(opened, 3)), ["c1", "b2", "a3"])
      yield* h.until({ ackFloor: 6, ackPending: 0 })
      addsUp(opened)
    })),
  behaviour("never drops what a handler has begun", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(kept)
      const opened = yield* h.read({ queue: Queue.sliding({ messages }) })
      const taken = yield* h.take(opened, kept)
      yield* h.store(["m.7", "7"], ["m.8", "8"])
      yield* displaced(h, opened, 2)
      yield* h.settle(opened, taken, Settlement.ack)
      yield* h.until({ ackFloor: 8, ackPending: 0 })
      assert.strictEqual(opened.inlet.ledger().settled, kept)
    })),
  behaviour("brings back later what it displaced, if told so", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(kept + 1)
      const opened = yield* h.read({ queue: Queue.dropping({ messages, onDrop: Settlement.nak("1 second") }) })
      yield* displaced(h, opened, 1)
      assert.deepStrictEqual(texts(yield* h.process(opened, kept)), numbers(1, kept))
      yield* h.advance("1200 millis")
      const [again] = yield* h.process(opened, 1)
      assert.deepInclude(again, { streamSequence: kept + 1, deliveryCount: 2 })
    })),
  behaviour("displaces under onEnqueue what was acknowledged already", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(20)
      const opened = yield* h.read({ queue: Queue.sliding({ messages }), ack: { _tag: "onEnqueue" } })
      yield* displaced(h, opened, 20 - kept)
      yield* h.until({ ackFloor: 20, ackPending: 0 })
      assert.deepStrictEqual(texts(yield* h.take(opened, kept)), numbers(21 - kept, 20))
      addsUp(opened)
    }))
]
