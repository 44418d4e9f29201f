import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import {
  consumer,
  delivered,
  type Job,
  keyed,
  Logs,
  memory,
  options,
  pass,
  send,
  sendRaw,
  start,
  unkeyed
} from "./support/reading.ts"

const name = (job: Job) => `${job.key}${job.n}`

describe("handle", () => {
  it.effect("acks what succeeds, in the stream's order", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      yield* send(["a", 1], ["b", 2], ["a", 3])
      const reader = yield* start(
        Reader.handle(unkeyed, options, (job, message, attempt) =>
          Effect.sync(() =>
            seen.push(`${name(job)} #${message.streamSequence} ${attempt}`)
          ))
      )
      yield* pass(10)
      assert.deepStrictEqual(seen, ["a1 #1 1", "b2 #2 1", "a3 #3 1"])
      yield* pass(1_000)
      const { ackFloor, ackPending, pending } = yield* consumer()
      assert.deepStrictEqual([ackFloor, ackPending, pending], [3, 0, 0])
      yield* reader.interrupt
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.delivered, ledger.finished, ledger.processed], [3, 3, 3])
      assert.strictEqual(delivered(ledger), 3)
    }).pipe(memory))

  it.effect("runs as many handlers at once as it has lanes", () =>
    Effect.gen(function*() {
      let [running, most] = [0, 0]
      yield* send(...Array.from({ length: 20 }, (_, n) => [`k${n}`, n] as const))
      const reader = yield* start(
        Reader.handle(unkeyed, { ...options, lanes: 4 }, () =>
          Effect.gen(function*() {
            most = Math.max(most, ++running)
            yield* Effect.sleep(100)
            running--
          }))
      )
      yield* pass(500)
      assert.deepStrictEqual([most, reader.ledger().processed], [4, 20])
    }).pipe(memory))

  it.effect("retries in place, by the schedule; the key waits, others go on", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      yield* send(["a", 1], ["b", 1], ["a", 2], ["b", 2])
      const reader = yield* start(
        Reader.handle(keyed, { ...options, retry: Schedule.exponential(100) }, (job, message, attempt) =>
          Effect.suspend(() => {
            seen.push(`${name(job)}:${attempt}:${message.deliveryCount}`)
            return name(job) === "a1" && attempt < 4 ? Effect.fail("not yet") : Effect.void
          }))
      )
      yield* pass(0)
      assert.deepStrictEqual(seen.splice(0), ["a1:1:1", "b1:1:1", "b2:1:1"])
      yield* pass(99)
      assert.deepStrictEqual(seen, [])
      yield* pass(1)
      assert.deepStrictEqual(seen.splice(0), ["a1:2:1"])
      yield* pass(200)
      assert.deepStrictEqual(seen.splice(0), ["a1:3:1"])
      yield* pass(399)
      assert.deepStrictEqual(seen, [])
      yield* pass(1)
      assert.deepStrictEqual(seen, ["a1:4:1", "a2:1:1"])
      yield* pass(1_000)
      const { processed, retried } = reader.ledger()
      assert.deepStrictEqual([processed, retried], [4, 3])
      assert.strictEqual((yield* consumer()).ackFloor, 4)
    }).pipe(memory))

  it.effect("keeps the lease of a key that waits for long", () =>
    Effect.gen(function*() {
      let calls = 0
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(keyed, { ...options, retry: Schedule.spaced("10 minutes") }, () =>
          Effect.suspend(() =>
            ++calls === 1 ? Effect.fail("once") : Effect.void
          ))
      )
      for (let i = 0; i < 130; i++) {
        yield* pass(5_000)
      }
      assert.deepStrictEqual([calls, reader.ledger().processed, (yield* consumer()).redelivered], [2, 1, 0])
    }).pipe(memory))

  it.effect("without a key it goes back to the broker; a redelivery goes on in the schedule", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      yield* send(["a", 1], ["a", 2])
      yield* start(
        Reader.handle(
          unkeyed,
          { ...options, retry: Schedule.exponential(1_000) },
          (job, message) =>
            Effect.suspend(() => {
              seen.push(`${name(job)}:${message.deliveryCount}`)
              return job.n === 1 && message.deliveryCount < 4 ? Effect.fail("again") : Effect.void
            })
        )
      )
      yield* pass(999)
      assert.deepStrictEqual(seen.splice(0), ["a1:1", "a2:1"])
      // 1 s, 2 s, 4 s: each redelivery steps through what is used up.
      yield* pass(300)
      assert.deepStrictEqual(seen.splice(0), ["a1:2"])
      yield* pass(1_600)
      assert.deepStrictEqual(seen, [])
      yield* pass(500)
      assert.deepStrictEqual(seen.splice(0), ["a1:3"])
      yield* pass(3_500)
      assert.deepStrictEqual(seen, [])
      yield* pass(800)
      assert.deepStrictEqual(seen, ["a1:4"])
    }).pipe(memory))

  it.effect("retries by default after a second, doubled, not more often than five times in all", () =>
    Effect.gen(function*() {
      const [times, gaveUp] = [new Array<number>(), new Array<Reader.Failure>()]
      yield* send(["a", 1])
      yield* start(
        Reader.handle(
          keyed,
          {
            ...options,
            onGiveUp: (failure) => Effect.sync(() => gaveUp.push(failure))
          },
          () =>
            Effect.clockWith((clock) => (times.push(clock.currentTimeMillisUnsafe()), Effect.fail({ _tag: "Refused" })))
        )
      )
      for (let i = 0; i < 300; i++) {
        yield* pass(100)
      }
      assert.lengthOf(times, 5)
      const gaps = times.slice(1).map((time, i) => (time - times[i]!) / 1_000)
      gaps.forEach((gap, i) => assert.isTrue(gap >= 0.8 * 2 ** i && gap <= 1.25 * 2 ** i, gaps.join()))
      assert.deepStrictEqual(gaveUp.map(({ _tag, attempts, reason }) => [_tag, reason, attempts]), [[
        "Failed",
        "Refused",
        5
      ]])
      assert.strictEqual((yield* consumer()).ackFloor, 1)
    }).pipe(memory))

  it.effect("gives up when the schedule ends, and says so once, with ids and without data", () =>
    Effect.gen(function*() {
      const logs = yield* Logs
      yield* send(["secret-customer", 42])
      const reader = yield* start(
        Reader.handle(keyed, { ...options, retry: Schedule.recurs(1) }, () => Effect.die(new Error("secret-card")))
      )
      yield* pass(1_000)
      const { failed, finished, retried } = reader.ledger()
      assert.deepStrictEqual([failed, finished, retried], [1, 1, 1])
      assert.lengthOf(logs, 1)
      assert.include(logs[0], `"streamSequence":1`)
      assert.include(logs[0], `"reason":"Defect"`)
      assert.notInclude(logs.join(), "secret")
    }).pipe(memory))

  it.effect("keeps a message that cannot be given up, and tries that again later", () =>
    Effect.gen(function*() {
      const logs = yield* Logs
      let [calls, asked] = [0, 0]
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          maxAttempts: 1,
          onGiveUp: () => Effect.suspend(() => ++asked === 1 ? Effect.fail("dead letters are down") : Effect.void)
        }, () => Effect.suspend(() => (calls++, Effect.fail("no"))))
      )
      yield* pass(900)
      assert.deepStrictEqual([calls, asked, reader.ledger().failed], [1, 1, 0])
      assert.include(logs[0], "Error a message could not be given up; it is kept")
      yield* pass(1_000)
      assert.deepStrictEqual([calls, asked, reader.ledger().failed], [2, 2, 1])
      yield* pass(120_000)
      assert.deepStrictEqual(calls, 2)
    }).pipe(memory))

  it.effect("gives up what cannot be decoded at once, without the handler", () =>
    Effect.gen(function*() {
      const gaveUp: Array<string> = []
      yield* sendRaw(`{"key":1}`)
      yield* send(["a", 2])
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          onGiveUp: (failure, message) => Effect.sync(() => gaveUp.push(`${failure._tag} ${message.streamSequence}`))
        }, (job) => Effect.sync(() => gaveUp.push(name(job))))
      )
      yield* pass(100)
      assert.deepStrictEqual(gaveUp.toSorted(), ["Undecodable 1", "a2"])
      const { processed, rejected } = reader.ledger()
      assert.deepStrictEqual([processed, rejected, (yield* consumer()).ackFloor], [1, 1, 2])
    }).pipe(memory))

  it.effect("interrupts a handler whose time is over, and counts that as a failure", () =>
    Effect.gen(function*() {
      const [log, inputs] = [new Array<string>(), new Array<unknown>()]
      yield* send(["a", 1])
      yield* start(
        Reader.handle(keyed, {
          ...options,
          timeBudget: "10 seconds",
          retry: Schedule.spaced("1 second").pipe(
            Schedule.while(({ input }) => Effect.sync(() => (inputs.push(input), true)))
          )
        }, (_, __, attempt) =>
          attempt === 2
            ? Effect.sync(() => log.push("done"))
            : Effect.onInterrupt(Effect.sleep("1 hour"), () => Effect.sync(() => log.push("interrupted"))))
      )
      yield* pass(9_999)
      assert.deepStrictEqual(log, [])
      yield* pass(1)
      assert.deepStrictEqual(log, ["interrupted"])
      assert.instanceOf(inputs[0], Reader.TimeBudgetExceeded)
      yield* pass(1_000)
      assert.deepStrictEqual(log, ["interrupted", "done"])
    }).pipe(memory))

  it.effect("a handler that throws before it returns an effect is a failing handler", () =>
    Effect.gen(function*() {
      yield* send(["a", 1])
      const reader = yield* start(Reader.handle(keyed, { ...options, maxAttempts: 1 }, (): Effect.Effect<void> => {
        throw new Error("oops")
      }))
      yield* pass(10)
      assert.strictEqual(reader.ledger().failed, 1)
    }).pipe(memory))

  it.effect("under `confirmed` a lane goes on only after the broker's word", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      yield* send(["a", 1], ["a", 2])
      const reader = yield* start(Reader.handle(keyed, options, (job) => Effect.sync(() => seen.push(name(job)))))
      yield* pass(100)
      assert.deepStrictEqual([seen, reader.ledger().finished], [["a1", "a2"], 2])
      assert.strictEqual((yield* consumer()).ackFloor, 2)
    }).pipe((effect) => memory(effect, AckPolicy.confirmed)))
})

