import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Lanes from "../src/Lanes.ts"

interface Item {
  readonly key: string | undefined
  readonly n: number
}

/** A small generator of random numbers that a seed replays (mulberry32). */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

const items = (count: number, keys: number, next: () => number = () => 0.5): Array<Item> =>
  Array.from({ length: count }, (_, n) => ({ key: next() < 0.1 ? undefined : `key-${n % keys}`, n }))

/** Puts everything in, waiting for room, and waits for the end. */
const feed = Effect.fnUntraced(function*<A>(lanes: Lanes.Lanes<A>, all: ReadonlyArray<A>, chunk = 100) {
  let at = 0
  while (at < all.length) {
    yield* lanes.awaitRoom
    at += lanes.offerUnsafe(all.slice(at, at + Math.min(chunk, lanes.room())))
  }
  yield* lanes.awaitEmpty
})

const isAscending = (ns: ReadonlyArray<number>) => ns.every((n, i) => i === 0 || n > ns[i - 1]!)

const byKey = (done: ReadonlyArray<Item>) => Map.groupBy(done.filter((item) => item.key !== undefined), (i) => i.key)

describe("order", () => {
  it.live.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "of each key holds under random delays, retries and loads (seed %s)",
    (seed) =>
      Effect.gen(function*() {
        const next = random(seed)
        const [count, keys, laneCount, capacity] = [400, 1 + Math.floor(next() * 40), 1 + Math.floor(next() * 9), 60]
        const all = items(count, keys, next)
        const done: Array<Item> = []
        const running = new Map<string, number>()
        let most = 0
        const lanes = yield* Lanes.make({
          lanes: laneCount,
          capacity,
          key: (item: Item) => item.key,
          handBack: () => Effect.void,
          run: (item) =>
            Effect.gen(function*() {
              most = Math.max(most, lanes.size())
              if (item.key !== undefined) {
                assert.notProperty(Object.fromEntries(running), item.key, "two of one key at once")
                running.set(item.key, item.n)
              }
              if (next() < 0.5) {
                yield* Effect.sleep(next() * 3)
              }
              running.delete(item.key ?? "")
              if (next() < 0.2) {
                return Lanes.park(next() * 5)
              }
              done.push(item)
              return Lanes.done
            })
        })
        yield* feed(lanes, all, 1 + Math.floor(next() * 50))
        assert.lengthOf(done, count)
        assert.lengthOf(new Set(done), count)
        assert.isAtMost(most, capacity)
        for (const [key, of] of byKey(done)) {
          assert.isTrue(isAscending(of.map((item) => item.n)), `${key}: ${of.map((item) => item.n).join()}`)
        }
      })
  )

  it.effect("a parked key waits in order, and the other keys of its lane go on", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      let failures = 2
      const lanes = yield* Lanes.make({
        lanes: 1,
        capacity: 10,
        key: (name: string) => name[0],
        handBack: () => Effect.void,
        run: (name) =>
          Effect.sync(() => {
            log.push(name)
            return name === "a1" && failures-- > 0 ? Lanes.park(1_000) : Lanes.done
          })
      })
      lanes.offerUnsafe(["a1", "a2", "b1", "a3", "b2"])
      assert.deepStrictEqual(log, ["a1", "b1", "b2"])
      yield* TestClock.adjust(999)
      lanes.offerUnsafe(["a4", "b3"])
      assert.deepStrictEqual(log.splice(0), ["a1", "b1", "b2", "b3"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(log, ["a1"])
      assert.strictEqual(lanes.size(), 4)
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(log, ["a1", "a1", "a2", "a3", "a4"])
      yield* lanes.awaitEmpty
    }))

  it.effect("an item without a key that is parked keeps nobody waiting", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const lanes = yield* Lanes.make({
        lanes: 1,
        capacity: 10,
        key: (_: number) => undefined,
        handBack: () => Effect.void,
        run: (n) => Effect.sync(() => log.push(n) === 1 ? Lanes.park(50) : Lanes.done)
      })
      lanes.offerUnsafe([1, 2, 3])
      assert.deepStrictEqual(log, [1, 2, 3])
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(log, [1, 2, 3, 1])
      yield* lanes.awaitEmpty
    }))
})

