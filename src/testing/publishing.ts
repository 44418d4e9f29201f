/** What publishing must do, on every transport. */
import { assert } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Headers from "../Headers.ts"
import type { Outgoing } from "../Message.ts"
import { type Behaviour, behaviour, refusalOf, sequenceOf, texts } from "./harness.ts"

const storing: ReadonlyArray<Behaviour> = [
  behaviour("confirms with the stream and the sequence", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const first = yield* h.publish(h.message("a", "one"))
      const second = yield* h.publish(h.message("b", "two"))
      assert.deepStrictEqual(first, { _tag: "Confirmed", stream: h.stream, sequence: 1, duplicate: false })
      assert.deepStrictEqual(second, { _tag: "Confirmed", stream: h.stream, sequence: 2, duplicate: false })
    })),
  behaviour("gives the receipts of a batch in its order", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const batch = Array.from({ length: 300 }, (_, i) => h.message(`m.${i % 7}`, String(i)))
      const receipts = yield* h.transport.publish(batch as unknown as NonEmptyReadonlyArray<Outgoing>)
      assert.deepStrictEqual(receipts.map(sequenceOf), Array.from({ length: 300 }, (_, i) => i + 1))
    })),
  behaviour("carries an empty payload", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", ""])
      const [delivery] = yield* h.process(yield* h.read(), 1)
      assert.strictEqual(delivery?.payload.length, 0)
      assert.strictEqual(delivery?.subject, h.subject("a"))
    })),
  behaviour("carries every byte as it is", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const payload = Uint8Array.from({ length: 1024 }, (_, i) => i % 256)
      yield* h.publish(h.message("a", "", { payload }))
      const [delivery] = yield* h.process(yield* h.read(), 1)
      assert.deepStrictEqual(Array.from(delivery?.payload ?? []), Array.from(payload))
    })),
  behaviour("carries the largest message that it takes, among small ones", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      // The message id travels in the headers, and counts.
      const payload = new Uint8Array(h.capabilities.maxPayload - 256).fill(7)
      yield* h.store(["a", "1"])
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", "", { payload }))), 2)
      yield* h.store(["a", "3"])
      const taken = yield* h.process(yield* h.read(), 3)
      assert.deepStrictEqual(taken.map((delivery) => delivery.payload.length), [1, payload.length, 1])
      assert.isTrue(taken[1]?.payload.every((byte) => byte === 7))
    })),
  behaviour("carries headers as they are, the message id among them", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const headers = Headers.append(Headers.set(Headers.set(Headers.empty, "X-One", "1"), "X-Two", "a"), "X-Two", "b")
      const message = h.message("a", "", { headers })
      yield* h.publish(message)
      const [delivery] = yield* h.process(yield* h.read(), 1)
      const arrived = Result.getOrThrow(delivery!.headers)
      assert.deepStrictEqual(arrived.get("X-One"), ["1"])
      assert.deepStrictEqual(arrived.get("X-Two"), ["a", "b"])
      assert.strictEqual(Option.getOrThrow(Headers.get(arrived, "Nats-Msg-Id")), message.id)
    })),
  behaviour("does not hold on to the publisher's bytes", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const payload = Uint8Array.of(1, 2, 3)
      yield* h.publish(h.message("a", "", { payload }))
      payload.fill(9)
      const [delivery] = yield* h.process(yield* h.read(), 1)
      assert.deepStrictEqual(Array.from(delivery?.payload ?? []), [1, 2, 3])
    }))
]

