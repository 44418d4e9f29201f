/** `sluice dlq` as somebody uses it, on a real server. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Nats from "../src/layers/Nats.ts"
import * as Reader from "../src/Reader.ts"
import { letters, makeDlq } from "./support/letters.ts"
import * as NatsServer from "./support/nats-server.ts"
import { keyed, options, send, sendRaw, setUp, start } from "./support/reading.ts"
import { oneLine, sluice } from "./support/sluice.ts"

// Each looks through several processes, and each of them has to start.
describe("sluice dlq", { timeout: 60_000 }, () => {
  let server: NatsServer.NatsServer
  let env: Record<string, string>
  /** The letters of the messages, in the messages' order. */
  let ids: ReadonlyArray<number>
  beforeAll(async () => {
    server = await NatsServer.start()
    env = { NATS_URL: server.url }
    const failing = Effect.gen(function*() {
      yield* setUp
      yield* makeDlq
      yield* send(["a", 1], ["a", 2], ["a", 3])
      yield* sendRaw("no \u001b[31mjson")
      const reader = yield* start(
        Reader.handle(
          keyed,
          { ...options, maxAttempts: 1, deadLetter: true },
          (job) => Effect.fail({ _tag: job.n === 3 ? "Refused" : "BankTimeout" })
        )
      )
      yield* Effect.repeat(letters, { until: ({ length }) => length === 4 })
      yield* reader.interrupt
      const found = yield* DeadLetter.list()
      ids = [1, 2, 3, 4].map((sequence) => found.find(({ provenance }) => provenance.sequence === sequence)!.id)
    })
    await Effect.runPromise(
      failing.pipe(Effect.scoped, Effect.provide(Layer.merge(Nats.layer({ servers: server.url }), AckPolicy.onProcess)))
    )
  }, 60_000)
  afterAll(() => server.stop())

  const run = (...args: ReadonlyArray<string>) => sluice(["dlq", ...args], { env })

  it("ls counts by handler and reason, for people and for programs", async () => {
    const { code, stderr, stdout } = await run("ls")
    assert.strictEqual(code, 0, stderr)
    assert.match(stdout, /^HANDLER +KIND +REASON +STATE +COUNT +OLDEST +NEWEST\n/u)
    assert.match(stdout, /^JOBS\/worker +failed +BankTimeout +open +2 +\d+[smhd] +\d+[smhd]$/mu)
    assert.match(stdout, /^JOBS\/worker +undecodable +DecodeError +open +1 /mu)
    assert.strictEqual(stderr, "4 letters\n")
    const listed = await run("ls", "--letters", "--reason", "Refused", "--json")
    const letter = JSON.parse(listed.stdout) as Record<string, unknown>
    assert.deepInclude(letter, { id: ids[2], state: "open", handler: "JOBS/worker", sequence: 3, attempts: 1 })
    assert.strictEqual((await run("ls", "--handler", "JOBS/other")).stdout, "")
  })

  it("show prints one, with nothing in it that steers the terminal", async () => {
    const shown = await run("show", String(ids[3]))
    assert.strictEqual(shown.code, 0, shown.stderr)
    assert.include(shown.stdout, "no \\x1b[31mjson")
    assert.notInclude(shown.stdout, "\u001b")
    const json = JSON.parse((await run("show", String(ids[0]), "--json")).stdout) as Record<string, unknown>
    assert.deepStrictEqual(json["data"], { key: "a", n: 1 })
    assert.strictEqual(json["subject"], "jobs.work")
    const missing = await run("show", "99")
    assert.strictEqual(missing.code, 1)
    oneLine(missing.stderr)
  })

  it("replay says first what it would do, and does it once", async () => {
    const dry = await run("replay", "--reason", "BankTimeout", "--dry-run")
    assert.deepStrictEqual([dry.code, dry.stderr], [0, "2 letters would be replayed\n"])
    const first = await run("replay", "--reason", "BankTimeout", "--rate", "100")
    assert.deepStrictEqual([first.code, first.stderr], [0, "2 of 2 letters replayed\n"])
    const second = await run("replay", "--reason", "BankTimeout")
    assert.deepStrictEqual([second.code, second.stderr], [0, "0 of 0 letters replayed\n"])
  })

  it("drop wants to know which and why, and leaves what was said", async () => {
    const all = await run("drop", "--why", "tests")
    assert.strictEqual(all.code, 2)
    oneLine(all.stderr)
    assert.strictEqual((await run("drop", "--reason", "Refused")).code, 2)
    const dropped = await run("drop", "--reason", "Refused", "--why", "tests")
    assert.deepStrictEqual([dropped.code, dropped.stderr], [0, "1 letter dropped\n"])
    const left = await run("ls", "--state", "dropped", "--letters", "--json")
    assert.deepInclude(JSON.parse(left.stdout), { id: ids[2], reason: "Refused", why: "tests" })
    const shown = await run("show", String(ids[2]))
    assert.include(shown.stdout, "(not here)")
  })

  it("says in one line what is wrong", async () => {
    const missing = await run("ls", "--dlq", "NOTHING")
    assert.strictEqual(missing.code, 1)
    oneLine(missing.stderr)
    assert.strictEqual((await run("ls", "--within", "soon")).code, 2)
    assert.strictEqual((await run("replay", "--rate", "0")).code, 2)
  })
})
