/** What the simulation found in the product, each as small as it gets. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import * as Settlement from "../../src/Settlement.ts"
import { Transport } from "../../src/Transport.ts"
import { delivery, LEASE, many, setup } from "../support/played.ts"
import { consumer, keyed, options, pass, send, setUp, start, unkeyed, withMemory } from "../support/reading.ts"
import { createStream, durable, numbered, open, publish } from "../support/transport.ts"

describe("found by the simulation", () => {
  it.effect("a deadline at a fraction of a millisecond stopped the broker in memory for good", () =>
    Effect.gen(function*() {
      yield* createStream("S", ["s"])
      yield* publish(...numbered("s", 1, 1))
      // The leases of one second are looked after every 166.666… ms, and so is virtual time.
      const inlet = yield* open(durable("S", "C", { ackWait: "1 second" }))
      const [first] = yield* inlet.take(1)
      yield* pass(5_900)
      yield* inlet.settle([{ delivery: first, settlement: Settlement.nak(1_600) }])
      const again = yield* Effect.forkChild(inlet.take(1))
      for (let step = 0; step < 20; step++) {
        yield* pass(250)
      }
      assert.strictEqual((yield* Fiber.join(again))[0].deliveryCount, 2)
    }).pipe(withMemory))

  it.effect("a verdict left the reader's clock behind, so that a transport that waits never settled", () =>
    Effect.gen(function*() {
      yield* setUp
      yield* send(["a", 1])
      const inner = yield* Transport
      const waiting: Transport["Service"] = {
        ...inner,
        open: (source, flow) =>
          Effect.map(inner.open(source, flow), (inlet) => ({
            take: inlet.take,
            stop: inlet.stop,
            holds: inlet.holds,
            ledger: inlet.ledger,
            settle: (verdicts) => Effect.andThen(Effect.sleep(100), inlet.settle(verdicts))
          }))
      }
      const reader = yield* start(Effect.provideService(
        Reader.handle(unkeyed, options, () => Effect.void),
        Transport,
        waiting
      ))
      yield* pass(50)
      assert.strictEqual((yield* consumer()).ackPending, 1)
      yield* pass(100)
      assert.strictEqual((yield* consumer()).ackPending, 0)
      yield* reader.interrupt
    }).pipe(Effect.provide(AckPolicy.onProcess), withMemory))

  it.effect("upTo: a term covered messages before it that were not done, and they were never seen again", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, settle, take, turn } = yield* setup({ ack: { _tag: "upTo" } })
      arrive(...many(1, 3))
      const [one, two, three] = yield* take(3)
      yield* settle([one], Settlement.nak(1_000))
      yield* settle([two!], Settlement.term("no use"))
      turn()
      assert.deepStrictEqual(port.written, ["1.1 Nak"])
      const [again] = many(1, 1)
      intake.deliver(again!, "1.2")
      yield* pass(1_200)
      arrive()
      yield* settle(yield* take(1))
      yield* settle([three!], Settlement.term("no use"))
      turn()
      // One answer for all three: a server takes a term for an ack here.
      assert.deepStrictEqual(port.written.slice(1), ["3.1 Term"])
    }))

  it.effect("upTo: the first ack of a new reader covered what an earlier one had left unanswered", () =>
    Effect.gen(function*() {
      yield* createStream("S", ["s"])
      yield* publish(...numbered("s", 1, 4))
      const source = durable("S", "C", { ack: "all", ackWait: "2 seconds" })
      const upTo = { ack: { _tag: "upTo" }, queue: Queue.suspend({ messages: 2 }), timeBudgetMs: 1 } as const
      yield* (yield* open(source, upTo)).take(2)
      const inlet = yield* open(source, upTo)
      const seen: Array<number> = []
      yield* Effect.forkChild(
        Effect.forever(Effect.flatMap(inlet.take(1), ([delivery]) => {
          seen.push(delivery.streamSequence)
          return inlet.settle([{ delivery, settlement: Settlement.ack }])
        }))
      )
      yield* pass(1_000)
      assert.deepStrictEqual(seen, [3, 4])
      yield* pass(2_000)
      assert.deepStrictEqual(seen, [3, 4, 1, 2])
      const { topology } = yield* Transport
      const info = yield* Option.getOrThrow(topology).describeConsumer("S", "C")
      assert.deepInclude(Option.getOrThrow(info), { ackFloor: 4, ackPending: 0 })
    }).pipe(withMemory))

  it.effect("upTo: an ack that went back in the consumer's own count was heard by nobody", () =>
    Effect.gen(function*() {
      const { arrive, confirmAll, port, settle, take, turn } = yield* setup({ ack: { _tag: "upTo" } })
      arrive(...many(1, 3))
      const [one, two, three] = yield* take(3)
      yield* settle([one, two!], Settlement.nak())
      yield* settle([three!])
      confirmAll()
      arrive(delivery(1, { count: 2, nth: 4 }), delivery(2, { count: 2, nth: 5 }))
      const [again, last] = yield* take(2)
      yield* settle([again])
      turn()
      // An ack for the first, which came as the fourth, would be the end of an ack for the third, which came as that.
      assert.deepStrictEqual(port.written, ["1.1 Nak", "2.1 Nak"])
      yield* settle([last!])
      turn()
      assert.deepStrictEqual(port.written.slice(2), ["3.1 Ack"])
    }))

  it.effect("upTo: what a leaving reader had done and could not acknowledge came back only when its lease was over", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, settle, take, turn } = yield* setup({ ack: { _tag: "upTo" } })
      arrive(...many(1, 2))
      const [one, two] = yield* take(2)
      yield* settle([two!])
      turn()
      assert.isTrue(intake.inlet.holds(one))
      port.answer = (id) => queueMicrotask(() => intake.confirmed(id))
      yield* intake.close
      assert.deepStrictEqual(port.written, ["1.1 Nak", "2.1 Nak"])
      assert.deepInclude(intake.inlet.ledger(), { settled: 1, returned: 1, unconfirmed: 1 })
    }))

  it.effect("upTo: an ack for the consumer that was deleted covered, in the new one, what that had not delivered", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, settle, take, turn } = yield* setup({ ack: { _tag: "upTo" } })
      arrive(...many(1, 3))
      const [one, two] = yield* take(3)
      yield* settle([one])
      turn()
      intake.confirmed(port.batches[0]!.id)
      port.written.splice(0)
      intake.replaced()
      yield* settle([two!])
      turn()
      assert.deepStrictEqual(port.written, [])
      // The new one begins at the second message, and counts from one.
      intake.deliver(delivery(2, { nth: 1 }), "2.new")
      turn()
      assert.deepStrictEqual(port.written, ["2.new Ack"])
      assert.strictEqual(intake.inlet.ledger().swallowed, 1)
    }))

  it.effect("upTo: what was done when its consumer was deleted was acknowledged to the new one by its old address", () =>
    Effect.gen(function*() {
      const { arrive, intake, port, settle, take, turn } = yield* setup({ ack: { _tag: "upTo" } })
      arrive(...many(1, 3))
      const [one] = yield* take(3)
      yield* settle([one])
      turn()
      port.written.splice(0)
      intake.replaced()
      turn()
      assert.deepStrictEqual(port.written, [])
    }))

  it.effect("upTo: more was held than fits, and what had been given back had no room to come", () =>
    Effect.gen(function*() {
      const queue = Queue.suspend({ messages: 2 })
      const standing = { ackFloor: 0, ackPending: 1, delivered: 1 }
      const { arrive, confirmAll, port, settle, take } = yield* setup({ ack: { _tag: "upTo" }, queue, standing })
      arrive(...many(2, 3))
      yield* settle(yield* take(2))
      yield* pass("1 second")
      arrive(delivery(1, { count: 2 }))
      yield* settle(yield* take(1), Settlement.nak("1 second"))
      yield* pass("500 millis")
      arrive(delivery(4))
      yield* settle(yield* take(1))
      confirmAll()
      port.pulls.splice(0)
      yield* pass("10 seconds")
      assert.deepStrictEqual(port.pulls.map(([messages]) => messages), [1])
    }))

  it.effect("upTo: what a server counts as unanswered, and has deleted, kept everything else waiting for ever", () =>
    Effect.gen(function*() {
      const standing = { ackFloor: 0, ackPending: 1, delivered: 1 }
      const { arrive, port, settle, take, turn } = yield* setup({ ack: { _tag: "upTo" }, standing })
      arrive(delivery(2))
      yield* settle(yield* take(1))
      yield* pass("119 seconds")
      turn()
      assert.deepStrictEqual(port.written, [])
      yield* pass("2 seconds")
      turn()
      assert.deepStrictEqual(port.written, ["2.1 Ack"])
    }))

  it.effect("a consumer made anew began behind what another reader had handed back", () =>
    Effect.gen(function*() {
      const { arrive, intake, port } = yield* setup({ standing: { ackFloor: 0, ackPending: 3, delivered: 3 } })
      arrive(delivery(3))
      assert.strictEqual(intake.resumeAt(), 1)
      // The broker is asked again, now and then.
      port.standing = { ackFloor: 2, ackPending: 1, delivered: 3 }
      yield* pass("5 seconds")
      assert.strictEqual(intake.resumeAt(), 3)
    }))

  it.effect("what an ordered reader could not give up counted as kept, and was never seen again", () =>
    Effect.gen(function*() {
      yield* send(["a", 1])
      const onGiveUp = () => Effect.fail("nowhere to keep it")
      const ordered = { ...options, consumer: Reader.ordered(), onGiveUp }
      const reader = yield* start(Reader.handle(unkeyed, ordered, () => Effect.fail("no")))
      yield* pass(1_000)
      const { failed, retried } = reader.ledger()
      assert.deepStrictEqual([failed, retried], [1, 0])
      yield* reader.interrupt
    }).pipe((effect) => withMemory(Effect.andThen(setUp, effect).pipe(Effect.provide(AckPolicy.onProcess)))))

  it.effect("what was handed back while disconnected gave up its room, and could not come back behind a full queue", () =>
    Effect.gen(function*() {
      const queue = Queue.suspend({ messages: 2, bytes: 10_000 })
      const { arrive, intake, port, settle, take, turn } = yield* setup({ ack: { _tag: "upTo" }, queue })
      arrive(...many(1, 2))
      const [one, two] = yield* take(2)
      intake.disconnected()
      yield* settle([one], Settlement.nak(1_000))
      yield* settle([two!])
      turn()
      intake.connected()
      // The second is settled and may be forgotten by the server; the first will need its place again.
      assert.deepStrictEqual(port.pulls.at(-1)?.[0], 1)
    }))

  it.effect("what was acknowledged on enqueue and could not be given up counted as tried again", () =>
    Effect.gen(function*() {
      yield* send(["a", 1])
      const onGiveUp = () => Effect.fail("nowhere to keep it")
      const reader = yield* start(Reader.handle(unkeyed, { ...options, onGiveUp }, () => Effect.fail("no")))
      yield* pass(1_000)
      const { failed, retried } = reader.ledger()
      assert.deepStrictEqual([failed, retried], [1, 0])
      yield* reader.interrupt
    }).pipe((effect) => withMemory(Effect.andThen(setUp, effect).pipe(Effect.provide(AckPolicy.onEnqueue)))))

  it.effect("while draining, what follows a failed message of its key was handed back before it", () =>
    Effect.gen(function*() {
      yield* setUp
      yield* send(["a", 1], ["a", 2], ["a", 3])
      const inner = yield* Transport
      const returned: Array<number> = []
      const watched: Transport["Service"] = {
        ...inner,
        open: (source, flow) =>
          Effect.map(inner.open(source, flow), (inlet) => ({
            take: inlet.take,
            stop: inlet.stop,
            holds: inlet.holds,
            ledger: inlet.ledger,
            settle: (verdicts) => {
              returned.push(...verdicts.map(({ delivery }) => delivery.streamSequence))
              return inlet.settle(verdicts)
            }
          }))
      }
      const failing = Reader.handle(keyed, options, () => Effect.andThen(Effect.sleep(1_000), Effect.fail("no")))
      const reader = yield* start(Effect.provideService(failing, Transport, watched))
      yield* pass(500)
      // The second and the third wait in the lane of the first.
      yield* reader.drain
      yield* pass(600)
      yield* Fiber.join(reader.fiber)
      assert.deepStrictEqual(returned, [1, 2, 3])
    }).pipe(Effect.provide(AckPolicy.onProcess), withMemory))

  it.effect("what was given back too late was taken from whoever had it by then", () =>
    Effect.gen(function*() {
      const { arrive, intake, ledger, port, settle, take, turn } = yield* setup()
      arrive(...many(1, 2))
      const [one, two] = yield* take(2)
      intake.disconnected()
      yield* settle([one], Settlement.nak())
      yield* settle([two!])
      turn()
      // By now the broker has given both to another reader. That the second is done is still so.
      yield* pass(LEASE)
      intake.connected()
      assert.deepStrictEqual(port.written, ["2.1 Ack"])
      intake.deliver(delivery(1, { count: 3 }), "1.3")
      assert.deepInclude(ledger(), { delivered: 3, swallowed: 0, unconfirmed: 1 })
    }))

  it.effect("a reader that left while it was cut off gave back, when it was there again, what others had by then", () =>
    Effect.gen(function*() {
      const { arrive, intake, ledger, port, take } = yield* setup()
      arrive(...many(1, 3))
      yield* take(1)
      intake.disconnected()
      yield* pass(LEASE - 1_000)
      const closing = yield* Effect.forkChild(intake.close)
      yield* pass(1_000)
      intake.connected()
      yield* Fiber.join(closing)
      assert.deepStrictEqual(port.written, [])
      assert.deepInclude(ledger(), { held: 0, returned: 3, unconfirmed: 3 })
    }))

  it.effect("what may have gone back with a delay, and was not confirmed in time, keeps its room until it is due", () =>
    Effect.gen(function*() {
      const queue = Queue.suspend({ messages: 1 })
      const { arrive, port, settle, take, turn } = yield* setup({ queue, leaseMs: 1_000 })
      arrive(delivery(1))
      yield* settle(yield* take(1), Settlement.nak(5_000))
      turn()
      port.pulls.splice(0)
      // Nobody confirms it. Said again after its lease, it could take the message from somebody else.
      yield* pass(4_500)
      assert.deepStrictEqual([port.written, port.pulls], [["1.1 Nak"], []])
      yield* pass(1_000)
      assert.deepStrictEqual(port.pulls.map(([messages]) => messages), [1])
    }))

  it.effect("upTo: something new that came beyond what fits kept out for a whole lease what was due after that", () =>
    Effect.gen(function*() {
      const queue = Queue.suspend({ messages: 2 })
      const hour = 3_600_000
      const { arrive, intake, port, settle, take } = yield* setup({ ack: { _tag: "upTo" }, queue, leaseMs: hour })
      arrive(...many(1, 2))
      const [one, two] = yield* take(2)
      intake.disconnected()
      yield* settle([one], Settlement.nak("1 second"))
      yield* settle([two!])
      // The broker takes its time to say how the consumer stands; until then it is asked for one more than fits.
      port.standing = undefined
      intake.connected()
      arrive(delivery(3))
      yield* settle(yield* take(1))
      yield* pass("250 millis")
      arrive(delivery(4))
      yield* settle(yield* take(1))
      intake.learned({ ackFloor: 0, ackPending: 4, delivered: 4 })
      port.pulls.splice(0)
      yield* pass("5 seconds")
      assert.deepStrictEqual(port.pulls.map(([messages]) => messages), [1])
    }))
})
