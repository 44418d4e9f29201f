/** What becomes of readers when messages are removed under them, or the whole stream. */
import { assert } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import type { Purge } from "../Transport.ts"
import type { TransportError } from "../TransportError.ts"
import { type Behaviour, behaviour, type Harness, type Opened, refusalOf, sequenceOf, texts } from "./harness.ts"

const start = { _tag: "all" } as const

const purge = (h: Harness, what?: Purge) => h.admin.purgeStream(h.stream, what)

/** `a` 1, `b` 2, `a` 3, `b` 4, `a` 5. */
const alternate = (h: Harness) => h.store(["a", "1"], ["b", "2"], ["a", "3"], ["b", "4"], ["a", "5"])

/** Purges so much of five messages, and says how much went and what is read then. */
const purging = (
  name: string,
  what: (h: Harness) => Purge | undefined,
  expected: { readonly purged: number; readonly left: ReadonlyArray<string> }
): Behaviour =>
  behaviour(`purges ${name}`, (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* alternate(h)
      assert.strictEqual(yield* purge(h, what(h)), expected.purged)
      assert.strictEqual((yield* h.streamInfo()).messages, expected.left.length)
      yield* h.store(["c", "6"])
      const opened = yield* h.read()
      assert.deepStrictEqual(texts(yield* h.process(opened, expected.left.length + 1)), [...expected.left, "6"])
    }))

const purges: ReadonlyArray<Behaviour> = [
  purging("everything", () => undefined, { purged: 5, left: [] }),
  purging("a subject", (h) => ({ filter: h.subject("a") }), { purged: 3, left: ["2", "4"] }),
  purging("subjects by a pattern", (h) => ({ filter: h.subject("*") }), { purged: 5, left: [] }),
  purging("nothing of a subject that is not there", (h) => ({ filter: h.subject("z") }), {
    purged: 0,
    left: ["1", "2", "3", "4", "5"]
  }),
  purging("up to a sequence, not with it", () => ({ upTo: 4 }), { purged: 3, left: ["4", "5"] }),
  purging("a subject up to a sequence", (h) => ({ filter: h.subject("a"), upTo: 4 }), {
    purged: 2,
    left: ["2", "4", "5"]
  }),
  purging("all but the newest", () => ({ keep: 2 }), { purged: 3, left: ["4", "5"] }),
  purging("all but the newest of a subject", (h) => ({ filter: h.subject("a"), keep: 1 }), {
    purged: 2,
    left: ["2", "4", "5"]
  }),
  purging("nothing up to the first sequence", () => ({ upTo: 1 }), { purged: 0, left: ["1", "2", "3", "4", "5"] }),
  behaviour("goes on after the sequence up to which it was purged", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      assert.strictEqual(yield* purge(h, { upTo: 100 }), 3)
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", "next"))), 100)
      assert.deepStrictEqual(texts(yield* h.process(yield* h.read(), 1)), ["next"])
    })),
  behaviour("refuses a purge that it would misunderstand", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      assert.strictEqual((yield* h.reason(purge(h, { upTo: 0 })))._tag, "Invalid")
      assert.strictEqual((yield* h.reason(purge(h, { keep: -1 })))._tag, "Invalid")
      assert.strictEqual((yield* h.reason(purge(h, { upTo: 2, keep: 1 })))._tag, "Rejected")
      assert.strictEqual((yield* h.streamInfo()).messages, 3)
    })),
  behaviour("knows an id although its message was purged", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      const message = h.message("a", "")
      yield* h.publish(message)
      yield* purge(h)
      assert.deepInclude(yield* h.publish(message), { sequence: 1, duplicate: true })
    }))
]

const underReaders: ReadonlyArray<Behaviour> = [
  behaviour("delivers nothing of what was purged, and waits for no answer to it", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(5)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 2 }) })
      const taken = yield* h.take(opened, 2)
      assert.strictEqual(yield* purge(h), 5)
      yield* h.until({ ackPending: 0, pending: 0, ackFloor: 5 })
      yield* h.settle(opened, taken, Settlement.nak())
      yield* h.store(["m.6", "6"])
      assert.deepStrictEqual(texts(yield* h.process(opened, 1)), ["6"])
      yield* h.until({ ackPending: 0, pending: 0, ackFloor: 6 })
    })),
  behaviour(
    "waits for an answer to what a purge has left, or forgets that it was delivered",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* h.storeMany(4)
        const opened = yield* h.read({ queue: Queue.suspend({ messages: 4 }) })
        const taken = yield* h.take(opened, 4)
        yield* purge(h, { upTo: 3 })
        const keeps = h.capabilities.purgeKeepsUnanswered
        yield* h.until({ ackPending: keeps ? 2 : 0, pending: 0 })
        yield* h.settle(opened, taken, Settlement.nak())
        if (keeps) {
          const again = yield* h.process(opened, 2)
          assert.deepStrictEqual(again.map((delivery) => delivery.streamSequence), [3, 4])
          yield* h.until({ ackPending: 0, ackFloor: 4 })
        } else {
          yield* h.nothing(opened, "500 millis")
        }
      })
  ),
  behaviour(
    "leaves other subjects' deliveries alone when one is purged, or forgets them",
    (h) =>
      Effect.gen(function*() {
        yield* h.create()
        yield* alternate(h)
        const opened = yield* h.read()
        const taken = yield* h.take(opened, 5)
        yield* purge(h, { filter: h.subject("a") })
        const keeps = h.capabilities.purgeKeepsUnanswered
        yield* h.until({ ackPending: keeps ? 2 : 0, pending: 0 })
        yield* h.settle(opened, taken, Settlement.ack)
        yield* h.until({ ackPending: 0 })
        yield* h.nothing(opened, "200 millis")
      })
  ),
  behaviour("goes on in order after a purge", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(20)
      const opened = yield* h.open(
        { _tag: "ordered", stream: h.stream, filters: [], start },
        { queue: Queue.suspend({ messages: 5 }) }
      )
      const sequences = (yield* h.process(opened, 3)).map((delivery) => delivery.streamSequence)
      yield* purge(h, { upTo: 15 })
      while (sequences.at(-1)! < 20) {
        sequences.push((yield* h.process(opened, 1))[0]!.streamSequence)
      }
      assert.deepStrictEqual(sequences, [...new Set(sequences)].sort((a, b) => a - b), "in order, once")
      assert.deepStrictEqual(sequences.slice(-6), [15, 16, 17, 18, 19, 20])
    }))
]

