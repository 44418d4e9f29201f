/** A network that misbehaves: cuts again and again, a peer that is gone without a word, bytes that mean nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as Publisher from "../../src/Publisher.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import type { Source } from "../../src/Transport.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { eventually, patiently, store, unlessStandstill } from "../support/patience.ts"
import * as Proxy from "../support/proxy.ts"
import { ackAll, createStream, durable, message, numbered, open, publish } from "../support/transport.ts"
import { witness } from "../support/witness.ts"

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i))
const Job = Schema.Struct({ key: Schema.String, n: Schema.Number })
const jobs = Topic.make("jobs.work", { schema: Job, key: (job) => job.key })

/** Cuts every connection every 300 to 500 ms, so often. */
const cuts = (proxy: Proxy.Proxy, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => 300 + (i * 67) % 200),
    (pause) => Effect.andThen(Effect.sleep(pause), Effect.promise(proxy.cut)),
    { discard: true }
  )

describe.each(NatsServer.wantedVersions())("nats-server %s", (version) => {
  it.live(
    "5,000 messages over a connection that is cut all the time: all handled, none twice",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const proxy = yield* Proxy.scoped(server)
        const calls = new Map<number, number>()
        const layer = Nats.layer({ servers: proxy.url })
        yield* Effect.provide(createStream("JOBS", ["jobs.>"]), layer)
        const reader = Reader.handle(jobs, {
          stream: "JOBS",
          consumer: "d",
          // What the server wrote into a connection that was cut comes again after this.
          ackWait: "2 seconds",
          lanes: 8,
          queue: Queue.suspend({ messages: 200 })
        }, (job) =>
          Effect.sync(() => {
            calls.set(job.n, (calls.get(job.n) ?? 0) + 1)
          }).pipe(Effect.delay("2 millis"))).pipe(Effect.provide(Layer.merge(AckPolicy.onProcess, layer)))
        const reading = yield* Effect.forkChild(reader)
        const publishing = yield* Effect.forkChild(
          Effect.forEach(Array.from({ length: 100 }, (_, i) => i), (chunk) =>
            Publisher.publishAll(
              jobs,
              Array.from({ length: 50 }, (_, i) => ({ value: { key: `k${i}`, n: chunk * 50 + i } }) as never)
            ).pipe(Effect.andThen(Effect.sleep(60))), { discard: true }).pipe(Effect.provide(layer))
        )
        yield* cuts(proxy, 20)
        yield* Fiber.join(publishing)
        yield* eventually(Effect.sync(() => calls.size), (size) => assert.strictEqual(size, 5_000))
        const eyes = yield* witness(server.url)
        yield* eventually(Effect.promise(() => eyes.ackPending("JOBS", "d")), (left) => assert.strictEqual(left, 0))
        // What comes too often would come now.
        yield* Effect.sleep(500)
        yield* Fiber.interrupt(reading)
        assert.strictEqual(calls.size, 5_000)
        assert.deepStrictEqual([...calls].filter(([, count]) => count > 1), [])
        // A lease of two seconds is renewed after a third of it.
      }).pipe(unlessStandstill(1_000)),
    90_000
  )

  it.live("an ordered reader gets everything once and in order over cuts", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const proxy = yield* Proxy.scoped(server)
      const source: Source = { _tag: "ordered", stream: "S", filters: [], start: { _tag: "all" } }
      yield* Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        const inlet = yield* open(source)
        const cutting = yield* Effect.forkChild(cuts(proxy, 10))
        const eyes = yield* witness(server.url)
        for (let n = 1; n <= 1_000; n++) {
          eyes.publish("s.a", String(n))
          if (n % 10 === 0) {
            yield* Effect.sleep(30)
          }
        }
        yield* Fiber.join(cutting)
        assert.deepStrictEqual(yield* Effect.timeout(ackAll(inlet, 1_000), "20 seconds"), range(1, 1_000))
      }).pipe(Effect.scoped, Effect.provide(Nats.layer({ servers: proxy.url })))
    }), 40_000)

  it.live(
    "a server that stands still is noticed within two and a half seconds, wherever between two pings",
    () =>
      Effect.gen(function*() {
        // Right after a ping, halfway to the next one, and right before it.
        const noticed = yield* Effect.forEach([2_050, 2_300, 2_450], (after) =>
          Effect.gen(function*() {
            const server = yield* NatsServer.scoped({ version })
            return yield* Effect.gen(function*() {
              const { status } = yield* Transport
              yield* Effect.sleep(after)
              const before = performance.now()
              yield* Effect.promise(server.freeze)
              const stands = performance.now()
              yield* Stream.runHead(Stream.filter(status, ({ _tag }) => _tag !== "Connected"))
              const noticed = performance.now()
              return { atMost: noticed - before, atLeast: noticed - stands }
            }).pipe(Effect.provide(Nats.layer({ servers: server.url })))
          }).pipe(Effect.scoped), { concurrency: "unbounded" })
        for (const { atLeast, atMost } of noticed) {
          assert.isAbove(atMost, 1_900, "until then the server serves the pulls that it has")
          assert.isBelow(atLeast, 2_750)
        }
      }).pipe(unlessStandstill(100)),
    30_000
  )

  it.live(
    "what never reaches an ordered reader, or comes twice, is read once; soon, also if nothing follows it",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const proxy = yield* Proxy.scoped(server)
        const eyes = yield* witness(server.url)
        yield* Effect.gen(function*() {
          yield* createStream("S", ["s.>"])
          const inlet = yield* open({ _tag: "ordered", stream: "S", filters: [], start: { _tag: "all" } })
          const read: Array<string> = []
          const times: Array<number> = []
          const next = Effect.fnUntraced(function*(count: number, edit?: Proxy.Edit) {
            if (edit !== undefined) {
              yield* Effect.forkChild(Effect.promise(() => proxy.edit(edit)), { startImmediately: true })
              // Orders are taken one after the other: when this one is done, the edit is in force.
              yield* Effect.promise(() => proxy.refuse(false))
            }
            for (const text of range(read.length + 1, read.length + count)) {
              eyes.publish("s.a", text)
              yield* Effect.sleep(5)
            }
            const from = performance.now()
            read.push(...(yield* patiently(ackAll(inlet, count))))
            times.push(performance.now() - from)
          })
          yield* next(1)
          yield* next(20, { what: "lose", count: 3 })
          yield* next(20, { what: "repeat", count: 3 })
          times.length = 0
          for (let i = 0; i < 3; i++) {
            yield* next(1, { what: "lose", count: 1 })
          }
          yield* next(1)
          assert.deepStrictEqual(read, range(1, 45))
          // The best of three: a busy machine may be late once.
          assert.isBelow(Math.min(...times.slice(0, 3)), 900)
          assert.isAbove(Math.min(...times.slice(0, 3)), 100, "nothing was lost")
        }).pipe(Effect.scoped, Effect.provide(Nats.layer({ servers: proxy.url })))
      }).pipe(unlessStandstill(300)),
    60_000
  )

  it.live.each(["blackhole", "garble"] as const)("%s: noticed, and flowing again", (fault) =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const proxy = yield* Proxy.scoped(server)
      yield* Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        const inlet = yield* open(durable("S", "D"))
        yield* publish(...numbered("s.a", 1, 10))
        yield* ackAll(inlet, 10)
        const eyes = yield* witness(server.url)
        yield* Effect.promise(() =>
          fault === "blackhole" ? proxy.blackhole() : proxy.garble("\r\n\0\xffHALLO 1 2 3\r\nMSG\r\n")
        )
        const before = performance.now()
        const [lost] = yield* publish(message("other", "x"))
        // What is not the protocol is seen at once; that nobody answers, only in time.
        assert.include(fault === "blackhole" ? ["Ambiguous"] : ["Ambiguous", "NotSent"], lost._tag)
        assert.isBelow(performance.now() - before, 3_700)
        // The server has ended the pulls of the connection that is gone by now, and gives it nothing.
        yield* store(message("s.b", "10"))
        yield* ackAll(inlet, 1)
        for (const text of range(11, 40)) {
          eyes.publish("s.a", text)
        }
        assert.deepStrictEqual(yield* Effect.timeout(ackAll(inlet, 30), "2 seconds"), range(11, 40))
      }).pipe(Effect.scoped, Effect.provide(Nats.layer({ servers: proxy.url })))
    }).pipe(unlessStandstill(300)), 60_000)

  it.live.each([5, 0])(
    "what is published while an ordered reader of what is new has no consumer is read, once it has one: after %i",
    (before) =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const proxy = yield* Proxy.scoped(server)
        const eyes = yield* witness(server.url)
        yield* Effect.gen(function*() {
          yield* createStream("S", ["s.>"])
          for (const old of numbered("s.a", 1, before)) {
            yield* publish(old)
          }
          const inlet = yield* open({ _tag: "ordered", stream: "S", filters: [], start: { _tag: "new" } })
          yield* Effect.promise(async () => {
            await proxy.refuse(true)
            await proxy.cut()
            for (const name of await eyes.consumers("S")) {
              await eyes.deleteConsumer("S", name)
            }
            eyes.publish("s.a", "6")
            eyes.publish("s.a", "7")
            await eyes.messages("S")
            await proxy.refuse(false)
          })
          assert.deepStrictEqual(yield* patiently(ackAll(inlet, 2)), ["6", "7"])
        }).pipe(Effect.scoped, Effect.provide(Nats.layer({ servers: proxy.url })))
      }),
    30_000
  )

  it.live.each(["durable", "ephemeral", "ordered"] as const)(
    "a stream that was deleted and made anew is read from its beginning (%s)",
    (tag) =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const proxy = yield* Proxy.scoped(server)
        const eyes = yield* witness(server.url)
        yield* Effect.gen(function*() {
          yield* createStream("S", ["s.>"])
          yield* publish(...numbered("s.a", 1, 100))
          const inlet = yield* open(
            tag === "durable" ? durable("S", "D") : { _tag: tag, stream: "S", filters: [], start: { _tag: "all" } }
          )
          yield* ackAll(inlet, 100)
          yield* Effect.promise(async () => {
            await proxy.refuse(true)
            await proxy.cut()
            await eyes.deleteStream("S")
            await eyes.addStream("S", ["s.>"])
            for (const text of range(1, 20)) {
              eyes.publish("s.a", text)
            }
            await eyes.messages("S")
            await proxy.refuse(false)
          })
          assert.deepStrictEqual(yield* patiently(ackAll(inlet, 20)), range(1, 20))
        }).pipe(Effect.scoped, Effect.provide(Nats.layer({ servers: proxy.url })))
      }),
    30_000
  )

  it.live("a consumer whose ack wait somebody lowers is soon answered in time", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const eyes = yield* witness(server.url)
      yield* Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        const inlet = yield* open(durable("S", "D", { ackWait: "12 seconds" }))
        yield* publish(...numbered("s.a", 1, 4))
        while (inlet.ledger().delivered < 4) {
          yield* Effect.sleep(10)
        }
        const taken = yield* inlet.take(4)
        yield* Effect.promise(() => eyes.updateConsumer("S", "D", { ack_wait: 2e9 }))
        yield* Effect.sleep("2500 millis")
        const { swallowed } = inlet.ledger()
        yield* Effect.sleep("3 seconds")
        assert.strictEqual(inlet.ledger().swallowed, swallowed)
        assert.deepStrictEqual(taken.map(inlet.holds), [true, true, true, true])
      }).pipe(Effect.scoped, Effect.provide(Nats.layer({ servers: server.url })))
    }).pipe(unlessStandstill(300)), 60_000)
})

