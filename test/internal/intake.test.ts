import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import type { Delivery } from "../../src/Message.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import * as Subject from "../../src/Subject.ts"
import { because, StreamNotFound } from "../../src/TransportError.ts"
import { delivery, many, sequences, setup } from "../support/played.ts"

describe("pulling", () => {
  it.effect("asks for the capacity at once, and for nothing more until there is room", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, intake, port, settle, take } = yield* setup()
      assert.deepStrictEqual(port.pulls.map(([messages]) => messages), [10])
      arrive(...many(1, 10))
      intake.returned(0, 1_000_000)
      const taken = yield* take(10)
      yield* settle(taken.slice(0, 4))
      assert.strictEqual(port.pulls.length, 1, "settled is not confirmed")
      confirmAll()
      assert.deepStrictEqual(port.pulls.map(([messages]) => messages), [10, 4])
    }))

  it.effect("asks again for a quarter of the capacity at least, while something is on its way", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, intake, port, settle, take } = yield* setup()
      arrive(...many(1, 5))
      for (const [done, pulls] of [[2, 1], [1, 2]] as const) {
        yield* settle(yield* take(done))
        confirmAll()
        assert.strictEqual(port.pulls.length, pulls)
      }
      assert.strictEqual(port.pulls[1]?.[0], 3)
      intake.returned(8, 0)
      intake.pullMore()
      assert.strictEqual(port.pulls[2]?.[0], 8, "nothing was on its way any more")
    }))

  it.effect("keeps to its bytes, and always leaves room for the largest message", () =>
    Effect.gen(function*() {
      const { arrive, intake, port } = yield* setup({ queue: Queue.suspend({ messages: 100, bytes: 1_000 }) })
      assert.deepStrictEqual(port.pulls, [[100, 500]])
      arrive(delivery(1, { size: 399 }))
      intake.returned(99, 100)
      intake.pullMore()
      assert.deepStrictEqual(port.pulls[1], [99, 300])
      arrive(delivery(2, { size: 299 }), delivery(3, { size: 249 }))
      intake.returned(97, 1_000)
      intake.pullMore()
      assert.strictEqual(port.pulls.length, 2, "50 bytes are left, and the largest message has 100")
    }))

  it.effect("asks for everything anew after a reconnect, and for nothing before", () =>
    Effect.gen(function*() {
      const { arrive, intake, port } = yield* setup()
      arrive(...many(1, 3))
      intake.disconnected()
      intake.pullMore()
      assert.strictEqual(port.pulls.length, 1)
      intake.connected()
      assert.strictEqual(port.pulls[1]?.[0], 7)
    }))

  it.effect("refuses a queue that could never work", () =>
    Effect.gen(function*() {
      for (const queue of [{ messages: 0 }, { messages: 1.5 }, { bytes: 99 }]) {
        const error = yield* Effect.flip(setup({ queue: Queue.suspend(queue) }))
        assert.strictEqual(error.reason._tag, "Invalid")
      }
    }))

  const step = Schema.Struct({
    kind: Schema.Literals(["arrive", "take", "settle", "return", "confirm", "withdraw", "reconnect"]),
    n: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))
  })

  it.effect.prop(
    "never lets the broker count more than the capacity, and counts every delivery once",
    { steps: Arbitrary.array(Arbitrary.schema(step), { maxLength: 80 }) },
    ({ steps }) =>
      Effect.gen(function*() {
        const { arrive, intake, ledger, port, settle, take, turn } = yield* setup()
        let next = 1
        // What a broker counts: asked for, or delivered and not answered as far as it has read.
        let owed = 10
        const unanswered = new Set<number>()
        const running: Array<Delivery> = []
        const act: Record<typeof step.Type["kind"], (n: number) => Effect.Effect<void>> = {
          arrive: (n) =>
            Effect.sync(() => {
              for (let i = 0; i < Math.min(n, owed); i++) {
                unanswered.add(next)
                arrive(delivery(next++))
              }
              owed -= Math.min(n, owed)
            }),
          take: (n) =>
            Effect.gen(function*() {
              const taking = yield* Effect.forkChild(take(n), { startImmediately: true })
              yield* Effect.yieldNow
              yield* Effect.yieldNow
              const exit = taking.pollUnsafe()
              running.push(...(exit !== undefined && Exit.isSuccess(exit) ? exit.value : []))
              yield* Fiber.interrupt(taking)
            }),
          settle: (n) => settle(running.splice(0, n)),
          return: (n) => settle(running.splice(0, n), Settlement.nak("10 seconds")),
          confirm: () =>
            Effect.sync(() => {
              turn()
              for (const { entries, id } of port.batches.splice(0)) {
                for (const { settlement, token } of entries) {
                  if (settlement?._tag === "Ack") {
                    unanswered.delete(Number(token.split(".")[0]))
                  }
                }
                intake.confirmed(id)
              }
            }),
          withdraw: (n) =>
            Effect.sync(() => {
              intake.returned(Math.min(n, owed), 0)
              owed -= Math.min(n, owed)
              intake.pullMore()
            }),
          reconnect: () =>
            Effect.sync(() => {
              intake.disconnected()
              owed = 0
              intake.connected()
            })
        }
        port.pulls.length = 0
        for (const { kind, n } of steps) {
          // After a reconnect, what was settled before may be unanswered at the broker still, and takes up no room.
          yield* act[kind](n)
          owed += port.pulls.splice(0).reduce((sum, [messages]) => sum + messages, 0)
          const repeated = intake.holdings.table.entries.all.filter((entry) => !entry.counted).length
          assert.isAtMost(unanswered.size + owed - repeated, 10)
          const { delivered, displaced, held, lost, returned, settled } = ledger()
          const undecided = intake.holdings.table.entries.all.filter((entry) => entry.settlement === undefined)
          assert.strictEqual(held, undecided.length)
          assert.strictEqual(delivered, settled + displaced + lost + returned + held)
        }
      }),
    { arbitrary: { runs: 200 } }
  )
})