const dedupe: ReadonlyArray<Behaviour> = [
  behaviour("stores an id once, and answers a repeat with the original sequence", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const message = h.message("a", "once")
      yield* h.publish(message)
      yield* h.store(["a", "another"])
      assert.deepStrictEqual(yield* h.publish(message), {
        _tag: "Confirmed",
        stream: h.stream,
        sequence: 1,
        duplicate: true
      })
      assert.strictEqual((yield* h.streamInfo()).messages, 2)
    })),
  behaviour("knows ids per stream, not per subject", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.publish(h.message("a", "", { id: "same" }))
      const repeat = yield* h.publish(h.message("b", "", { id: "same" }))
      assert.deepInclude(repeat, { sequence: 1, duplicate: true })
    })),
  behaviour("forgets an id when its window is over, however often it was repeated", (h) =>
    Effect.gen(function*() {
      yield* h.create({ duplicateWindow: "1 second" })
      const message = h.message("a", "")
      yield* h.publish(message)
      yield* h.advance("600 millis")
      assert.deepInclude(yield* h.publish(message), { sequence: 1, duplicate: true })
      yield* h.advance("900 millis")
      assert.deepInclude(yield* h.publish(message), { sequence: 2, duplicate: false })
    }))
]

const expectations: ReadonlyArray<Behaviour> = [
  behaviour("stores under an expected last sequence only if it is the last", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", "1"], ["b", "2"])
      const wrong = yield* h.publish(h.message("a", "x", { expect: { lastSequence: 1 } }))
      const right = yield* h.publish(h.message("a", "3", { expect: { lastSequence: 2 } }))
      assert.strictEqual(refusalOf(wrong)._tag, "WrongLastSequence")
      assert.strictEqual(sequenceOf(right), 3)
    })),
  behaviour("stores under an expected last sequence of the subject only if it is that", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.store(["a", "1"], ["b", "2"])
      const expecting = (subject: string, lastSubjectSequence: number) =>
        h.publish(h.message(subject, "", { expect: { lastSubjectSequence } }))
      assert.strictEqual(refusalOf(yield* expecting("a", 2))._tag, "WrongLastSequence")
      assert.strictEqual(sequenceOf(yield* expecting("a", 1)), 3)
      assert.strictEqual(refusalOf(yield* expecting("a", 1))._tag, "WrongLastSequence")
      assert.strictEqual(refusalOf(yield* expecting("new", 3))._tag, "WrongLastSequence")
      assert.strictEqual(sequenceOf(yield* expecting("new", 0)), 4)
    })),
  behaviour("refuses another stream than the expected one, for good", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const refusal = refusalOf(yield* h.publish(h.message("a", "", { expect: { stream: "OTHER" } })))
      assert.isFalse(refusal.isRetryable)
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", "", { expect: { stream: h.stream } }))), 1)
    }))
]

const refusals: ReadonlyArray<Behaviour> = [
  behaviour("says when nobody stores a subject", (h) =>
    Effect.gen(function*() {
      const refusal = refusalOf(yield* h.publish(h.message("a", "")))
      assert.strictEqual(refusal._tag, "NoResponders")
      assert.isTrue(refusal.isRetryable)
    })),
  behaviour(
    "refuses what is too large before it is sent, and stores the rest of the batch",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        const payload = new Uint8Array(h.capabilities.maxPayload + 1)
        const receipts = yield* h.transport.publish([
          h.message("a", "before"),
          h.message("a", "", { payload }),
          h.message("a", "after")
        ])
        assert.deepStrictEqual(receipts.map((receipt) => receipt._tag), ["Confirmed", "NotSent", "Confirmed"])
        assert.strictEqual(refusalOf(receipts[1]!)._tag, "PayloadTooLarge")
        assert.strictEqual((yield* h.streamInfo()).messages, 2)
      })
  ),
  behaviour("refuses what a full stream that discards the new does not take", (h) =>
    Effect.gen(function*() {
      yield* h.create({ maxMessages: 2, discard: "new" })
      yield* h.storeMany(2)
      assert.strictEqual(refusalOf(yield* h.publish(h.message("m.3", "3")))._tag, "Rejected")
      assert.deepStrictEqual(texts(yield* h.process(yield* h.read(), 2)), ["1", "2"])
    }))
]

export const publishing: ReadonlyArray<Behaviour> = [...storing, ...dedupe, ...expectations, ...refusals]
