/** Several connections may share an I/O thread. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Worker } from "node:worker_threads"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { patiently } from "../support/patience.ts"
import { createStream } from "../support/transport.ts"

/** Every thread that starts from now on. */
const threads = Effect.acquireRelease(
  Effect.sync(() => {
    const all: Array<Worker> = []
    const seen = (worker: Worker) => void all.push(worker)
    process.on("worker", seen)
    return { all, seen }
  }),
  ({ seen }) => Effect.sync(() => process.off("worker", seen))
)

/** Creates a stream, and so says whether it works. */
const works = (transport: Transport["Service"], name: string) =>
  Effect.provideService(createStream(name, [name.toLowerCase()]), Transport, transport)

describe("a thread that connections share", () => {
  it.live("is one, and each of them ends for itself", () =>
    Effect.gen(function*() {
      const [one, other] = [yield* NatsServer.scoped(), yield* NatsServer.scoped()]
      const { all } = yield* threads
      const io = Context.get(yield* Layer.build(NatsThread.thread), NatsThread.IoThread)
      const connect = (servers: string, scope: Scope.Scope) =>
        NatsThread.layerIn({ servers }).pipe(
          Layer.provide(Layer.succeed(NatsThread.IoThread, io)),
          Layer.buildWithScope(scope),
          Effect.map((context) => Context.get(context, Transport))
        )
      const scopes = [yield* Scope.make(), yield* Scope.make()] as const
      const first = yield* connect(one.url, scopes[0])
      const second = yield* connect(other.url, scopes[1])
      yield* works(first, "A")
      yield* works(second, "B")
      assert.lengthOf(all, 1)
      const ofFirst = yield* Option.getOrThrow(first.topology).describeStream("B")
      assert.isTrue(Option.isNone(ofFirst), "each is connected to its own server")

      yield* Scope.close(scopes[0], Exit.void)
      yield* works(second, "C")
      const refused = yield* Effect.flip(connect("nats://127.0.0.1:1", yield* Scope.Scope))
      assert.strictEqual(refused.reason._tag, "ConnectFailed")
      yield* works(second, "D")

      // Another one follows, and the connection that is left goes on there.
      yield* Effect.promise(() => all[0]!.terminate())
      yield* patiently(works(second, "E"))
      assert.lengthOf(all, 2)
      const ended = new Promise<void>((resolve) => all[1]!.once("exit", () => resolve()))
      yield* Scope.close(scopes[1], Exit.void)
      yield* patiently(Effect.promise(() => ended))

      // With nobody left it ended; whoever comes next has a new one.
      const late = yield* Scope.make()
      yield* works(yield* connect(one.url, late), "F")
      assert.lengthOf(all, 3)
      yield* Scope.close(late, Exit.void)
    }), 30_000)
})