describe("taking", () => {
  it.effect("gives what arrives in one turn together, at most what was asked for, in a turn of its own", () =>
    Effect.gen(function*() {
      const { arrive, take } = yield* setup()
      let delivering = false
      const ran = yield* Effect.forkChild(Effect.map(take(3), (taken) => ({ taken: sequences(taken), delivering })), {
        startImmediately: true
      })
      delivering = true
      arrive(...many(1, 5))
      delivering = false
      // User code inside the broker's callback would hold up the broker's I/O.
      assert.deepStrictEqual(yield* Fiber.join(ran), { taken: [1, 2, 3], delivering: false })
      assert.deepStrictEqual(sequences(yield* take(10)), [4, 5])
    }))

  it.effect("settles what the queue displaces, as it was told", () =>
    Effect.gen(function*() {
      const onDrop = Settlement.term("too late")
      const { arrive, ledger, port, take, turn } = yield* setup({ queue: Queue.sliding({ messages: 4, onDrop }) })
      arrive(...many(1, 5))
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Term", "2.1 Term"])
      assert.deepStrictEqual(sequences(yield* take(10)), [3, 4, 5])
      assert.deepInclude(ledger(), { delivered: 5, displaced: 2, held: 3 })
    }))

  it.effect("acknowledges on enqueue what the policy names, and waits for no verdict on it", () =>
    Effect.gen(function*() {
      const ack = { _tag: "hybrid", onEnqueue: [Subject.patternUnsafe("telemetry.*")] } as const
      const { arrive, ledger, port, settle, take, turn } = yield* setup({ ack })
      arrive(delivery(1, { subject: "telemetry.a" }), delivery(2, { subject: "jobs.a" }))
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Ack"])
      yield* settle(yield* take(2))
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Ack", "2.1 Ack"])
      assert.deepInclude(ledger(), { delivered: 2, settled: 2, held: 0 })
    }))

  it.effect("takes one verdict per delivery, and none on what it does not know", () =>
    Effect.gen(function*() {
      const { arrive, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 2))
      const [first] = yield* take(1)
      yield* settle([first, first, delivery(1), delivery(2), delivery(9)])
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Ack"])
    }))

  it.effect("fails when the source is gone, also whoever waits, and asks for nothing more", () =>
    Effect.gen(function*() {
      const { intake, port, take } = yield* setup()
      const waiting = yield* Effect.forkChild(Effect.flip(take(1)), { startImmediately: true })
      intake.fail(because(new StreamNotFound({ stream: "S" })))
      for (const error of [yield* Fiber.join(waiting), yield* Effect.flip(take(1))]) {
        assert.isTrue(error._tag === "TransportError" && error.reason._tag === "StreamNotFound")
      }
      intake.returned(10, 0)
      intake.pullMore()
      assert.strictEqual(port.pulls.length, 1)
    }))
})

