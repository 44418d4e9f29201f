/** What the I/O thread tells over HTTP, whatever the application does. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { Worker } from "node:worker_threads"
import type { Report } from "../../src/Health.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { freePort } from "../support/nats/port.ts"
import { eventually, unlessStandstill } from "../support/patience.ts"
import { createStream, durable, flow, numbered, publish } from "../support/transport.ts"

const ask = (port: number, path: string) =>
  Effect.promise(async () => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: answer.status, text: await answer.text() }
  })

const BLOCK_MS = 4_000

const reportOf = ({ text }: { readonly text: string }): Report => JSON.parse(text)

/** Asks from a thread of its own until it is told that something is wrong, and writes down what it was told. */
const onlooker = (port: number) => {
  const seen = new SharedArrayBuffer(4_096)
  const looks = new Int32Array(new SharedArrayBuffer(4))
  const code = `
    const { workerData: { looks, port, seen } } = require("node:worker_threads")
    const look = async () => {
      const answer = await fetch("http://127.0.0.1:" + port + "/readyz")
      const text = await answer.text()
      Atomics.add(looks, 0, 1)
      if (answer.status === 503) new Uint8Array(seen).set(new TextEncoder().encode(text))
      else setTimeout(look, 50)
    }
    look()`
  return { worker: new Worker(code, { eval: true, workerData: { looks, port, seen } }), seen, looks }
}

describe("the health of a connection with a thread of its own", () => {
  it.live("is told over HTTP: the connection, the readers, the metrics", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const port = yield* Effect.promise(() => freePort())
      const program = Effect.gen(function*() {
        const transport = yield* Transport
        yield* createStream("JOBS", ["jobs"])
        const inlet = yield* transport.open(durable("JOBS", "C", { ackWait: "3 seconds" }), flow())
        yield* publish(...numbered("jobs", 1, 1))
        yield* inlet.take(1)
        yield* Effect.sleep(2_500)
        for (const path of ["/livez", "/readyz", "/health"]) {
          yield* eventually(ask(port, path), ({ status }) => assert.strictEqual(status, 200))
        }
        const report = reportOf(yield* ask(port, "/health"))
        assert.deepInclude(report.connection, { state: "Connected" })
        assert.deepInclude(report.readers[0], { stream: "JOBS", consumer: "C", held: 1, capacity: 100, leasesLost: 0 })
        assert.isAbove(report.readers[0]!.leasesRenewed, 0)
        const metrics = yield* ask(port, "/metrics")
        assert.include(metrics.text, "sluice_connected 1\n")
        assert.match(metrics.text, /sluice_inlet_pulls_total\{[^}]*consumer="C"[^}]*\} [1-9]/)
        assert.strictEqual((yield* ask(port, "/other")).status, 404)
        yield* Effect.promise(() => server.kill())
        yield* eventually(ask(port, "/readyz"), ({ status }) => assert.strictEqual(status, 503))
        yield* eventually(
          ask(port, "/health"),
          (answer) => assert.deepStrictEqual(reportOf(answer).problems.map(({ _tag }) => _tag), ["Disconnected"])
        )
        assert.strictEqual((yield* ask(port, "/livez")).status, 200, "another attempt follows")
      })
      const layer = NatsThread.layer({ servers: server.url, health: { port } })
      yield* Effect.provide(Effect.scoped(program), layer)
      yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/livez`).then(() => assert.fail("it listens still"), () => {})
      )
    }).pipe(unlessStandstill(1_000), Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map())))

  it.live("is told also while the application blocks its own thread, and then is that", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const port = yield* Effect.promise(() => freePort())
      yield* Effect.gen(function*() {
        yield* Transport
        const { looks, seen, worker } = onlooker(port)
        yield* eventually(Effect.sync(() => Atomics.load(looks, 0)), (count) => assert.isAtLeast(count, 2))
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCK_MS)
        yield* Effect.promise(() => worker.terminate())
        const text = new TextDecoder().decode(new Uint8Array(seen).slice()).replace(/\0+$/u, "")
        const { application, live, problems: [problem] } = reportOf({ text })
        assert.strictEqual(problem?._tag, "UserThreadBlocked")
        assert.isTrue(live)
        assert.isBelow((problem as { readonly blockedMs: number }).blockedMs, 2_000)
        assert.isAtLeast(application.lagMs, 900)
      }).pipe(Effect.scoped, Effect.provide(NatsThread.layer({ servers: server.url, health: { port } })))
      // This process stands still on purpose: whether the machine did besides, nobody can tell.
    }).pipe(Effect.scoped, unlessStandstill(300)), 30_000)

  it.live("needs a port: one that is taken is a typed failure", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const port = Number(new URL(server.url).port)
      const failing = Layer.build(NatsThread.layer({ servers: server.url, health: { port } }))
      const { message, reason } = yield* Effect.flip(Effect.scoped(failing))
      assert.strictEqual(reason._tag, "Invalid")
      assert.include(message, String(port))
    }).pipe(Effect.scoped))
})
