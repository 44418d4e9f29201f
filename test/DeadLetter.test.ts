/** Looking at dead letters, bringing them back, dropping them: on virtual time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Headers from "../src/Headers.ts"
import type * as Message from "../src/Message.ts"
import * as Provisioner from "../src/Provisioner.ts"
import * as Reader from "../src/Reader.ts"
import { Transport } from "../src/Transport.ts"
import { letters, makeDlq } from "./support/letters.ts"
import { consumer, type Job, keyed, memory, options, pass, send, sendRaw, setUp, start } from "./support/reading.ts"
import { message, publish } from "./support/transport.ts"

interface Call {
  readonly name: string
  readonly job: Job
  readonly message: Message.Delivery
  readonly attempt: number
}

/** Readers of the jobs, of which a test decides what they fail. */
const handlers = Effect.fnUntraced(function*(
  names: ReadonlyArray<string>,
  fails: (call: Call) => boolean,
  deadLetter: true | Reader.DeadLetterOptions = true
) {
  const calls: Array<Call> = []
  const readers = yield* Effect.forEach(names, (name) =>
    start(Reader.handle(
      keyed,
      { ...options, consumer: name, lanes: 16, maxAttempts: 1, deadLetter },
      (job, message, attempt) =>
        Effect.suspend(() => {
          const call = { name, job, message, attempt }
          calls.push(call)
          return fails(call) ? Effect.fail({ _tag: job.n % 2 === 0 ? "Even" : "Odd" }) : Effect.void
        })
    )))
  return { calls, readers, stop: Effect.forEach(readers, ({ interrupt }) => interrupt, { discard: true }) }
})

