/** What a reader with `deadLetter` does with what it gives up: on virtual time. */
import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Headers from "../src/Headers.ts"
import * as Provenance from "../src/Provenance.ts"
import * as Reader from "../src/Reader.ts"
import { Transport } from "../src/Transport.ts"
import { Dlq, letters, makeDlq } from "./support/letters.ts"
import {
  consumer,
  keyed,
  Logs,
  memory,
  options,
  pass,
  send,
  sendRaw,
  setUp,
  start,
  unkeyed
} from "./support/reading.ts"
import { createStream, message, publish } from "./support/transport.ts"

class Refused extends Data.TaggedError("Refused")<{ readonly secret: string }> {}

const retry = Schedule.spaced("1 second")

const admin = Transport.use(({ topology }) => Effect.succeed(Option.getOrThrow(topology)))

describe("a message that is given up", () => {
  it.effect("T-23: has exactly so many attempts and one letter, and others are not held up", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const calls: Array<string> = []
      yield* send(["a", 1], ["a", 2], ["b", 3])
      const reader = yield* start(
        Reader.handle(
          keyed,
          { ...options, lanes: 4, retry, maxAttempts: 3, deadLetter: true },
          (job) =>
            Effect.suspend(() => {
              calls.push(`${job.n}`)
              return job.n === 1 ? Effect.fail(new Refused({ secret: "4711" })) : Effect.void
            })
        )
      )
      yield* pass(10)
      assert.deepStrictEqual(calls, ["1", "3"], "another key does not wait")
      yield* pass("1 second")
      yield* pass("1 second")
      assert.deepStrictEqual(calls, ["1", "3", "1", "1", "2"])
      const found = yield* letters
      assert.lengthOf(found, 1)
      const letter = found[0]!
      assert.strictEqual(letter.subject, "dlq.JOBS.worker.failed")
      assert.deepStrictEqual(
        Provenance.fromHeaders(letter.headers),
        Option.some<Provenance.Provenance>({
          stream: "JOBS",
          consumer: "worker",
          subject: "jobs.work",
          sequence: 1,
          timestamp: 0,
          messageId: letter.provenance.messageId,
          kind: "failed",
          reason: "Refused",
          detail: "",
          attempts: 3,
          firstFailure: 0,
          lastFailure: 2_000,
          payload: "full",
          replays: 0
        })
      )
      assert.match(letter.provenance.messageId, /^test-/u)
      assert.strictEqual(letter.text, "{\"key\":\"a\",\"n\":1}")
      assert.notInclude(JSON.stringify([...letter.headers]), "4711")
      assert.strictEqual((yield* consumer()).ackPending, 0)
      const { deadLettered, failed, processed } = reader.ledger()
      assert.deepStrictEqual([failed, deadLettered, processed], [1, 1, 2])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("T-23: the 99th percentile of all others is what it is without it", () =>
    Effect.gen(function*() {
      const latency = (poison: boolean) =>
        Effect.gen(function*() {
          yield* makeDlq
          const took: Array<number> = []
          const reader = yield* start(
            Reader.handle(keyed, {
              ...options,
              lanes: 64,
              maxAttempts: 3,
              retry: Schedule.spaced("50 millis"),
              deadLetter: true
            }, (job, message) =>
              job.key.startsWith("bad")
                ? Effect.fail("no")
                : Effect.andThen(
                  Effect.sleep("10 millis"),
                  Effect.clockWith(({ currentTimeMillis }) => currentTimeMillis)
                )
                  .pipe(Effect.map((now) => void took.push(now - message.timestamp))))
          )
          for (let n = 0; n < 400; n++) {
            yield* send([`k${n % 97}`, n], [`k${(n * 31) % 89}`, n], ...(poison ? [[`bad${n}`, n] as const] : []))
            yield* pass(5)
          }
          yield* pass("1 second")
          yield* reader.interrupt
          assert.lengthOf(took, 800)
          assert.lengthOf(yield* letters, poison ? 400 : 0)
          return took.toSorted((a, b) => a - b)[792]!
        }).pipe(memory)
      assert.isAtMost(yield* latency(true), (yield* latency(false)) * 1.1)
    }))

  it.effect("T-24: undecodable, it goes at the first attempt, as it is; hostile headers too", () =>
    Effect.gen(function*() {
      yield* makeDlq
      yield* sendRaw("\u0000 not json")
      const hostile = { "Nats-Rollup": "all", tenant: "eu", "Sluice-Dead-Kind": "made up" }
      yield* publish(message("jobs.work", "[]", { headers: Result.getOrThrow(Headers.fromRecord(hostile)) }))
      const reader = yield* start(
        Reader.handle(keyed, { ...options, retry, deadLetter: true }, () => Effect.die("must not be called"))
      )
      yield* pass(10)
      const found = yield* letters
      assert.deepStrictEqual(found.map(({ provenance, subject, text }) => [subject, text, provenance.attempts]), [
        ["dlq.JOBS.worker.undecodable", "\u0000 not json", 1],
        ["dlq.JOBS.worker.undecodable", "[]", 1]
      ])
      assert.strictEqual(found[1]?.provenance.kind, "undecodable")
      assert.strictEqual(found[1]?.provenance.reason, "DecodeError")
      assert.notStrictEqual(found[1]?.provenance.detail, "")
      assert.isFalse(found[1]?.headers.has("Nats-Rollup"))
      assert.deepStrictEqual(found[1]?.headers.get("tenant"), ["eu"])
      const { deadLettered, rejected } = reader.ledger()
      assert.deepStrictEqual([rejected, deadLettered], [2, 2])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("T-25: while no letter can be stored it is kept, and its handler has had its attempts", () =>
    Effect.gen(function*() {
      let calls = 0
      const seen: Array<number> = []
      yield* send(["a", 1], ["a", 2])
      const reader = yield* start(
        Reader.handle(keyed, { ...options, retry, maxAttempts: 2, deadLetter: true }, (job) =>
          Effect.suspend(() => {
            seen.push(job.n)
            return job.n === 2 ? Effect.void : Effect.andThen(Effect.sync(() => ++calls), Effect.fail("no"))
          }))
      )
      for (let i = 0; i < 90; i++) {
        yield* pass("1 second")
      }
      assert.strictEqual(calls, 2)
      assert.deepStrictEqual(seen, [1, 1, 2])
      assert.deepStrictEqual([reader.ledger().failed, reader.ledger().deadLettered], [0, 0])
      assert.strictEqual((yield* consumer()).ackPending, 1, "never acknowledged")
      assert.include((yield* Logs).join("\n"), "DeadLetterUnavailable")
      yield* makeDlq
      for (let i = 0; i < 61; i++) {
        yield* pass("1 second")
      }
      assert.strictEqual(calls, 2)
      assert.deepStrictEqual((yield* letters).map(({ provenance }) => [provenance.sequence, provenance.attempts]), [
        [1, 2]
      ])
      assert.strictEqual((yield* consumer()).ackPending, 0)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("what happens when it is given up may fail, and its handler is not called again for that", () =>
    Effect.gen(function*() {
      yield* makeDlq
      let [calls, told] = [0, 0]
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          maxAttempts: 1,
          timeBudget: "3 seconds",
          deadLetter: true,
          onGiveUp: () =>
            Effect.suspend(() => ++told === 1 ? Effect.fail("no") : told === 2 ? Effect.never : Effect.void)
        }, () => Effect.andThen(Effect.sync(() => ++calls), Effect.fail("no")))
      )
      for (let i = 0; i < 12; i++) {
        yield* pass("1 second")
      }
      assert.deepStrictEqual([calls, told, reader.ledger().deadLettered], [1, 3, 1])
      assert.lengthOf(yield* letters, 1)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("T-25: a full stream that refuses what is new is such a case, too", () =>
    Effect.gen(function*() {
      yield* createStream("DLQ", ["dlq.>"], { maxMessages: 1, discard: "new" })
      yield* send(["a", 1], ["b", 2])
      const reader = yield* start(
        Reader.handle(keyed, { ...options, lanes: 2, maxAttempts: 1, deadLetter: true }, () => Effect.fail("no"))
      )
      for (let i = 0; i < 10; i++) {
        yield* pass("1 second")
      }
      assert.lengthOf(yield* letters, 1)
      assert.strictEqual((yield* consumer()).ackPending, 1)
      assert.strictEqual(reader.ledger().deadLettered, 1)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("T-27: written down twice it is one letter; of a stream made anew it is another", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const failing = (giveUp: Effect.Effect<void, string>) =>
        start(
          Reader.handle(keyed, {
            ...options,
            maxAttempts: 1,
            deadLetter: true,
            onGiveUp: () => giveUp
          }, () => Effect.fail("no"))
        )
      yield* send(["a", 1])
      // The letter is stored, and the process ends before the original is terminated.
      const first = yield* failing(Effect.never)
      yield* pass(10)
      assert.lengthOf(yield* letters, 1)
      yield* first.interrupt
      const second = yield* failing(Effect.void)
      yield* pass(10)
      assert.strictEqual((yield* consumer()).ackPending, 0)
      assert.lengthOf(yield* letters, 1)
      yield* second.interrupt
      yield* pass("1 second")
      yield* (yield* admin).deleteStream("JOBS")
      yield* setUp
      yield* send(["a", 1])
      const third = yield* failing(Effect.void)
      yield* pass(10)
      assert.lengthOf(yield* letters, 2)
      yield* third.interrupt
    }).pipe(memory))

  it.effect("T-26: of five readers, one failing, the other four see each message once", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const seen = new Map<string, Array<number>>()
      const readers = yield* Effect.forEach(["r1", "r2", "r3", "r4", "r5"], (name) =>
        start(
          Reader.handle(
            keyed,
            { ...options, consumer: name, lanes: 8, retry, maxAttempts: 3, deadLetter: true },
            (job) =>
              Effect.suspend(() => {
                seen.set(name, [...seen.get(name) ?? [], job.n])
                return name === "r3" && job.n % 10 === 0 ? Effect.fail("no") : Effect.void
              })
          )
        ))
      const numbers = Array.from({ length: 50 }, (_, n) => n)
      yield* send(...numbers.map((n) => [`k${n % 7}`, n] as const))
      for (let i = 0; i < 5; i++) {
        yield* pass("1 second")
      }
      for (const name of ["r1", "r2", "r4", "r5"]) {
        assert.deepStrictEqual(seen.get(name)?.toSorted((a, b) => a - b), numbers)
      }
      const found = yield* letters
      assert.deepStrictEqual([...new Set(found.map(({ subject }) => subject))], ["dlq.JOBS.r3.failed"])
      assert.deepStrictEqual(
        found.map(({ provenance }) => provenance.sequence).toSorted((a, b) => a - b),
        [1, 11, 21, 31, 41]
      )
      yield* Effect.forEach(readers, ({ interrupt }) => interrupt)
    }).pipe(memory))

  it.effect("in a batch: each for itself", () =>
    Effect.gen(function*() {
      yield* makeDlq
      yield* send(["a", 1], ["b", 2])
      yield* sendRaw("nothing")
      let calls = 0
      let places: ReadonlyArray<string> = []
      const batch = { ...options, size: 10, within: "1 second", retry, maxAttempts: 2, deadLetter: true } as const
      const reader = yield* start(
        Reader.handleBatch(keyed, batch, (entries) =>
          Effect.suspend(() => {
            calls++
            places = entries.map(({ message }) => `${message.subject} ${message.streamSequence}`)
            return Effect.fail("no")
          }))
      )
      for (let i = 0; i < 6; i++) {
        yield* pass("1 second")
      }
      assert.strictEqual(calls, 2)
      const found = yield* letters
      assert.deepStrictEqual(
        found.map(({ provenance: { attempts, kind, sequence } }) => [kind, sequence, attempts]),
        [["undecodable", 3, 1], ["failed", 1, 2], ["failed", 2, 2]]
      )
      // What is replayed comes in batches, too.
      yield* DeadLetter.replay({ kind: "failed" })
      yield* pass("2 seconds")
      assert.strictEqual(calls, 3)
      assert.deepStrictEqual(places, ["jobs.work 1", "jobs.work 2"])
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("a process that starts anew goes on with the schedule where the other had stopped", () =>
    Effect.gen(function*() {
      yield* makeDlq
      const at: Array<number> = []
      const reader = Reader.handle(
        unkeyed,
        { ...options, retry: Schedule.exponential("1 second"), maxAttempts: 4, deadLetter: true },
        () =>
          Effect.clockWith((clock) => clock.currentTimeMillis).pipe(
            Effect.flatMap((now) => {
              at.push(now)
              return Effect.fail("no")
            })
          )
      )
      yield* send(["a", 1])
      const first = yield* start(reader)
      yield* pass("1 second")
      yield* first.interrupt
      const second = yield* start(reader)
      for (let i = 0; i < 10; i++) {
        yield* pass("1 second")
      }
      assert.deepStrictEqual(at, [0, 1_000, 3_000, 7_000])
      assert.strictEqual((yield* letters)[0]?.provenance.attempts, 4)
      yield* second.interrupt
    }).pipe(memory))
})

describe("what a letter contains", () => {
  const letterOf = (deadLetter: true | Reader.DeadLetterOptions, error: unknown = "no") =>
    Effect.gen(function*() {
      yield* makeDlq
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(unkeyed, { ...options, maxAttempts: 1, deadLetter }, () => Effect.fail(error))
      )
      yield* pass(10)
      yield* reader.interrupt
      return (yield* letters)[0]!
    }).pipe(memory)

  it.effect("is up to the reader: the payload, where it is, or what is made of it", () =>
    Effect.gen(function*() {
      const reference = yield* letterOf({ payload: "reference" })
      assert.deepStrictEqual([reference.text, reference.provenance.payload], ["", "reference"])
      const redacted = yield* letterOf({ payload: (bytes) => bytes.fill(0x78) })
      assert.deepStrictEqual([redacted.text, redacted.provenance.payload], ["x".repeat(17), "redacted"])
      const died = yield* letterOf({
        payload: () => {
          throw new Error("secret")
        }
      })
      assert.deepStrictEqual([died.text, died.provenance.payload], ["", "reference"])
    }))

  it.effect("says no more of an error than its tag, unless somebody says what may be said", () =>
    Effect.gen(function*() {
      const silent = yield* letterOf(true, new Refused({ secret: "4711" }))
      assert.notInclude(JSON.stringify([...silent.headers]), "4711")
      const told = yield* letterOf({ describe: ({ reason }) => `refused\r\nNats-Rollup: all ${reason}` })
      assert.strictEqual(told.provenance.detail, "refused  Nats-Rollup: all Failed")
    }))
})

describe("what cannot work", () => {
  it.effect("is refused before anything is read", () =>
    Effect.gen(function*() {
      const refused = (more: object, word: string) =>
        Effect.gen(function*() {
          const all = { ...options, deadLetter: true, ...more } as typeof options
          const error = yield* Effect.flip(Reader.handle(keyed, all, () => Effect.void))
          assert.strictEqual(error.reason._tag, "Invalid")
          assert.include(error.message, word)
        })
      yield* refused({ consumer: Reader.ephemeral() }, "name")
      yield* refused({ consumer: Reader.ordered() }, "name")
      yield* refused({ consumer: "x".repeat(65) }, "long")
      yield* refused({ stream: Dlq.name }, "the same stream")
    }).pipe(memory))
})
