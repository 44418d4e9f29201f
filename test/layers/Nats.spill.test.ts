/**
 * A reader that spills, and is killed again and again: what the broker was told is done must be done, or be on its disk.
 *
 * `SLUICE_SPILL_ROUNDS=100 npx vitest run test/layers/Nats.spill.test.ts` kills it a hundred times.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as later } from "node:timers/promises"
import type { Worker } from "node:worker_threads"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { type Inlet, Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { eventually, unlessStandstill } from "../support/patience.ts"
import { temporary } from "../support/spilling.ts"
import { createStream, durable, numbered, open, publish, textOf } from "../support/transport.ts"
import { witness } from "../support/witness.ts"

const ROUNDS = Number(process.env["SLUICE_SPILL_ROUNDS"] ?? 4)
const PER_ROUND = 400
const worker = new URL("../fixtures/spilling-worker.ts", import.meta.url)

const started = (env: Record<string, string>): Promise<ChildProcess> => {
  const child = fork(worker, {
    env: { ...process.env, ...env },
    execArgv: [],
    stdio: ["ignore", "inherit", "inherit", "ipc"]
  })
  return once(child, "message").then(() => child)
}

const killed = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, "exit")
    child.kill("SIGKILL")
    await exited
  }
}

/** Of a failed test, too, none is left behind. */
const children = Effect.acquireRelease(
  Effect.sync((): Array<ChildProcess> => []),
  (all) => Effect.promise(() => Promise.all(all.map(killed)))
)

describe("a process that spills and is killed", () => {
  for (const thread of ["0", "1"]) {
    it.live(
      `loses nothing that it has acknowledged, with the connection ${thread === "1" ? "in a thread" : "beside it"}`,
      () =>
        Effect.gen(function*() {
          const server = yield* NatsServer.scoped()
          const directory = yield* temporary
          const journal = join(yield* temporary, "journal")
          const raw = yield* witness(server.url)
          const all = yield* children
          yield* Effect.promise(async () => {
            await writeFile(journal, "")
            await raw.addStream("JOBS", ["jobs.>"])
            const env = { URL: server.url, DIRECTORY: join(directory, "spill"), JOURNAL: journal, THREAD: thread }
            const done = async () => (await readFile(journal, "utf8")).split("\n").slice(0, -1).map(Number)
            let published = 0
            let left = 0
            for (let round = 0; round < ROUNDS; round++) {
              const child = await started({ ...env, WORK_MS: "10" })
              all.push(child)
              for (let n = 0; n < PER_ROUND; n++) {
                raw.publish("jobs.a", String(++published))
                if (n % 20 === 0) {
                  await later(1)
                }
              }
              // The first has to come so far that there is a consumer; others may die before they have read anything back.
              for (const before = (await done()).length; round === 0 && (await done()).length === before;) {
                await later(10)
              }
              await later(Math.random() * 600)
              await killed(child)
              const handled = new Set(await done()).size
              const pending = await raw.pending("JOBS", "spilling") + await raw.ackPending("JOBS", "spilling")
              left = Math.max(left, published - handled - pending)
            }
            assert.isAbove(left, 0, "at some time messages were on disk alone")
            all.push(await started({ ...env, WORK_MS: "0" }))
            for (let tries = 0; tries < 600 && new Set(await done()).size < published; tries++) {
              await later(50)
            }
            const handled = await done()
            assert.strictEqual(new Set(handled).size, published)
            // Each death repeats what was done and not yet written down, or written and not yet acknowledged.
            assert.isAtMost(handled.length, published + ROUNDS * 128)
            for (let tries = 0; tries < 100 && await raw.ackPending("JOBS", "spilling") > 0; tries++) {
              await later(50)
            }
            assert.strictEqual(await raw.ackPending("JOBS", "spilling"), 0)
          })
        }).pipe(Effect.scoped),
      60_000 + ROUNDS * 5_000
    )
  }
})

describe("an I/O thread that spills and dies", () => {
  it.live("is followed by one that goes on with what is on disk", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped()
      const directory = yield* temporary
      const threads: Array<Worker> = []
      const seen = (worker: Worker) => void threads.push(worker)
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("worker", seen)),
        () => Effect.sync(() => process.off("worker", seen))
      )
      yield* Effect.gen(function*() {
        yield* createStream("JOBS", ["jobs.>"])
        yield* publish(...numbered("jobs.a", 1, 100))
        const inlet = yield* open(durable("JOBS", "C", { ackWait: "1 second" }), {
          queue: Queue.spill({ directory, messages: 20 }),
          ack: { _tag: "onEnqueue" }
        })
        const transport = yield* Transport
        const first = yield* takeAndAck(inlet, 10)
        yield* eventually(Effect.sync(() => inlet.ledger().delivered), (count) => assert.strictEqual(count, 100))
        // Time to write down what is done, and to store the rest.
        yield* Effect.sleep(300)
        yield* Effect.promise(() => threads[0]!.terminate())
        const second = yield* takeAndAck(inlet, 90)
        assert.deepStrictEqual([...first, ...second].map(Number), Array.from({ length: 100 }, (_, i) => i + 1))
        assert.strictEqual((yield* transport.capabilities).persistent, true)
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.merge(NatsThread.layer({ servers: server.url }), AckPolicy.onEnqueue))
      )
    }).pipe(Effect.scoped, unlessStandstill(100)), 60_000)
})

const takeAndAck = Effect.fnUntraced(function*(inlet: Inlet, count: number) {
  const texts: Array<string> = []
  while (texts.length < count) {
    const deliveries = yield* inlet.take(count - texts.length)
    texts.push(...deliveries.map(textOf))
    yield* inlet.settle(deliveries.map((delivery) => ({ delivery, settlement: Settlement.ack })))
  }
  return texts
})