describe("a redelivery", () => {
  it.effect("of what waits or is worked on is swallowed, and the verdict goes to its newest address", () =>
    Effect.gen(function*() {
      const { arrive, ledger, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 2))
      const [first] = yield* take(1)
      arrive(delivery(1, { count: 2 }), delivery(2, { count: 2 }))
      const [second] = yield* take(10)
      assert.strictEqual(second?.deliveryCount, 1, "there is one of it")
      yield* settle([first, second])
      turn()
      assert.deepStrictEqual(port.written, ["1.2 Ack", "2.2 Ack"])
      assert.deepInclude(ledger(), { delivered: 2, swallowed: 2, settled: 2, held: 0 })
    }))

  it.effect("of what is settled gets the same verdict again", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, ledger, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 2))
      const taken = yield* take(2)
      yield* settle(taken.slice(0, 1))
      yield* settle(taken.slice(1), Settlement.term("no"))
      turn()
      arrive(delivery(1, { count: 2 }))
      confirmAll()
      arrive(delivery(1, { count: 3 }), delivery(2, { count: 3 }))
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Ack", "2.1 Term", "1.2 Ack", "1.3 Ack", "2.3 Term"])
      assert.deepInclude(ledger(), { delivered: 2, settled: 2, swallowed: 3, held: 0 })
    }))

  it.effect("of what was given back is delivered", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, ledger, settle, take } = yield* setup()
      for (const count of [1, 2, 3]) {
        arrive(delivery(1, { count }))
        const taken = yield* take(1)
        assert.strictEqual(taken[0]?.deliveryCount, count)
        yield* settle(taken, count === 1 ? Settlement.nak() : Settlement.nak("1 minute"))
        confirmAll()
      }
      assert.deepInclude(ledger(), { delivered: 3, settled: 3, swallowed: 0 })
    }))

  it.effect("of what was given back is delivered, also where it overtakes the word that it went back", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, ledger, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 2))
      const [first, second] = yield* take(2)
      yield* settle([first])
      yield* settle([second!], Settlement.nak())
      turn()
      arrive(delivery(2, { count: 2 }))
      const again = yield* take(1)
      assert.strictEqual(again[0]?.deliveryCount, 2)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(
        port.written,
        ["1.1 Ack", "2.1 Nak", "1.1 Ack"],
        "what has come back is not given back again"
      )
      yield* settle(again)
      confirmAll()
      assert.deepStrictEqual(port.written.slice(3), ["2.2 Ack"])
      assert.deepInclude(ledger(), { delivered: 3, settled: 3, swallowed: 0, held: 0, unconfirmed: 0 })
    }))

  it.effect("of what was given back for a while is not delivered before that", () =>
    Effect.gen(function*() {
      const { arrive, ledger, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 1))
      yield* settle(yield* take(1), Settlement.nak("1 second"))
      turn()
      arrive(delivery(1, { count: 2 }))
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Nak", "1.2 Nak"])
      assert.deepInclude(ledger(), { delivered: 1, swallowed: 1 })
    }))

  it.effect("is another message if it was stored at another time: the stream was made anew", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, ledger, settle, take } = yield* setup()
      arrive(...many(1, 2))
      yield* settle(yield* take(1))
      confirmAll()
      arrive(delivery(1, { at: 99 }), delivery(2, { at: 99 }))
      const taken = yield* take(10)
      assert.deepStrictEqual(taken.map((one) => one.timestamp), [99, 99])
      assert.deepInclude(ledger(), { delivered: 4, settled: 1, lost: 1, swallowed: 0, held: 2 })
    }))

  it.effect("after a reset is another message, whenever it was stored", () =>
    Effect.gen(function*() {
      const { arrive, intake, ledger, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 3))
      const [first, second] = yield* take(2)
      yield* settle([first])
      intake.reset()
      turn()
      assert.deepStrictEqual(port.written, [])
      arrive(delivery(1), delivery(2))
      yield* settle([second!])
      assert.deepStrictEqual(sequences(yield* take(10)), [1, 2])
      assert.deepInclude(ledger(), { delivered: 5, settled: 1, lost: 2, held: 2 })
    }))
})

describe("the place to begin anew", () => {
  it.effect("is the lowest message without a verdict that stands", () =>
    Effect.gen(function*() {
      const { arrive, intake, settle, take } = yield* setup()
      assert.strictEqual(intake.resumeAt(), 1)
      arrive(...many(11, 15))
      const [a, b, c, d, e] = yield* take(5)
      yield* settle([a, c!])
      assert.strictEqual(intake.resumeAt(), 12)
      yield* settle([b!], Settlement.nak("1 hour"))
      assert.strictEqual(intake.resumeAt(), 12, "given back is not done")
      yield* settle([d!, e!], Settlement.term("no"))
      assert.strictEqual(intake.resumeAt(), 12)
    }))

  it.effect("is after the last one when everything is done", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, intake, settle, take } = yield* setup()
      arrive(...many(11, 13))
      yield* settle(yield* take(3))
      assert.strictEqual(intake.resumeAt(), 14)
      confirmAll()
      assert.strictEqual(intake.resumeAt(), 14)
    }))
})