// Whatever the server: it is the client that waits.
describe("a line with seconds to carry", () => {
  it.live.each([
    { body: 100_000, bytesPerSecond: 2_000_000 },
    { body: 4_000, bytesPerSecond: 80_000 }
  ])(
    "is not taken for silent while it brings messages, behind which answers to pings stand: %j",
    ({ body, bytesPerSecond }) =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({})
        const proxy = yield* Proxy.scoped(server)
        const seen: Array<string> = []
        const program = Effect.gen(function*() {
          const transport = yield* Transport
          yield* createStream("S", ["s"])
          for (let i = 0; i < 100; i++) {
            yield* publish(message("s", "x".repeat(body)))
          }
          yield* Effect.forkChild(
            Stream.runForEach(transport.status, ({ _tag }) => Effect.sync(() => void seen.push(_tag))),
            { startImmediately: true }
          )
          yield* Effect.promise(() => proxy.shape({ bytesPerSecond, sliceBytes: 8_000 }))
          const inlet = yield* open(durable("S", "D"), { queue: Queue.suspend({ messages: 100 }) })
          yield* ackAll(inlet, 100)
          assert.deepStrictEqual(seen, ["Connected"])
          yield* Effect.promise(() => proxy.shape(undefined))
        })
        yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: proxy.url }))
      }),
    40_000
  )

  it.live(
    "is not taken for silent while it takes messages, behind which pings stand",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({})
        const proxy = yield* Proxy.scoped(server)
        const program = Effect.gen(function*() {
          yield* createStream("S", ["s"])
          yield* Effect.promise(() => proxy.shape({ bytesPerSecond: 2_000_000, sliceBytes: 8_000 }))
          // As much again as sockets on one machine take at once.
          const receipts = yield* publish(...Array.from({ length: 18 }, () => message("s", "x".repeat(900_000))))
          assert.deepStrictEqual(new Set(receipts.map(({ _tag }) => _tag)), new Set(["Confirmed"]))
          yield* Effect.promise(() => proxy.shape(undefined))
        })
        yield* Effect.provide(
          Effect.scoped(program),
          Nats.layer({ servers: proxy.url, publishBytes: 32_000_000, publishTimeout: "30 seconds" })
        )
      }),
    40_000
  )
})
