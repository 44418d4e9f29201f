import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Nats from "../../src/layers/Nats.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { connected, disconnected, eventually, patiently, store } from "../support/patience.ts"
import { ackAll, bound, createStream, durable, message, numbered, open, publish, textOf } from "../support/transport.ts"
import { witness } from "../support/witness.ts"

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

describe.each(NatsServer.wantedVersions())("Nats on nats-server %s", (version) => {
  it.live("publishes, confirmed in order, and reads it back", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        const receipts = yield* publish(...numbered("s.a", 1, 1_000))
        assert.deepStrictEqual(
          receipts.map((receipt) => receipt._tag === "Confirmed" ? receipt.sequence : receipt.reason._tag),
          Array.from({ length: 1_000 }, (_, i) => i + 1)
        )
        const inlet = yield* open(durable("S", "D", { filters: ["s.>"] }))
        assert.deepStrictEqual(yield* ackAll(inlet, 1_000), range(1, 1_000))
        const eyes = yield* witness(server.url)
        yield* eventually(Effect.promise(() => eyes.ackPending("S", "D")), (left) => assert.strictEqual(left, 0))
        assert.strictEqual(inlet.ledger().held, 0)
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }), 30_000)

  it.live("closing hands back at once what was taken and what was not", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        yield* publish(...numbered("s.a", 1, 20))
        // nats-server 2.9 keeps one message that goes back while nobody asks until its ack wait is over.
        const { promptReturn } = yield* Transport.use((transport) => transport.capabilities)
        const source = durable("S", "D", { ackWait: promptReturn ? "1 hour" : "5 seconds" })
        yield* Effect.scoped(Effect.gen(function*() {
          const inlet = yield* open(source)
          const taken = yield* inlet.take(5)
          yield* inlet.settle([{ delivery: taken[0], settlement: Settlement.ack }])
        }))
        const again = yield* open(source)
        const texts = yield* patiently(ackAll(again, 19))
        assert.deepStrictEqual(texts.toSorted((a, b) => Number(a) - Number(b)), range(2, 20))
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }), 30_000)

  it.live("a server killed and started again loses nothing and repeats nothing", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        yield* publish(...numbered("s.a", 1, 300))
        const inlet = yield* open(durable("S", "D"), { queue: Queue.suspend({ messages: 50 }) })
        const seen = yield* ackAll(inlet, 120)
        const held = yield* inlet.take(10)
        yield* Effect.promise(() => server.kill())
        // Settled while there is nobody to hear it.
        yield* inlet.settle(held.map((delivery) => ({ delivery, settlement: Settlement.ack })))
        yield* disconnected
        const [lost] = yield* publish(message("s.a", "while down"))
        assert.strictEqual(lost._tag, "NotSent")
        yield* Effect.promise(() => server.restart())
        const rest = yield* Effect.timeout(ackAll(inlet, 300 - 120 - held.length), "20 seconds")
        assert.deepStrictEqual([...seen, ...held.map(textOf), ...rest], range(1, 300))
        const eyes = yield* witness(server.url)
        yield* eventually(Effect.promise(() => eyes.ackPending("S", "D")), (left) => assert.strictEqual(left, 0))
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }), 40_000)

  it.live(
    "a deleted consumer of ours is made anew where reading stopped; a bound one ends with a type",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const program = Effect.gen(function*() {
          const eyes = yield* witness(server.url)
          yield* createStream("S", ["s.>"])
          yield* publish(...numbered("s.a", 1, 10))
          const ours = yield* open(durable("S", "OURS"))
          yield* ackAll(ours, 10)
          yield* Effect.promise(() => eyes.addConsumer("S", { durable_name: "THEIRS", ack_policy: "explicit" }))
          const theirs = yield* open(bound("S", "THEIRS"))
          yield* ackAll(theirs, 10)
          for (const name of ["OURS", "THEIRS"]) {
            yield* eventually(Effect.promise(() => eyes.ackPending("S", name)), (left) => assert.strictEqual(left, 0))
          }
          yield* Effect.promise(() => eyes.deleteConsumer("S", "OURS"))
          yield* Effect.promise(() => eyes.deleteConsumer("S", "THEIRS"))
          yield* publish(...numbered("s.a", 11, 20))
          assert.deepStrictEqual(yield* patiently(ackAll(ours, 10)), range(11, 20))
          const error = yield* patiently(Effect.flip(theirs.take(1)))
          assert.strictEqual(error._tag === "TransportError" ? error.reason._tag : error._tag, "ConsumerNotFound")
        })
        yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
      }),
    30_000
  )

  it.live("an ordered reader gets the stream in order, once, over a restart", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const program = Effect.gen(function*() {
        yield* createStream("S", ["s.>"])
        yield* publish(...numbered("s.a", 1, 100))
        const inlet = yield* open({ _tag: "ordered", stream: "S", filters: [], start: { _tag: "all" } })
        const before = yield* ackAll(inlet, 100)
        yield* Effect.promise(() => server.kill())
        yield* disconnected
        yield* Effect.promise(() => server.restart())
        yield* connected
        yield* store(...numbered("s.a", 101, 200))
        const after = yield* patiently(ackAll(inlet, 100))
        assert.deepStrictEqual([...before, ...after], range(1, 200))
      })
      yield* Effect.provide(Effect.scoped(program), Nats.layer({ servers: server.url }))
    }), 40_000)

  it.live("a missing right is a typed failure", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({
        version,
        config: `authorization { users: [
          { user: admin, password: admin }
          { user: reader, password: reader, permissions: {
            publish: ["$JS.API.CONSUMER.INFO.S.D", "$JS.ACK.S.D.>"], subscribe: ["_INBOX_R.>"] } }
        ] }`
      })
      const admin = server.url.replace("nats://", "nats://admin:admin@")
      yield* Effect.provide(
        Effect.scoped(Effect.gen(function*() {
          yield* createStream("S", ["s.>"])
          yield* open(durable("S", "D"))
        })),
        Nats.layer({ servers: admin })
      )
      const reader = Effect.gen(function*() {
        const inlet = yield* open(bound("S", "D"))
        const error = yield* patiently(Effect.flip(inlet.take(1)))
        assert.strictEqual(error._tag === "TransportError" ? error.reason._tag : error._tag, "PermissionDenied")
        const [receipt] = yield* publish(message("s.a", "x"))
        assert.deepStrictEqual(receipt._tag === "NotSent" ? receipt.reason._tag : receipt._tag, "PermissionDenied")
      })
      const options = {
        servers: server.url,
        user: "reader",
        password: Redacted.make("reader"),
        inboxPrefix: "_INBOX_R"
      }
      yield* Effect.provide(Effect.scoped(reader), Nats.layer(options))
    }), 30_000)
})