describe("parallelism", () => {
  const blocking = (laneCount: number, capacity: number) =>
    Effect.gen(function*() {
      const started: Array<string> = []
      const handed: Array<[ReadonlyArray<string>, boolean]> = []
      const lanes = yield* Lanes.make({
        lanes: laneCount,
        capacity,
        key: (name: string) => name.startsWith("-") ? undefined : name[0],
        handBack: (items, begun) => Effect.sync(() => void handed.push([items, begun])),
        run: (name) => Effect.andThen(Effect.sync(() => started.push(name)), Effect.never)
      })
      return { lanes, started, handed }
    })

  it.effect("items without a key take every free lane, also past one that is stuck", () =>
    Effect.gen(function*() {
      const { lanes, started } = yield* blocking(3, 10)
      assert.strictEqual(lanes.offerUnsafe(["a1", "-1", "-2", "-3"]), 4)
      assert.deepStrictEqual(started, ["a1", "-1", "-2"])
    }))

  it.effect("items with and without a key take turns in a lane", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const lanes = yield* Lanes.make({
        lanes: 1,
        capacity: 10,
        key: (name: string) => name.startsWith("-") ? undefined : name[0],
        handBack: () => Effect.void,
        run: (name) => Effect.sync(() => (ran.push(name), Lanes.done))
      })
      lanes.offerUnsafe(["a1", "a2", "a3", "-1", "-2", "-3"])
      yield* lanes.awaitEmpty
      assert.deepStrictEqual(ran, ["a1", "-1", "a2", "-2", "a3", "-3"])
    }))

  it.effect("takes no more than fits, and says how much that was", () =>
    Effect.gen(function*() {
      const { lanes } = yield* blocking(1, 3)
      assert.strictEqual(lanes.offerUnsafe(["a1", "a2"]), 2)
      assert.strictEqual(lanes.offerUnsafe(["a3", "a4"]), 1)
      assert.strictEqual(lanes.offerUnsafe(["a5"]), 0)
      assert.deepStrictEqual([lanes.size(), lanes.room()], [3, 0])
      const waiting = yield* Effect.forkChild(lanes.awaitRoom, { startImmediately: true })
      yield* TestClock.adjust(10)
      assert.isUndefined(waiting.pollUnsafe())
      assert.deepStrictEqual(lanes.withdraw(), ["a2", "a3"])
      yield* Fiber.join(waiting)
    }))

  it.effect("spreads many keys evenly over any number of lanes", () =>
    Effect.gen(function*() {
      for (const count of [2, 7, 10, 64]) {
        const { lanes, started } = yield* blocking(count, 100_000)
        lanes.offerUnsafe(Array.from({ length: 20 * count }, (_, n) => String.fromCodePoint(0x4e00 + n)))
        assert.isAtLeast(started.length, count - 1, `${count} lanes`)
      }
    }))
})

describe("memory", () => {
  it.live("100,000 keys leave nothing behind", () =>
    Effect.gen(function*() {
      let ran = 0
      const lanes = yield* Lanes.make({
        lanes: 16,
        capacity: 500,
        // Long enough for what is kept of a key to be seen: 100,000 of them are 20 MB.
        key: (n: number) => `customer-${n}-`.padEnd(200, "x"),
        handBack: () => Effect.void,
        // Some keys are parked once, so that what is kept per parked key is seen to go away too.
        run: (n) => Effect.sync(() => n % 10 === 0 && ran++ % 2 === 0 ? Lanes.park(1) : Lanes.done)
      })
      const all = Array.from({ length: 110_000 }, (_, n) => n)
      yield* feed(lanes, all.slice(0, 10_000), 500)
      const before = heapUsed()
      yield* feed(lanes, all.slice(10_000), 500)
      assert.isAtMost(heapUsed() - before, 4 * 1024 * 1024, "bytes that stay")
    }))

  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void

  const heapUsed = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
})