const deletions: ReadonlyArray<Behaviour> = [
  behaviour("passes over a message that was deleted before its turn", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      yield* h.admin.deleteMessage(h.stream, 2)
      const opened = yield* h.read()
      assert.deepStrictEqual(texts(yield* h.process(opened, 2)), ["1", "3"])
      yield* h.until({ ackFloor: 3, ackPending: 0, pending: 0 })
    })),
  behaviour("counts a deleted message no more, under a reader that is full", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(4)
      const opened = yield* h.read({ queue: Queue.suspend({ messages: 1 }) })
      const taken = yield* h.take(opened, 1)
      yield* h.admin.deleteMessage(h.stream, 3)
      yield* h.until({ pending: 2, ackPending: 1 })
      yield* h.settle(opened, taken, Settlement.ack)
      assert.deepStrictEqual(texts(yield* h.process(opened, 2)), ["2", "4"])
    })),
  behaviour("waits for no answer to a message that was deleted", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(3)
      const opened = yield* h.read()
      const [first, second, third] = yield* h.take(opened, 3)
      yield* h.admin.deleteMessage(h.stream, 2)
      yield* h.until({ ackPending: 2 })
      yield* h.settle(opened, [second!], Settlement.nak())
      yield* h.settle(opened, [first!, third!], Settlement.ack)
      yield* h.until({ ackFloor: 3, ackPending: 0 })
      yield* h.nothing(opened, "200 millis")
    })),
  behaviour("uses the sequence of a deleted message never again", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(2)
      yield* h.admin.deleteMessage(h.stream, 2)
      assert.deepInclude(yield* h.streamInfo(), { messages: 1, lastSequence: 2 })
      assert.strictEqual(sequenceOf(yield* h.publish(h.message("a", ""))), 3)
    })),
  behaviour("says that there is nothing to remove", (h) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* h.reason(purge(h)))._tag, "StreamNotFound")
      assert.strictEqual((yield* h.reason(h.admin.deleteMessage(h.stream, 1)))._tag, "StreamNotFound")
      yield* h.create()
      yield* h.storeMany(3)
      yield* h.admin.deleteMessage(h.stream, 2)
      for (const sequence of [2, 4]) {
        const reason = yield* h.reason(h.admin.deleteMessage(h.stream, sequence))
        assert.strictEqual(reason._tag, "Rejected")
        assert.isFalse(reason.isRetryable)
      }
    }))
]

/** Reads three messages; then the stream is deleted, is away for a while, and comes back with five others. */
const anewUnder = (
  name: string,
  away: Duration.Input,
  open: (h: Harness) => Effect.Effect<Opened, TransportError, Scope.Scope>
): Behaviour =>
  behaviour(`reads ${name}`, (h) =>
    Effect.gen(function*() {
      const declared = yield* h.create()
      yield* h.store(["old", "1"], ["old", "2"], ["old", "3"])
      const opened = yield* open(h)
      yield* h.process(opened, 3)
      yield* h.advance("100 millis")
      yield* h.admin.deleteStream(h.stream)
      yield* h.advance(away)
      yield* h.admin.createStream(declared)
      yield* h.store(["new", "1"], ["new", "2"], ["new", "3"], ["new", "4"], ["new", "5"])
      yield* h.advance("3 seconds")
      const taken = yield* h.process(opened, 5)
      assert.deepStrictEqual(taken.map((delivery) => delivery.streamSequence), [1, 2, 3, 4, 5])
      assert.isTrue(taken.every((delivery) => delivery.subject === h.subject("new")))
      yield* h.nothing(opened, "200 millis")
    }))

const anew: ReadonlyArray<Behaviour> = [
  anewUnder("a stream that was made anew at once, from its beginning", 0, (h) => h.read()),
  anewUnder("a stream that was away for a second, from its beginning", "1 second", (h) => h.read()),
  anewUnder(
    "in order a stream that was made anew, from its beginning",
    "300 millis",
    (h) => h.open({ _tag: "ordered", stream: h.stream, filters: [], start })
  ),
  anewUnder(
    "through an ephemeral consumer a stream that was made anew",
    "300 millis",
    (h) => h.open({ _tag: "ephemeral", stream: h.stream, filters: [], start })
  ),
  behaviour("says when nobody stores a subject any more", (h) =>
    Effect.gen(function*() {
      yield* h.create()
      yield* h.storeMany(1)
      yield* h.admin.deleteStream(h.stream)
      assert.strictEqual(refusalOf(yield* h.publish(h.message("a", "")))._tag, "NoResponders")
    }))
]

export const removing: ReadonlyArray<Behaviour> = [...purges, ...underReaders, ...deletions, ...anew]
