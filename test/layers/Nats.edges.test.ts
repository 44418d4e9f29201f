/** What happens at the edges of reading and publishing: pulls that overlap, consumers and streams made anew, closing. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Nats from "../../src/layers/Nats.ts"
import type { Delivery } from "../../src/Message.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { type Inlet, Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { disconnected, eventually, patiently, store, unlessStandstill } from "../support/patience.ts"
import * as Proxy from "../support/proxy.ts"
import { ackAll, bound, createStream, durable, message, numbered, open, publish, textOf } from "../support/transport.ts"
import { witness } from "../support/witness.ts"

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

const settle = (inlet: Inlet, deliveries: ReadonlyArray<Delivery>, settlement = Settlement.ack) =>
  inlet.settle(deliveries.map((delivery) => ({ delivery, settlement })))

/** Takes until `count` have come, without a verdict. */
const hold = Effect.fnUntraced(function*(inlet: Inlet, count: number) {
  const held: Array<Delivery> = []
  while (held.length < count) {
    held.push(...yield* inlet.take(count - held.length))
  }
  return held
})

describe("options", () => {
  it.live.each([{ publishMessages: 0 }, { publishBytes: Number.NaN }, { inboxPrefix: "a b" }, { inboxPrefix: "_I.>" }])(
    "that could never work are refused: %j",
    (options) =>
      Effect.gen(function*() {
        const layer = Nats.layer({ servers: "nats://127.0.0.1:4222", ...options })
        const error = yield* Effect.flip(Effect.provide(Transport, layer))
        assert.strictEqual(error.reason._tag, "Invalid")
      })
  )
})