describe("the end of a reader", () => {
  const jobs = Array.from({ length: 10 }, (_, n) => [`k${n % 3}`, n] as const)

  it.effect("interrupted: what runs is abandoned, what waits is returned, all of it at once", () =>
    Effect.gen(function*() {
      yield* send(...jobs)
      const reader = yield* start(Reader.handle(unkeyed, { ...options, lanes: 2 }, () => Effect.sleep("1 minute")))
      yield* pass(10)
      const closing = yield* Effect.forkChild(reader.interrupt, { startImmediately: true })
      yield* pass(50)
      yield* Fiber.join(closing)
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.delivered, ledger.abandoned, ledger.returned, ledger.finished], [10, 2, 8, 0])
      // Nothing is left to time out: another reader gets everything at once.
      const seen: Array<number> = []
      yield* start(Reader.handle(unkeyed, options, (job) => Effect.sync(() => seen.push(job.n))))
      yield* pass(50)
      assert.lengthOf(seen, 10)
    }).pipe(memory))

  it.effect("drained: a parked key goes back as a whole, the rest is worked off, and the reader ends", () =>
    Effect.gen(function*() {
      yield* send(...jobs)
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          lanes: 8,
          queue: Queue.suspend({ messages: 6 }),
          retry: Schedule.spaced("5 minutes")
        }, (job) => Effect.andThen(Effect.sleep("1 minute"), job.n === 0 ? Effect.fail("later") : Effect.void))
      )
      yield* pass(60_000)
      const before = reader.ledger()
      assert.deepStrictEqual([before.processed, before.retried], [2, 1])
      yield* reader.drain
      yield* pass(30_000)
      assert.isUndefined(reader.fiber.pollUnsafe())
      yield* pass(90_000)
      assert.deepStrictEqual(reader.fiber.pollUnsafe(), Exit.void)
      const ledger = reader.ledger()
      assert.deepStrictEqual([ledger.delivered, ledger.finished, ledger.returned, ledger.abandoned], [8, 5, 3, 0])
      assert.strictEqual(ledger.processed, 5)
      assert.strictEqual(delivered(ledger), ledger.delivered)
      const seen: Array<number> = []
      yield* start(Reader.handle(keyed, options, (job) => Effect.sync(() => seen.push(job.n))))
      yield* pass(50)
      assert.deepStrictEqual(seen.filter((n) => n % 3 === 0), [0, 3, 6, 9], "in their order")
      assert.deepStrictEqual(seen.toSorted(), [0, 3, 6, 8, 9])
    }).pipe(memory))

  it.effect("drained: what fails meanwhile is asked for again, and keeps nobody waiting", () =>
    Effect.gen(function*() {
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(keyed, { ...options, retry: Schedule.spaced("5 minutes") }, () =>
          Effect.andThen(Effect.sleep("1 minute"), Effect.fail("no")))
      )
      yield* pass("30 seconds")
      yield* reader.drain
      yield* pass("30 seconds")
      assert.deepStrictEqual(reader.fiber.pollUnsafe(), Exit.void)
      const { finished, retried, returned } = reader.ledger()
      assert.deepStrictEqual([finished, retried, returned], [1, 1, 0])
      assert.strictEqual((yield* consumer()).ackPending, 1)
    }).pipe(memory))

  it.effect("drained while idle: it ends at once", () =>
    Effect.gen(function*() {
      const reader = yield* start(Reader.handle(keyed, options, () => Effect.void))
      yield* pass(10)
      yield* reader.drain
      yield* pass(10)
      assert.deepStrictEqual(reader.fiber.pollUnsafe(), Exit.void)
    }).pipe(memory))
})