describe("the end", () => {
  it.effect.each([1, 2, 3, 4, 5])(
    "a closed scope hands back everything once (seed %s)",
    (seed) =>
      Effect.gen(function*() {
        const next = random(seed)
        const all = items(200, 30, next)
        const [done, waiting, begun] = [new Array<Item>(), new Array<Item>(), new Array<Item>()]
        const scope = yield* Scope.make()
        const lanes = yield* Scope.provide(
          Lanes.make({
            lanes: 5,
            capacity: 200,
            key: (item: Item) => item.key,
            handBack: (back, wasBegun) => Effect.sync(() => void (wasBegun ? begun : waiting).push(...back)),
            run: (item) =>
              Effect.gen(function*() {
                yield* Effect.sleep(next() * 20)
                if (next() < 0.3) {
                  return Lanes.park(next() * 100)
                }
                done.push(item)
                return Lanes.done
              })
          }),
          scope
        )
        lanes.offerUnsafe(all)
        yield* TestClock.adjust(next() * 300)
        const inside = lanes.size()
        yield* Scope.close(scope, Exit.void)
        assert.isAbove(waiting.length, 0)
        assert.isAbove(begun.length, 0)
        assert.strictEqual(waiting.length + begun.length, inside)
        assert.strictEqual(new Set([...done, ...waiting, ...begun]).size, 200)
        assert.strictEqual(done.length + waiting.length + begun.length, 200)
        assert.deepStrictEqual([lanes.size(), lanes.room()], [0, 0])
        const before = done.length
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(done.length, before)
      })
  )

  it.effect("what waits is handed back before a slow finalizer of what runs has ended", () =>
    Effect.gen(function*() {
      const handed: Array<string> = []
      const cleaned = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const lanes = yield* Scope.provide(
        Lanes.make({
          lanes: 1,
          capacity: 10,
          key: () => "k",
          handBack: (back: ReadonlyArray<string>) => Effect.sync(() => void handed.push(...back)),
          run: () => Effect.onInterrupt(Effect.never, () => Deferred.await(cleaned))
        }),
        scope
      )
      lanes.offerUnsafe(["runs", "waits"])
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.deepStrictEqual(handed, ["waits"])
      yield* Deferred.succeed(cleaned, undefined)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(handed, ["waits", "runs"])
    }))

  it.effect("withdraw takes what waits and is parked, of the kind that is asked for", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const lanes = yield* Lanes.make({
        lanes: 1,
        capacity: 20,
        key: (name: string) => name.startsWith("-") ? undefined : name[0],
        handBack: () => Effect.void,
        run: (name) => {
          ran.push(name)
          return name.endsWith("!")
            ? Effect.succeed(Lanes.park(1_000))
            : Effect.as(Effect.sleep(name === "stuck" ? 100 : 0), Lanes.done)
        }
      })
      lanes.offerUnsafe(["a1!", "a2", "stuck", "b1"])
      lanes.offerUnsafe(["-1", "-2"])
      const taken = lanes.withdraw((name) => /[12]/.test(name) && name !== "-2")
      assert.deepStrictEqual(taken.toSorted(), ["-1", "a1!", "a2", "b1"])
      assert.strictEqual(lanes.size(), 2)
      yield* TestClock.adjust("1 hour")
      yield* lanes.awaitEmpty
      assert.deepStrictEqual(ran, ["a1!", "stuck", "-2"])
    }))
})

describe("a run", () => {
  it.effect("that takes longer than the budget is interrupted, judged, and its lane goes on", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const lanes = yield* Lanes.make({
        lanes: 1,
        capacity: 10,
        key: () => "k",
        handBack: () => Effect.void,
        run: (name: string) =>
          Effect.sleep(name === "slow" ? "10 minutes" : "59 seconds").pipe(
            Effect.as(Lanes.done),
            Effect.tap(() => Effect.sync(() => log.push(`${name} done`))),
            Effect.onInterrupt(() => Effect.sync(() => log.push(`${name} interrupted`)))
          ),
        budget: {
          millis: 60_000,
          exceeded: (name) => Effect.sync(() => log.push(`${name} judged`)).pipe(Effect.as(Lanes.done))
        }
      })
      lanes.offerUnsafe(["fast", "slow", "fast"])
      yield* TestClock.adjust("118 seconds")
      assert.deepStrictEqual(log, ["fast done"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(log, ["fast done", "slow interrupted", "slow judged"])
      yield* TestClock.adjust("59 seconds")
      yield* lanes.awaitEmpty
      assert.deepStrictEqual(log.at(-1), "fast done")
    }))

  it.effect("that dies loses nothing but itself", () =>
    Effect.gen(function*() {
      const [ran, handed] = [new Array<number>(), new Array<number>()]
      const lanes = yield* Lanes.make({
        lanes: 1,
        capacity: 10,
        key: () => "k",
        handBack: (back: ReadonlyArray<number>) => Effect.sync(() => void handed.push(...back)),
        run: (n) => n === 2 ? Effect.die(new Error("bug")) : Effect.sync(() => (ran.push(n), Lanes.done))
      })
      lanes.offerUnsafe([1, 2, 3])
      yield* lanes.awaitEmpty
      assert.deepStrictEqual([ran, handed], [[1, 3], [2]])
    }))
})
