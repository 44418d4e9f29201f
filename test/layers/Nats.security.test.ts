/** TLS means TLS, credentials of every kind, and secrets that show nowhere. */
import { assert, describe, it } from "@effect/vitest"
import { nkeys } from "@nats-io/transport-node"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import * as Health from "../../src/Health.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as Watched from "../../src/layers/Watched.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { connected, eventually, patiently, unlessStandstill } from "../support/patience.ts"
import { ackAll, bound, createStream, durable, message, numbered, open, publish } from "../support/transport.ts"

const path = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url))
const pem = (name: string) => readFile(path(name), "utf8")

const tlsServer = (verify: boolean) =>
  Effect.gen(function*() {
    const files = {
      "ca.pem": yield* Effect.promise(() => pem("ca.pem")),
      "server.pem": yield* Effect.promise(() => pem("server.pem")),
      "server-key.pem": yield* Effect.promise(() => pem("server-key.pem"))
    }
    const config = `tls { cert_file: "server.pem", key_file: "server-key.pem", ca_file: "ca.pem", verify: ${verify} }`
    return yield* NatsServer.scoped({ config, files })
  })

/** Uses the connection for real. */
const works = Effect.gen(function*() {
  yield* createStream("S", ["s.>"])
  const [receipt] = yield* publish(message("s.a", "x"))
  assert.strictEqual(receipt._tag, "Confirmed")
})

describe("TLS", () => {
  it.live("tls:// with the CA works; without it the server is not trusted", () =>
    Effect.gen(function*() {
      const server = yield* tlsServer(false)
      const servers = server.url.replace("nats://", "tls://")
      yield* Effect.provide(works, Nats.layer({ servers, tls: { caFile: path("ca.pem") } }))
      const error = yield* Effect.flip(Effect.provide(Transport, Nats.layer({ servers })))
      assert.strictEqual(error.reason._tag, "ConnectFailed")
    }))

  it.live("a server that verifies clients takes ours, and refuses one without a certificate", () =>
    Effect.gen(function*() {
      const server = yield* tlsServer(true)
      const tls = { caFile: path("ca.pem"), certFile: path("client.pem"), keyFile: path("client-key.pem") }
      yield* Effect.provide(works, Nats.layer({ servers: server.url, tls }))
      const bare = Nats.layer({ servers: server.url, tls: { caFile: path("ca.pem") }, connectTimeout: "2 seconds" })
      yield* Effect.flip(Effect.provide(Transport, bare))
    }))

  it.live("a missing file is an error that names it", () =>
    Effect.gen(function*() {
      const server = yield* tlsServer(false)
      const layer = Nats.layer({ servers: server.url, tls: { caFile: "/no/such/ca.pem" }, connectTimeout: "2 seconds" })
      const error = yield* Effect.flip(Effect.provide(Transport, layer))
      assert.include(error.message, "/no/such/ca.pem")
    }))
})