describe("a failing source", () => {
  const bound = { ...options, bind: true } as const
  const handle = (onError: "raise" | "finish" | "wait") =>
    Reader.handle(keyed, { ...bound, onError }, () => Effect.void)

  it.effect("raise: fails, with its reason", () =>
    Effect.gen(function*() {
      const reader = yield* start(handle("raise"))
      const exit = yield* Fiber.await(reader.fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("worker"))
    }).pipe(memory))

  it.effect("finish: logs and ends", () =>
    Effect.gen(function*() {
      const reader = yield* start(handle("finish"))
      assert.deepStrictEqual(yield* Fiber.await(reader.fiber), Exit.void)
      assert.include((yield* Logs)[0], "Error reader JOBS/worker ends")
    }).pipe(memory))

  it.effect("wait: opens again until it works, and says so now and then", () =>
    Effect.gen(function*() {
      const logs = yield* Logs
      const reader = yield* start(handle("wait"))
      for (let i = 0; i < 40; i++) {
        yield* pass(1_000)
      }
      assert.isUndefined(reader.fiber.pollUnsafe())
      assert.isTrue(logs.length >= 1 && logs.length <= 3, logs.join("\n"))
      const owner = yield* start(Reader.handle(keyed, options, () => Effect.never))
      yield* pass(10)
      yield* owner.interrupt
      yield* send(["a", 1])
      yield* pass(7_000)
      assert.strictEqual(reader.ledger().processed, 1)
    }).pipe(memory))

  it.effect("wait: drains while it waits", () =>
    Effect.gen(function*() {
      const reader = yield* start(handle("wait"))
      yield* pass(1_000)
      yield* reader.drain
      assert.deepStrictEqual(yield* Fiber.await(reader.fiber), Exit.void)
    }).pipe(memory))
})
