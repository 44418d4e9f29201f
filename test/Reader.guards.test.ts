/** What stands before a handler: a breaker for a dependency that is down, and rate limits. On virtual time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker, RateLimiter } from "effect/persistence"
import * as Schedule from "effect/Schedule"
import * as Outcome from "../src/Outcome.ts"
import * as Queue from "../src/Queue.ts"
import * as Reader from "../src/Reader.ts"
import { makeDlq } from "./support/letters.ts"
import { consumer, keyed, Logs, memory, options, pass, send, start, unkeyed } from "./support/reading.ts"

const now = Effect.clockWith((clock) => clock.currentTimeMillis)

describe("a dependency that is down", () => {
  const cases = [["keyed", keyed, 60, 500], ["without a key", unkeyed, 10, 500]] as const
  for (const [name, topic, seconds, perSecond] of cases) {
    it.effect(
      `for ${seconds} s under ${perSecond} messages a second, ${name}: none is out of attempts`,
      () =>
        Effect.gen(function*() {
          yield* makeDlq
          const seen = new Map<number, number>()
          let [down, calls] = [false, 0]
          const reader = yield* start(
            Reader.handle(topic, {
              ...options,
              lanes: 64,
              maxAttempts: 3,
              retry: Schedule.spaced("500 millis"),
              deadLetter: true,
              queue: Queue.suspend({ messages: 500 }),
              breaker: { failures: 5, openFor: "1 second" }
            }, (job) =>
              Effect.gen(function*() {
                yield* Effect.sleep("10 millis")
                calls++
                if (down) {
                  return yield* Effect.fail("down")
                }
                seen.set(job.n, (seen.get(job.n) ?? 0) + 1)
              }))
          )
          let sent = 0
          const tick = Effect.gen(function*() {
            yield* send(...Array.from({ length: perSecond / 4 }, () => [`k${sent % 97}`, sent++] as const))
            yield* pass(250)
          })
          const run = (ticks: number) => Effect.forEach(Array.from({ length: ticks }), () => tick, { discard: true })
          yield* run(8)
          down = true
          yield* run(8)
          const paused = reader.ledger().delivered
          const tries = calls
          yield* run((seconds - 2) * 4)
          assert.strictEqual(reader.ledger().delivered, paused, "within 2 s nothing more is taken in")
          assert.isAtMost(calls - tries, 70, "one tries at a time, once a second")
          assert.isAtMost((yield* consumer()).ackPending, 500)
          down = false
          yield* run(8)
          assert.isAbove(reader.ledger().delivered, paused, "within 2 s it goes on")
          while (seen.size < sent) {
            yield* pass(100)
          }
          const { deadLettered, failed, lost, processed, retried } = reader.ledger()
          assert.deepStrictEqual([failed, deadLettered, lost], [0, 0, 0])
          assert.strictEqual(processed, sent)
          assert.isAtMost(retried, 5, "what failed until the breaker opened")
          assert.isTrue([...seen.values()].every((times) => times === 1))
          yield* reader.interrupt
        }).pipe(memory),
      120_000
    )
  }

  it.effect("is not what one bad message makes of it: others go on, and it is given up", () =>
    Effect.gen(function*() {
      yield* makeDlq
      let n = 0
      const seen = new Set<number>()
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          lanes: 4,
          maxAttempts: 3,
          retry: Schedule.spaced("100 millis"),
          deadLetter: true,
          breaker: { failures: 1, openFor: "1 second" }
        }, (job) => job.key === "bad" ? Effect.fail("no") : Effect.sync(() => seen.add(job.n)))
      )
      yield* send(["bad", n++])
      for (let i = 0; i < 200; i++) {
        yield* send(["good", n++])
        yield* pass(100)
      }
      const { deadLettered, retried } = reader.ledger()
      assert.deepStrictEqual([deadLettered, retried], [1, 2])
      assert.strictEqual(seen.size, 200)
      const told = (yield* Logs).filter((line) => line.includes("JOBS/worker"))
      assert.strictEqual(told.filter((line) => line.startsWith("Warn") && line.includes("waits")).length, 3)
      assert.strictEqual(told.filter((line) => line.startsWith("Info") && line.includes("goes on")).length, 3)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("no failure counts that says that the message is wrong", () =>
    Effect.gen(function*() {
      yield* makeDlq
      yield* send(...Array.from({ length: 20 }, (_, n) => [`k${n}`, n] as const))
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          lanes: 4,
          deadLetter: true,
          breaker: { failures: 2 },
          classify: () => Outcome.permanent
        }, () => Effect.fail("wrong"))
      )
      yield* pass(100)
      assert.strictEqual(reader.ledger().deadLettered, 20)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("`trips` decides otherwise", () =>
    Effect.gen(function*() {
      yield* send(...Array.from({ length: 20 }, (_, n) => [`k${n}`, n] as const))
      let calls = 0
      const reader = yield* start(
        Reader.handle(keyed, {
          ...options,
          maxAttempts: 1,
          breaker: { failures: 3, openFor: "1 minute", trips: (error) => error === "down" }
        }, (job) =>
          Effect.suspend(() => {
            calls++
            return Effect.fail(job.n < 10 ? "slow" as const : "down" as const)
          }))
      )
      yield* pass("10 seconds")
      assert.strictEqual(calls, 13)
      assert.strictEqual(reader.ledger().failed, 13)
      yield* reader.interrupt
    }).pipe(memory))

  it.effect("readers with the same key and the same store find out together", () =>
    Effect.gen(function*() {
      yield* send(["a", 1], ["b", 2])
      const calls: Array<string> = []
      const reader = (name: string) =>
        start(
          Reader.handle(keyed, {
            ...options,
            consumer: name,
            breaker: { failures: 2, openFor: "1 minute", key: "bank" }
          }, () => Effect.andThen(Effect.sync(() => calls.push(name)), Effect.fail("down")))
        )
      const first = yield* reader("first")
      yield* pass(100)
      const second = yield* reader("second")
      yield* pass("10 seconds")
      assert.deepStrictEqual(calls, ["first", "first"])
      yield* first.interrupt
      yield* second.interrupt
    }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()), memory))

  it.effect("a reader that drains hands back what it holds for it, at once", () =>
    Effect.gen(function*() {
      yield* send(...Array.from({ length: 10 }, (_, n) => [`k${n}`, n] as const))
      const reader = yield* start(
        Reader.handle(keyed, { ...options, lanes: 2, breaker: { failures: 1, openFor: "1 hour" } }, () =>
          Effect.fail("down"))
      )
      yield* pass("1 second")
      assert.strictEqual(reader.fiber.pollUnsafe(), undefined)
      yield* reader.drain
      yield* pass("1 second")
      assert.strictEqual(reader.fiber.pollUnsafe()?._tag, "Success")
      const { delivered, failed, retried, returned } = reader.ledger()
      assert.deepStrictEqual([delivered, returned, failed, retried], [10, 10, 0, 1])
    }).pipe(memory))

  it.effect("what fails for it while the reader drains goes back, and is not waited for", () =>
    Effect.gen(function*() {
      yield* send(["a", 1], ["b", 2])
      const reader = yield* start(
        Reader.handle(unkeyed, { ...options, lanes: 8, breaker: { failures: 1, openFor: "1 hour" } }, (job) =>
          Effect.andThen(Effect.sleep(job.n === 1 ? 50 : 500), Effect.fail("down")))
      )
      yield* pass(100)
      yield* reader.drain
      yield* pass(500)
      assert.strictEqual(reader.fiber.pollUnsafe()?._tag, "Success")
      assert.deepStrictEqual([reader.ledger().retried, reader.ledger().returned], [1, 1])
    }).pipe(memory))
})

describe("a rate limit", () => {
  const timesOf = (rateLimit: Reader.RateLimitOptions, keys: number) =>
    Effect.gen(function*() {
      const times: Array<readonly [key: string, at: number]> = []
      yield* send(...Array.from({ length: 30 }, (_, n) => [`k${n % keys}`, n] as const))
      const reader = yield* start(
        Reader.handle(keyed, { ...options, lanes: 16, rateLimit }, (job) =>
          Effect.map(now, (at) =>
            void times.push([job.key, at])))
      )
      for (let i = 0; i < 60; i++) {
        yield* pass(100)
      }
      yield* reader.interrupt
      assert.lengthOf(times, 30)
      return times
    })

  /** In no window there are more than the burst and what a window brings. */
  const mostIn = (times: ReadonlyArray<number>, millis: number) =>
    Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + millis).length))

  it.effect("of a reader", () =>
    Effect.gen(function*() {
      const times = (yield* timesOf({ limit: 5, window: "1 second" }, 10)).map(([, at]) => at)
      assert.approximately(Math.max(...times), 5_000, 300)
      assert.isAtMost(mostIn(times.filter((at) => at > 0), 1_000), 6)
    }).pipe(memory))

  it.effect("of each key: one does not wait for another", () =>
    Effect.gen(function*() {
      const times = yield* timesOf({ limit: 5, window: "1 second", per: "key" }, 3)
      for (const key of ["k0", "k1", "k2"]) {
        const own = times.filter(([name]) => name === key).map(([, at]) => at)
        assert.approximately(Math.max(...own), 1_000, 300)
      }
    }).pipe(memory))

  it.effect("counts attempts, and takes the store that is provided", () =>
    Effect.gen(function*() {
      const store = yield* RateLimiter.RateLimiterStore
      let tokens = 0
      const counting: typeof store = {
        ...store,
        tokenBucket: (given) => Effect.andThen(Effect.sync(() => ++tokens), store.tokenBucket(given))
      }
      yield* send(["a", 1])
      const reader = yield* start(
        Reader.handle(
          keyed,
          {
            ...options,
            maxAttempts: 3,
            retry: Schedule.spaced(10),
            rateLimit: { limit: 1, window: "1 second" },
            breaker: { failures: 10 }
          },
          () => Effect.fail("no")
        ).pipe(Effect.provideService(RateLimiter.RateLimiterStore, counting))
      )
      for (let i = 0; i < 50; i++) {
        yield* pass(100)
      }
      assert.deepStrictEqual([tokens, reader.ledger().failed], [3, 1])
      yield* reader.interrupt
    }).pipe(Effect.provide(RateLimiter.layerStoreMemory), memory))
})