describe("credentials", () => {
  const fromEnvironment = (env: Record<string, string>) =>
    Layer.provide(Nats.layerConfig, ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))

  it.live("user and password, a token, both from the environment and from the URL", () =>
    Effect.gen(function*() {
      const password = yield* NatsServer.scoped({ config: "authorization { user: ann, password: \"p:w/d\" }" })
      yield* Effect.provide(
        works,
        fromEnvironment({ NATS_URL: password.url, NATS_USER: "ann", NATS_PASSWORD: "p:w/d" })
      )
      const inUrl = password.url.replace("nats://", `nats://ann:${encodeURIComponent("p:w/d")}@`)
      yield* Effect.provide(Transport, fromEnvironment({ NATS_URL: inUrl }))
      const token = yield* NatsServer.scoped({ config: "authorization { token: s3cret }" })
      yield* Effect.provide(works, fromEnvironment({ NATS_URL: token.url, NATS_TOKEN: "s3cret" }))
      yield* Effect.provide(Transport, fromEnvironment({ NATS_URL: token.url.replace("nats://", "nats://s3cret@") }))
    }))

  it.live("an NKey signs, and is never sent", () =>
    Effect.gen(function*() {
      const user = nkeys.createUser()
      const seed = new TextDecoder().decode(user.getSeed())
      const server = yield* NatsServer.scoped({
        config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`
      })
      yield* Effect.provide(works, fromEnvironment({ NATS_URL: server.url, NATS_NKEY_SEED: seed }))
      yield* Effect.flip(Effect.provide(Transport, Nats.layer({ servers: server.url })))
    }))

  it.live("a creds file that is not there is a typed failure that names it", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const error = yield* Effect.flip(
        Effect.provide(Transport, Nats.layer({ servers: server.url, credsFile: "/no/such.creds" }))
      )
      assert.strictEqual(error.reason._tag, "AuthFailed")
      assert.include(error.message, "/no/such.creds")
    }))

  it.live("several servers: the first that answers is used, and all are named when none does", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const [one, two] = yield* Effect.promise(async () => [await NatsServer.freePort(), await NatsServer.freePort()])
      const servers = `nats://127.0.0.1:${one},${server.url}`
      yield* Effect.provide(works, fromEnvironment({ NATS_URL: servers }))
      const error = yield* Effect.flip(
        Effect.provide(Transport, fromEnvironment({ NATS_URL: `nats://127.0.0.1:${one},127.0.0.1:${two}` }))
      )
      assert.include(error.message, `127.0.0.1:${one}, 127.0.0.1:${two}`)
    }))

  it.live(
    "credentials that change while the server is away are found at the next connect",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ config: "authorization { user: a, password: b }" })
        const layer = Nats.layer({ servers: server.url, user: "a", password: Redacted.make("b") })
        yield* Effect.provide(
          Effect.gen(function*() {
            yield* works
            // The server comes back with other credentials, then with the right ones: no attempt closes it for good.
            yield* Effect.promise(() => server.kill())
            yield* Effect.promise(() => server.restart({ config: "authorization { user: a, password: other }" }))
            yield* eventually(
              Effect.promise(server.logs),
              (said) => assert.isAtLeast(said.match(/authentication error/gi)?.length ?? 0, 3)
            )
            yield* Effect.promise(() => server.kill())
            yield* Effect.promise(() => server.restart({ config: "authorization { user: a, password: b }" }))
            yield* connected
            const [receipt] = yield* publish(message("s.a", "y"))
            assert.strictEqual(receipt._tag, "Confirmed")
          }),
          layer
        )
      }),
    30_000
  )
})

describe.each(NatsServer.wantedVersions())("least privilege, nats-server %s", (version) => {
  it.live("a publisher and a reader work with no right more than documented", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({
        version,
        config: `authorization { users: [
          { user: admin, password: admin }
          { user: publisher, password: p, permissions: { publish: ["s.>"], subscribe: ["_INBOX_P.>"] } }
          { user: reader, password: r, permissions: {
            publish: ["$JS.API.CONSUMER.INFO.S.D", "$JS.API.CONSUMER.MSG.NEXT.S.D", "$JS.ACK.S.D.>"],
            subscribe: ["_INBOX_C.>"] } }
        ] }`
      })
      const as = (user: string, password: string, inboxPrefix = "_INBOX") =>
        Nats.layer({ servers: server.url, user, password: Redacted.make(password), inboxPrefix })
      yield* Effect.provide(
        Effect.scoped(Effect.gen(function*() {
          yield* createStream("S", ["s.>"])
          yield* open(durable("S", "D"))
        })),
        as("admin", "admin")
      )
      const receipts = yield* Effect.provide(publish(...numbered("s.a", 1, 20)), as("publisher", "p", "_INBOX_P"))
      assert.isTrue(receipts.every((receipt) => receipt._tag === "Confirmed"))
      const read = Effect.scoped(Effect.gen(function*() {
        const inlet = yield* open(bound("S", "D"))
        assert.strictEqual((yield* ackAll(inlet, 20)).length, 20)
        // It may not ask who leads the stream, and is none the worse for it.
        yield* Effect.sleep("3 seconds")
        assert.deepStrictEqual((yield* (yield* Health.Health).report).problems, [])
      }))
      yield* Effect.provide(patiently(read), Watched.layer(as("reader", "r", "_INBOX_C")))
      // With the default prefix the same user may not hear answers, and learns why.
      const deaf = Effect.scoped(Effect.flatMap(open(bound("S", "D")), (inlet) => inlet.take(1)))
      const error = yield* Effect.provide(Effect.flip(Effect.timeout(deaf, "2 seconds")), as("reader", "r"))
      assert.strictEqual(error._tag === "TransportError" ? error.reason._tag : error._tag, "PermissionDenied")
      const [unheard] = yield* Effect.provide(publish(message("s.a", "x")), as("publisher", "p"))
      assert.strictEqual(unheard._tag === "Confirmed" ? unheard._tag : unheard.reason._tag, "PermissionDenied")
    }).pipe(unlessStandstill(300)), 60_000)
})