/** Somebody waits for the stream, so time has to pass. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    while (fiber.pollUnsafe() === undefined) {
      yield* pass(100)
    }
    return yield* Fiber.join(fiber)
  })

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

describe("list", () => {
  it.effect("says whose letters there are, why, and since when", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const { stop } = yield* handlers(["a", "b"], ({ job, name }) => name === "a" && job.n < 5)
      yield* send(...numbers(10).map((n) => ["k", n] as const))
      yield* pass("1 minute")
      yield* sendRaw("nothing")
      yield* pass(10)
      const all = yield* DeadLetter.list()
      const rows = DeadLetter.summary(all).map(({ count, handler, kind, newest, reason }) => [
        handler,
        kind,
        reason,
        count,
        newest
      ])
      assert.deepStrictEqual(rows, [
        ["JOBS/a", "failed", "Even", 3, 0],
        ["JOBS/a", "failed", "Odd", 2, 0],
        ["JOBS/a", "undecodable", "DecodeError", 1, 60_000],
        ["JOBS/b", "undecodable", "DecodeError", 1, 60_000]
      ])
      const last = all.at(-1)!.provenance
      assert.deepStrictEqual([last.firstFailure, last.lastFailure, last.timestamp], [60_000, 60_000, 60_000])
      const count = (query: DeadLetter.Query) => Effect.map(DeadLetter.list(query), ({ length }) => length)
      assert.strictEqual(yield* count({ handler: "JOBS/a" }), 6)
      assert.strictEqual(yield* count({ reason: "Odd" }), 2)
      assert.strictEqual(yield* count({ kind: "undecodable" }), 2)
      assert.strictEqual(yield* count({ within: "30 seconds" }), 2)
      assert.strictEqual(yield* count({ olderThan: "30 seconds" }), 5)
      assert.strictEqual(yield* count({ ids: [1, 2, 99] }), 2)
      assert.strictEqual(yield* count({ state: "replayed" }), 0)
      yield* stop
    }).pipe(memory))

  it.effect("is empty for an empty stream, and fails where there is none", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(DeadLetter.list())
      assert.strictEqual(error.reason._tag, "StreamNotFound")
      yield* makeDlq
      assert.deepStrictEqual(yield* DeadLetter.list(), [])
    }).pipe(memory))

  it.effect("shows one letter with its payload and the message's own headers", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const { stop } = yield* handlers(["a"], () => true)
      const headers = Result.getOrThrow(Headers.fromRecord({ tenant: "eu" }))
      yield* publish(message("jobs.work", "{\"key\":\"k\",\"n\":1}", { headers }))
      yield* pass(10)
      const letter = Option.getOrThrow(yield* DeadLetter.get(1))
      assert.deepStrictEqual([...letter.headers], [["tenant", ["eu"]]])
      assert.strictEqual(new TextDecoder().decode(letter.bytes), "{\"key\":\"k\",\"n\":1}")
      assert.isTrue(Option.isNone(yield* DeadLetter.get(2)))
      yield* stop
    }).pipe(memory))
})

describe("replay", () => {
  it.effect("brings the message back to the handler that failed it, as it was, and to nobody else; once", () =>
    Effect.gen(function*() {
      yield* makeDlq
      let mended = false
      const { calls, readers, stop } = yield* handlers(["a", "b"], ({ name }) => name === "a" && !mended)
      const headers = Result.getOrThrow(Headers.fromRecord({ tenant: "eu" }))
      yield* publish(message("jobs.work", "{\"key\":\"k\",\"n\":1}", { headers }))
      yield* pass(10)
      const first = calls.find(({ name }) => name === "a")
      mended = true
      const dry = yield* DeadLetter.replay({ dryRun: true })
      assert.deepStrictEqual(dry, { matched: 1, replayed: 0, duplicates: 0, unavailable: [] })
      const done = yield* DeadLetter.replay()
      assert.deepStrictEqual(done, { matched: 1, replayed: 1, duplicates: 0, unavailable: [] })
      yield* pass(10)
      const again = calls.filter(({ name }) => name === "a")[1]!
      assert.lengthOf(calls.filter(({ name }) => name === "b"), 1)
      assert.deepStrictEqual(again.job, { key: "k", n: 1 })
      assert.strictEqual(again.attempt, 1)
      const told = ({ message: { consumer, headers, stream, streamSequence, subject, timestamp } }: Call) => ({
        consumer,
        stream,
        streamSequence,
        subject,
        timestamp,
        tenant: Result.getOrThrow(headers).get("tenant"),
        names: [...Result.getOrThrow(headers).keys()].filter((name) => name !== "Nats-Msg-Id")
      })
      assert.deepStrictEqual(told(again), told(first!))
      const second = yield* DeadLetter.replay()
      assert.deepStrictEqual([second.matched, second.replayed], [0, 0])
      yield* pass(10)
      assert.lengthOf(calls, 3)
      assert.deepStrictEqual(yield* DeadLetter.list(), [])
      assert.lengthOf(yield* DeadLetter.list({ state: "replayed" }), 1)
      assert.strictEqual(readers[0]!.replays().processed, 1)
      yield* stop
    }).pipe(memory))

  it.effect("what fails again is another letter, of the same message", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const { calls, stop } = yield* handlers(["a"], () => true)
      yield* send(["k", 1])
      yield* pass(10)
      for (const round of [1, 2]) {
        assert.strictEqual((yield* DeadLetter.replay()).replayed, 1)
        yield* pass(10)
        const open = yield* DeadLetter.list()
        assert.deepStrictEqual(open.map(({ provenance }) => [provenance.sequence, provenance.replays]), [[1, round]])
      }
      const ids = (yield* DeadLetter.list({ state: "any" })).map(({ provenance }) => provenance.messageId)
      assert.lengthOf(ids, 3)
      assert.lengthOf([...new Set(ids)], 1)
      assert.match(ids[0]!, /^test-/u)
      assert.lengthOf(calls, 3)
      yield* stop
    }).pipe(memory))

  it.effect("counts a letter once that was stored twice, by a process that came back too late", () =>
    Effect.gen(function*() {
      yield* Provisioner.ensure(DeadLetter.stream({ duplicateWindow: "1 second" }))
      const failing = (giveUp: Effect.Effect<void>) =>
        start(
          Reader.handle(keyed, {
            ...options,
            maxAttempts: 1,
            deadLetter: true,
            onGiveUp: () => giveUp
          }, () => Effect.fail("no"))
        )
      yield* send(["k", 1])
      const first = yield* failing(Effect.never)
      yield* pass("2 seconds")
      yield* first.interrupt
      const second = yield* failing(Effect.void)
      yield* pass("2 seconds")
      assert.lengthOf(yield* letters, 2)
      assert.lengthOf(yield* DeadLetter.list(), 1)
      assert.strictEqual((yield* DeadLetter.replay()).replayed, 1)
      assert.deepStrictEqual(yield* DeadLetter.list(), [])
      yield* second.interrupt
    }).pipe(memory))

  it.effect("waits for a handler that is not there", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const first = yield* handlers(["a"], () => true)
      yield* send(["k", 1])
      yield* pass(10)
      yield* first.stop
      yield* DeadLetter.replay()
      const second = yield* handlers(["a"], () => false)
      yield* pass(10)
      assert.lengthOf(second.calls, 1)
      yield* second.stop
    }).pipe(memory))

  it.effect("on its subject, everybody gets it, under an id of its own; once", () =>
    Effect.gen(function*() {
      yield* makeDlq
      let mended = false
      const { calls, stop } = yield* handlers(["a", "b"], ({ name }) => name === "a" && !mended)
      yield* send(["k", 1])
      yield* pass(10)
      mended = true
      assert.strictEqual((yield* DeadLetter.replay({ publish: true })).replayed, 1)
      yield* pass(10)
      assert.deepStrictEqual(calls.map(({ name }) => name).toSorted(), ["a", "a", "b", "b"])
      assert.deepStrictEqual(calls.map(({ message }) => message.streamSequence).toSorted(), [1, 1, 2, 2])
      assert.strictEqual((yield* DeadLetter.replay({ publish: true })).matched, 0)
      yield* stop
    }).pipe(memory))

  for (const deadLetter of [{ payload: "reference" }, { payload: () => new Uint8Array() }] as const) {
    it.effect(`fetches what did not go along (${typeof deadLetter.payload}), if it is still there`, () =>
      Effect.gen(function*() {
        yield* makeDlq
        let mended = false
        const { calls, stop } = yield* handlers(["a"], () => !mended, deadLetter)
        yield* send(["k", 1])
        yield* send(["k", 2])
        yield* pass(10)
        mended = true
        const admin = yield* adminOf
        yield* admin.deleteMessage("JOBS", 1)
        const done = yield* DeadLetter.replay()
        assert.deepStrictEqual(done, { matched: 2, replayed: 1, duplicates: 0, unavailable: [1] })
        yield* pass(10)
        assert.deepStrictEqual(calls.map(({ job }) => job.n), [1, 2, 2])
        // The same place in a stream of the same name is not the same message.
        yield* admin.deleteStream("JOBS")
        yield* pass(1_000)
        yield* setUp
        yield* send(["other", 1])
        assert.deepStrictEqual((yield* DeadLetter.replay()).unavailable, [1])
        yield* stop
      }).pipe(memory))
  }

  it.effect("of ten thousand, killed halfway and run again: each is processed once", () =>
    Effect.gen(function*() {
      yield* makeDlq
      let mended = false
      const count = 10_000
      const { calls, stop } = yield* handlers(["a"], () => !mended)
      const all = numbers(count)
      for (let from = 0; from < count; from += 1_000) {
        yield* send(...all.slice(from, from + 1_000).map((n) => [`k${n % 100}`, n] as const))
        yield* pass(1)
      }
      while (calls.length < count) {
        yield* pass(1)
      }
      yield* pass(10)
      mended = true
      calls.length = 0
      let done = 0
      const replay = DeadLetter.replay({ rate: 2_000, onProgress: (n) => void (done = n) })
      const first = yield* Effect.forkChild(replay)
      const startedAt = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      while (done < count / 2) {
        yield* pass(50)
      }
      const took = (yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - startedAt
      assert.approximately(took, 2_500, 250, "the rate is kept")
      yield* Fiber.interrupt(first)
      const half = yield* DeadLetter.list()
      assert.isBelow(half.length, count)
      assert.isAbove(half.length, 0)
      const again = yield* inTime(DeadLetter.replay())
      assert.strictEqual(again.replayed, half.length)
      while (calls.length < count) {
        yield* pass(1)
      }
      yield* pass("1 minute")
      assert.deepStrictEqual(calls.map(({ job }) => job.n).toSorted((a, b) => a - b), all)
      yield* stop
    }).pipe(memory), 60_000)

  it.effect("two at the same moment bring nothing back twice", () =>
    Effect.gen(function*() {
      yield* makeDlq
      let mended = false
      const { calls, stop } = yield* handlers(["a"], () => !mended)
      yield* send(...numbers(20).map((n) => ["k", n] as const))
      yield* pass(10)
      mended = true
      const both = yield* Effect.all([DeadLetter.replay(), DeadLetter.replay()], { concurrency: 2 })
      assert.strictEqual(both[0].replayed + both[1].replayed, 20)
      yield* pass(10)
      assert.lengthOf(calls, 40)
      yield* stop
    }).pipe(memory))
})

describe("drop", () => {
  it.effect("removes letters, and what was said of them stays", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const { stop } = yield* handlers(["a"], () => true)
      yield* send(["k", 1], ["k", 2], ["k", 3])
      yield* pass(10)
      assert.deepStrictEqual(yield* DeadLetter.drop({ reason: "Odd", why: "tests\nof ours" }), { dropped: 2 })
      assert.deepStrictEqual((yield* DeadLetter.list()).map(({ provenance }) => provenance.reason), ["Even"])
      assert.lengthOf(yield* letters, 1)
      const dropped = yield* DeadLetter.list({ state: "dropped" })
      assert.deepStrictEqual(dropped.map(({ exists, id, provenance, why }) => [id, exists, provenance.reason, why]), [
        [1, false, "Odd", "tests of ours"],
        [3, false, "Odd", "tests of ours"]
      ])
      assert.deepStrictEqual(yield* DeadLetter.drop({ reason: "Odd", why: "again" }), { dropped: 0 })
      assert.strictEqual((yield* DeadLetter.replay()).replayed, 1)
      assert.strictEqual((yield* consumer("a")).ackPending, 0)
      yield* stop
    }).pipe(memory))
})

const adminOf = Transport.use(({ topology }) => Effect.succeed(Option.getOrThrow(topology)))