describe.each(NatsServer.wantedVersions())("nats-server %s", (version) => {
  it.live("pulls that overlap and expire leave no pause", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const eyes = yield* witness(server.url)
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        const config = { durable_name: "D", ack_policy: "explicit", max_expires: 2e9 }
        yield* Effect.promise(() => eyes.addConsumer("S", config))
        const inlet = yield* open(bound("S", "D"), { queue: Queue.suspend({ messages: 40 }) })
        yield* publish(...numbered("s.a", 1, 30))
        yield* ackAll(inlet, 30)
        for (let i = 0; i < 60; i++) {
          yield* publish(message("s.a", "x"), message("s.a", "x"), message("s.a", "x"))
          yield* ackAll(inlet, 3)
          yield* Effect.sleep(100)
          if (i % 20 === 19) {
            // The whole capacity is still asked for: nothing is counted as on its way that will never come.
            yield* publish(...numbered("s.a", 1, 40))
            const held = yield* Effect.timeout(hold(inlet, 40), "1 second")
            yield* settle(inlet, held)
          }
        }
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }).pipe(unlessStandstill(400)), 60_000)

  it.live(
    "a server that was silent and comes back does not deliver more than was asked for",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const eyes = yield* witness(server.url)
        const program = Effect.gen(function*() {
          yield* createStream("S", ["s.>"])
          const inlet = yield* open(durable("S", "D"), { queue: Queue.suspend({ messages: 50 }) })
          for (let i = 0; i < 3; i++) {
            yield* Effect.sleep(1_200)
            yield* Effect.promise(server.freeze)
            yield* Effect.sleep(2_650)
            yield* Effect.promise(server.thaw)
          }
          yield* store(...numbered("s.a", 1, 250))
          yield* Effect.sleep(500)
          assert.isAtMost(yield* Effect.promise(() => eyes.ackPending("S", "D")), 50)
          assert.deepStrictEqual(yield* patiently(ackAll(inlet, 250)), range(1, 250))
        })
        yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
      }),
    40_000
  )

  it.live("inlets that close leave no subscription behind", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version, config: "http: \"127.0.0.1:-1\"" })
      const monitor = yield* Effect.promise(async () =>
        /http monitor on (\S+)/i.exec(await server.logs())?.[1] ?? assert.fail("no monitor")
      )
      const count = Effect.promise(async () => {
        const answer = await fetch(`http://${monitor}/connz`)
        const { connections } = await answer.json() as { connections: ReadonlyArray<{ subscriptions: number }> }
        return connections.reduce((sum, { subscriptions }) => sum + subscriptions, 0)
      })
      // The monitor does not wait for what is still on the line: an answer on the same line does.
      const subscriptions = Effect.andThen(publish(message("s.a", "x")), count)
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        yield* Effect.scoped(open(durable("S", "D")))
        const before = yield* subscriptions
        for (let i = 0; i < 10; i++) {
          yield* Effect.scoped(Effect.all(Array.from({ length: 20 }, () => open(durable("S", "D")))))
        }
        assert.strictEqual(yield* subscriptions, before)
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }), 30_000)

  it.live(
    "closing the layer ends publishes that a frozen server never answers, and inlets, in bounded time",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const scope = yield* Scope.make()
        const context = yield* Scope.provide(Layer.build(Nats.layer({ servers: server.url })), scope)
        yield* Effect.provide(createStream("S", ["s.>"]), context)
        yield* Scope.provide(Effect.provide(open(durable("S", "D")), context), scope)
        yield* Effect.promise(server.freeze)
        const waiting = yield* Effect.forkChild(Effect.provide(publish(message("s.a", "x")), context))
        yield* Effect.sleep(100)
        const before = performance.now()
        yield* Scope.close(scope, Exit.void)
        const [receipt] = yield* Effect.timeout(Fiber.join(waiting), "2 seconds")
        assert.strictEqual(receipt._tag, "Ambiguous")
        assert.isBelow(performance.now() - before, 7_000)
      }).pipe(unlessStandstill(300)),
    60_000
  )

  it.live("under upTo no ack covers what an earlier reader left unanswered", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        const source = durable("S", "D", { ack: "all", ackWait: "3 seconds" })
        const queue = Queue.suspend({ messages: 3 })
        yield* publish(...numbered("s.a", 1, 5))
        // It has stopped without a word, and renews nothing.
        const dead = yield* open(source, { ack: { _tag: "upTo" }, queue, timeBudgetMs: 1 })
        assert.deepStrictEqual((yield* hold(dead, 3)).map(textOf), range(1, 3))
        // Whatever it reads takes all the room that it has: it must ask for the others all the same.
        const inlet = yield* open(source, { ack: { _tag: "upTo" }, queue: Queue.suspend({ messages: 2 }) })
        yield* settle(inlet, yield* hold(inlet, 2))
        yield* Effect.sleep(500)
        const { topology } = yield* Transport
        const info = Effect.map(Option.getOrThrow(topology).describeConsumer("S", "D"), Option.getOrThrow)
        assert.deepInclude(yield* info, { ackFloor: 0, ackPending: 5 })
        const back = yield* patiently(ackAll(inlet, 3))
        assert.deepStrictEqual(back.toSorted(), range(1, 3))
        yield* eventually(info, (found) => assert.deepInclude(found, { ackPending: 0, delivered: 5 }))
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }).pipe(unlessStandstill(1_500)), 60_000)

  it.live("under upTo a term does not cover what is not settled before it", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        const source = durable("S", "D", { ack: "all", ackWait: "2 seconds" })
        yield* publish(...numbered("s.a", 1, 3))
        yield* Effect.scoped(Effect.gen(function*() {
          const inlet = yield* open(source, { ack: { _tag: "upTo" } })
          const [one, two, three] = yield* hold(inlet, 3)
          yield* settle(inlet, [two!], Settlement.term("broken"))
          yield* settle(inlet, [three!])
          yield* Effect.sleep(300)
          assert.strictEqual(textOf(one!), "1")
        }))
        const again = yield* open(source, { ack: { _tag: "upTo" } })
        const back = yield* patiently(hold(again, 3))
        assert.deepStrictEqual(back.map(textOf).toSorted(), ["1", "2", "3"])
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }), 30_000)

  it.live(
    "an ephemeral consumer that is lost with every verdict unconfirmed does not hold up reading",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const eyes = yield* witness(server.url)
        const program = Effect.gen(function*() {
          yield* createStream("S", ["s.>"])
          yield* publish(...numbered("s.a", 1, 40))
          const source = { _tag: "ephemeral", stream: "S", filters: [], start: { _tag: "all" } } as const
          const inlet = yield* open(source, { queue: Queue.suspend({ messages: 20 }) })
          const held = yield* hold(inlet, 20)
          yield* Effect.promise(async () => {
            for (const name of await eyes.consumers("S")) {
              await eyes.deleteConsumer("S", name)
            }
          })
          yield* settle(inlet, held)
          assert.deepStrictEqual(yield* patiently(ackAll(inlet, 20)), range(21, 40))
        })
        yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
      }),
    30_000
  )

  it.live("closing during an outage ends who waits for the broker's word", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        yield* publish(...numbered("s.a", 1, 5))
        const scope = yield* Scope.make()
        const inlet = yield* Scope.provide(open(durable("S", "D"), { ack: { _tag: "confirmed" } }), scope)
        const held = yield* hold(inlet, 5)
        yield* Effect.promise(server.kill)
        yield* disconnected
        const waiting = yield* Effect.forkChild(settle(inlet, held), { startImmediately: true })
        yield* patiently(Scope.close(scope, Exit.void))
        yield* patiently(Fiber.join(waiting))
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }), 30_000)

  it.live("verdicts of an inlet that closes during a short outage still arrive", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      // The line alone is down: a server that is killed may have forgotten what it delivered, and takes long to come back.
      const proxy = yield* Proxy.scoped(server)
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        yield* publish(...numbered("s.a", 1, 20))
        const scope = yield* Scope.make()
        const inlet = yield* Scope.provide(open(durable("S", "D")), scope)
        const held = yield* hold(inlet, 20)
        yield* Effect.promise(() => proxy.refuse(true))
        yield* Effect.promise(proxy.cut)
        yield* disconnected
        yield* settle(inlet, held)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* Effect.promise(() => proxy.refuse(false))
        yield* Fiber.join(closing)
        assert.strictEqual(inlet.ledger().unconfirmed, 0)
        const eyes = yield* witness(server.url)
        assert.strictEqual(yield* Effect.promise(() => eyes.ackPending("S", "D")), 0)
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: proxy.url }))
    }), 30_000)

  it.live("interrupting open leaves no consumer behind", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const eyes = yield* witness(server.url)
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        for (const tag of ["ephemeral", "ordered"] as const) {
          for (let yields = 0; yields < 8; yields++) {
            const opening = yield* Effect.forkChild(
              Effect.scoped(open({ _tag: tag, stream: "S", filters: [], start: { _tag: "all" } }))
            )
            for (let i = 0; i < yields; i++) {
              yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
            }
            yield* Fiber.interrupt(opening)
          }
        }
        // Whatever is still on its way has been made by then.
        yield* Effect.sleep(300)
        yield* eventually(Effect.promise(() => eyes.consumers("S")), (found) => assert.deepStrictEqual(found, []))
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
      // Who is interrupted waits no longer than a second for the word that nothing is left.
    }).pipe(unlessStandstill(500)), 60_000)
})
