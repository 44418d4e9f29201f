/** Messages whose process died on the last attempt: on virtual time, and on a real server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Memory from "../src/layers/Memory.ts"
import * as Nats from "../src/layers/Nats.ts"
import * as Provisioner from "../src/Provisioner.ts"
import * as Reader from "../src/Reader.ts"
import * as Settlement from "../src/Settlement.ts"
import { Transport } from "../src/Transport.ts"
import { events, makeDlq } from "./support/letters.ts"
import * as NatsServer from "./support/nats-server.ts"
import { keyed, options, pass, send, setUp, start } from "./support/reading.ts"
import { durable, open } from "./support/transport.ts"

const makeAll = Effect.all([setUp, makeDlq, Provisioner.ensure(DeadLetter.advisories())], { discard: true })

const lost = Effect.map(
  DeadLetter.list(),
  (all) =>
    all.map(({ provenance: { attempts, consumer, kind, reason, sequence } }) => ({
      attempts,
      consumer,
      kind,
      reason,
      sequence
    }))
)

describe("a process that dies on a message's last attempt", () => {
  it.effect("leaves a letter all the same, and one only", () =>
    Effect.gen(function*() {
      const broker = yield* Memory.Broker
      const { transport } = yield* broker.connect
      const here = Effect.provideService(Transport, transport)
      yield* here(Effect.andThen(makeAll, send(["a", 1], ["b", 2], ["c", 3])))
      const watching = yield* start(here(DeadLetter.watch()))
      const giveUp = (sequence: number) => sequence === 2 ? Effect.never : Effect.void
      // 1 is done, of 2 the letter is stored and its original not terminated, at 3 the process dies.
      const reader = Reader.handle(keyed, {
        ...options,
        lanes: 8,
        maxDeliver: 2,
        maxAttempts: 2,
        ackWait: "5 seconds",
        retry: Schedule.spaced("1 second"),
        deadLetter: true,
        onGiveUp: (_, message) => giveUp(message.streamSequence)
      }, (job) => job.n === 1 ? Effect.void : job.n === 2 ? Effect.fail("no") : Effect.never)
      // The broker gives up when somebody asks for more: the third life does.
      for (let life = 0; life < 3; life++) {
        const connection = yield* broker.connect
        const fiber = yield* start(Effect.provideService(reader, Transport, connection.transport))
        yield* pass("2 seconds")
        yield* connection.disconnect
        yield* pass("6 seconds")
        yield* fiber.interrupt
      }
      yield* pass("30 seconds")
      const rows = yield* here(lost)
      assert.sameDeepMembers(rows, [
        { attempts: 2, consumer: "worker", kind: "failed", reason: "Failed", sequence: 2 },
        { attempts: 2, consumer: "worker", kind: "lost", reason: "MaxDeliveries", sequence: 3 }
      ])
      yield* watching.interrupt
      assert.strictEqual(watching.ledger().failed, 0)
    }).pipe(Effect.provide([Memory.brokerLayer(), AckPolicy.onProcess])))

  it.effect("a letter waits until there is a place for it; what was terminated needs none", () =>
    Effect.gen(function*() {
      yield* Effect.all([setUp, Provisioner.ensure(DeadLetter.advisories())])
      yield* send(["a", 1], ["a", 2])
      yield* Effect.scoped(Effect.gen(function*() {
        const inlet = yield* open(durable("JOBS", "C", { maxDeliver: 1 }))
        const held = yield* inlet.take(2)
        yield* inlet.settle([
          { delivery: held[0], settlement: Settlement.nak() },
          { delivery: held[1]!, settlement: Settlement.term("refused") }
        ])
        yield* pass(100)
      }))
      assert.deepStrictEqual((yield* events("DLQ_ADVISORIES")).map(({ subject }) => subject.split(".")[4]), [
        "MSG_TERMINATED",
        "MAX_DELIVERIES"
      ])
      const watching = yield* start(DeadLetter.watch({ payload: "reference" }))
      for (let i = 0; i < 60; i++) {
        yield* pass("1 second")
      }
      yield* makeDlq
      for (let i = 0; i < 120; i++) {
        yield* pass("1 second")
      }
      assert.deepStrictEqual(yield* lost, [
        { attempts: 1, consumer: "C", kind: "lost", reason: "MaxDeliveries", sequence: 1 }
      ])
      const letter = Option.getOrThrow(yield* DeadLetter.get(1))
      assert.deepStrictEqual([letter.provenance.payload, letter.bytes.length], ["reference", 0])
      yield* watching.interrupt
    }).pipe(Effect.provide([Memory.layer(), AckPolicy.onProcess])))
})

describe.each(NatsServer.wantedVersions())("nats-server %s", (version) => {
  it.live("captures what it says, and a letter comes of it", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      yield* Effect.gen(function*() {
        yield* makeAll
        yield* send(["a", 1], ["a", 2])
        const inlet = yield* open(durable("JOBS", "C", { maxDeliver: 1 }))
        const watching = yield* start(DeadLetter.watch({ handlers: ["JOBS/C"] }))
        for (const settlement of [Settlement.nak(), Settlement.term("refused")]) {
          const [delivery] = yield* inlet.take(1)
          yield* inlet.settle([{ delivery, settlement }])
        }
        const rows = yield* Effect.repeat(lost, {
          until: ({ length }) => length > 0,
          schedule: Schedule.spaced("50 millis")
        }).pipe(Effect.timeout("15 seconds"))
        assert.deepStrictEqual(rows, [
          { attempts: 1, consumer: "C", kind: "lost", reason: "MaxDeliveries", sequence: 1 }
        ])
        yield* watching.interrupt
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(Nats.layer({ servers: server.url }), AckPolicy.onProcess)))
    }).pipe(Effect.scoped), 30_000)
})