describe("connecting", () => {
  it.live("fails fast and says why when nobody listens", () =>
    Effect.gen(function*() {
      const port = yield* Effect.promise(() => NatsServer.freePort())
      const error = yield* Effect.flip(Effect.provide(Transport, Nats.layer({ servers: `nats://127.0.0.1:${port}` })))
      assert.strictEqual(error.reason._tag, "ConnectFailed")
      assert.include(error.message, `127.0.0.1:${port}`)
    }))

  it.live("rejected credentials are a typed failure that does not show them", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ config: `authorization { user: a, password: b }` })
      const layer = Nats.layer({ servers: server.url, user: "a", password: Redacted.make("CANARY_PASS") })
      const error = yield* Effect.flip(Effect.provide(Transport, layer))
      assert.strictEqual(error.reason._tag, "AuthFailed")
      assert.notInclude(JSON.stringify(error) + String(error.stack) + error.message, "CANARY")
    }))

  it.live.each(
    [
      ["nats://user:CANARY@192.0.2.1:4222", "Invalid"],
      ["nats://CANARY@192.0.2.1:4222", "Invalid"],
      ["http://127.0.0.1:4222", "Invalid"],
      ["nats://[", "Invalid"],
      ["nats://a%zz:CANARY@127.0.0.1:4222", "Invalid"],
      ["nats://user:CANARY@127.0.0.1.example.com:4222", "Invalid"]
    ] as const
  )("%s is refused before anything is sent", ([servers, tag]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.provide(Transport, Nats.layer({ servers })))
      assert.strictEqual(error.reason._tag, tag)
      assert.notInclude(error.message, "CANARY")
    }))

  it.live("tls:// means TLS: a server without it is refused", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const layer = Nats.layer({ servers: server.url.replace("nats://", "tls://") })
      const error = yield* Effect.flip(Effect.provide(Transport, layer))
      assert.strictEqual(error.reason._tag, "ConnectFailed")
    }))
})
