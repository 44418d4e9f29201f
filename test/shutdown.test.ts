/** `sluice run` under load, told to stop: nothing is stranded, nothing done is repeated, and the ledger adds up. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Nats from "../src/layers/Nats.ts"
import * as NatsServer from "./support/nats-server.ts"
import { eventually, unlessStandstill } from "./support/patience.ts"
import { createStream, message, publish } from "./support/transport.ts"
import { witness } from "./support/witness.ts"

const MESSAGES = 3_000

const run = (url: string, journal: string, workMs: number, grace: string) => {
  const child = spawn(
    process.execPath,
    ["src/bin.ts", "run", "test/fixtures/slow-worker.ts", "--grace", grace, "--log-format", "json"],
    { env: { ...process.env, NATS_URL: url, JOURNAL: journal, WORK_MS: String(workMs) } }
  )
  let output = ""
  child.stdout.on("data", (data) => output += data)
  child.stderr.on("data", (data) => output += data)
  const ended = new Promise<{ readonly code: number | null; readonly output: string; readonly at: number }>((resolve) =>
    child.on("close", (code) => resolve({ code, output, at: Date.now() }))
  )
  return { child, ended, said: () => output }
}

const journalOf = async (path: string) => {
  const lines = (await readFile(path, "utf8").catch(() => "")).trim().split("\n")
  const count = (word: string) =>
    lines.filter((line) => line.startsWith(word)).map((line) => line.slice(word.length + 1))
  return { begun: count("begin"), done: count("done") }
}

const waitFor = (what: () => Promise<boolean>) =>
  Effect.promise(async () => {
    while (!await what()) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })

const stopUnderLoad = (version: string, workMs: number, grace: string) =>
  Effect.gen(function*() {
    const directory = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "sluice-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true }))
    )
    const journal = join(directory, "journal")
    const server = yield* NatsServer.scoped({ version })
    const eyes = yield* witness(server.url)
    yield* Effect.gen(function*() {
      yield* createStream("JOBS", ["jobs.>"])
      yield* publish(...Array.from({ length: MESSAGES }, (_, n) => message("jobs.x", String(n))))
    }).pipe(Effect.provide(Nats.layer({ servers: server.url })))

    const first = run(server.url, journal, workMs, grace)
    yield* waitFor(async () => (await journalOf(journal)).begun.length >= 16)
    yield* Effect.sleep(200)
    const told = Date.now()
    first.child.kill("SIGTERM")
    const ended = yield* Effect.promise(() => first.ended)
    const pending = Effect.promise(() => eyes.ackPending("JOBS", "slow"))
    const before = yield* Effect.promise(() => journalOf(journal))
    return { journal, server, ended, took: ended.at - told, pending, before }
  })

describe.each(NatsServer.wantedVersions())("sluice run, stopped under load, nats-server %s", (version) => {
  it.live(
    "handlers that finish within the grace: all done, the rest handed back, and the next worker goes on",
    () =>
      Effect.gen(function*() {
        const { before, ended, journal, pending, server, took } = yield* stopUnderLoad(version, 50, "10s")
        assert.strictEqual(ended.code, 0, ended.output)
        assert.isBelow(took, 10_000)
        yield* eventually(pending, (left) => assert.strictEqual(left, 0))
        assert.deepStrictEqual(before.begun.toSorted(), before.done.toSorted())
        assert.isBelow(before.done.length, MESSAGES)
        const ledger = lastLedger(ended.output)
        assert.strictEqual(ledger.delivered, ledger.finished + ledger.returned + ledger.abandoned + ledger.lost)
        assert.strictEqual(ledger.finished, before.done.length)
        assert.strictEqual(ledger.abandoned, 0)

        const second = run(server.url, journal, 1, "10s")
        yield* waitFor(async () => (await journalOf(journal)).done.length >= MESSAGES)
        second.child.kill("SIGINT")
        assert.strictEqual((yield* Effect.promise(() => second.ended)).code, 0)
        const after = yield* Effect.promise(() => journalOf(journal))
        assert.strictEqual(after.done.length, MESSAGES)
        assert.strictEqual(new Set(after.done).size, MESSAGES)
      }),
    60_000
  )

  it.live("handlers that do not: abandoned at the deadline, handed back at once", () =>
    Effect.gen(function*() {
      const { before, ended, journal, server, took } = yield* stopUnderLoad(version, 60_000, "3s")
      assert.strictEqual(ended.code, 0, ended.output)
      // Within the grace, and half a second for a machine that is busy with something else.
      assert.isBelow(took, 3_500)
      assert.strictEqual(before.done.length, 0)
      const ledger = lastLedger(ended.output)
      assert.strictEqual(ledger.abandoned, 16)
      assert.strictEqual(ledger.delivered, ledger.finished + ledger.returned + ledger.abandoned + ledger.lost)

      // What went back is there for the next worker, long before the ack wait of 30 s is over.
      const second = run(server.url, journal, 1, "10s")
      const since = Date.now()
      yield* waitFor(async () => (await journalOf(journal)).done.length >= MESSAGES)
      // nats-server 2.9 keeps one message that goes back while nobody asks until its ack wait is over.
      assert.isBelow(Date.now() - since, server.version.startsWith("2.9") ? 40_000 : 15_000)
      second.child.kill("SIGTERM")
      assert.strictEqual((yield* Effect.promise(() => second.ended)).code, 0)
    }).pipe(unlessStandstill(250)), 180_000)

  it.live("a second signal ends it at once", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.promise(() => mkdtemp(join(tmpdir(), "sluice-")))
      const server = yield* NatsServer.scoped({ version })
      yield* Effect.gen(function*() {
        yield* createStream("JOBS", ["jobs.>"])
        yield* publish(message("jobs.x", "1"))
      }).pipe(Effect.provide(Nats.layer({ servers: server.url })))
      const journal = join(directory, "journal")
      const { child, ended, said } = run(server.url, journal, 60_000, "60s")
      yield* waitFor(async () => (await journalOf(journal)).begun.length === 1)
      child.kill("SIGTERM")
      // Signals that wait together are one.
      yield* waitFor(async () => said().includes("draining"))
      child.kill("SIGTERM")
      assert.strictEqual((yield* Effect.promise(() => ended)).code, 130)
      yield* Effect.promise(() => rm(directory, { recursive: true }))
    }), 30_000)
})

const lastLedger = (output: string): Record<string, number> & { readonly [key in Counts]: number } => {
  const line = output.split("\n").findLast((text) => text.includes("\"delivered\"")) ?? "{}"
  const find = (value: unknown): Record<string, number> | undefined => {
    if (typeof value !== "object" || value === null) {
      return undefined
    }
    if ("total" in value) {
      return value.total as Record<string, number>
    }
    return Object.values(value).map(find).find((found) => found !== undefined)
  }
  return find(JSON.parse(line)) as Record<string, number> & { readonly [key in Counts]: number }
}

type Counts = "delivered" | "finished" | "returned" | "abandoned" | "lost"
