/** The main job as a user runs it: a process of its own, on the embedded transport and on servers that are killed. */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import * as NatsServer from "../support/nats-server.ts"
import { sluice } from "../support/sluice.ts"
import { witness } from "../support/witness.ts"

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const start = (args: ReadonlyArray<string>, env: Record<string, string>, stdin: string | Buffer = "") => {
  const { NATS_URL: _, ...clean } = process.env
  const child = spawn(
    process.execPath,
    ["--conditions=effect-sluice-source", "examples/01_orders/main.ts", ...args],
    { env: { ...clean, ...env }, stdio: "pipe" }
  )
  const ended = new Promise<Ended>((resolve) => {
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (data) => stdout += data)
    child.stderr.on("data", (data) => stderr += data)
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })
  child.stdin.on("error", () => {})
  child.stdin.end(stdin)
  return ended
}

const summaryOf = ({ code, stderr, stdout }: Ended) => {
  assert.strictEqual(code, 0, stderr)
  const { ms, retried, ...rest } = JSON.parse(stdout.trimEnd().split("\n").at(-1) as string) as Record<string, number>
  assert.isAtLeast(ms as number, 1)
  return { retried: retried as number, rest }
}

const expected = {
  read: 10_000,
  published: 10_000,
  processed: 9_935,
  rejected: 40,
  failed: 25,
  deadLettered: 65,
  orderViolations: 0,
  duplicates: 0
}

/** 3 fine, 1 at the second try, 2 declined, 2 that do not decode, and an empty line that is none. */
const otherMix = [
  ...[1, 2, 3].map((n) => JSON.stringify({ id: `a${n}`, customer: "ann", region: "eu", total: n, card: "ok" })),
  JSON.stringify({ id: "b1", customer: "bob", region: "a region.with > and *", total: 1, card: "flaky" }),
  JSON.stringify({ id: "c1", customer: "cy", region: "us", total: 1, card: "declined" }),
  JSON.stringify({ id: "c1", customer: "cy", region: "us", total: 1, card: "declined" }),
  "",
  "{\"id\":1}",
  "\u0000 nothing"
].join("\n")

/** Waits until the run on this server has published and read a part of its orders. */
const inTheMiddle = (url: string) =>
  Effect.scoped(Effect.gen(function*() {
    const eyes = yield* witness(url)
    const processed = Effect.promise(async () => {
      const [stream] = await eyes.streams()
      return stream === undefined
        ? 0
        : await eyes.messages(stream) - await eyes.pending(stream, "billing").catch(() => Infinity)
    })
    while ((yield* processed) < 2_000) {
      yield* Effect.sleep(20)
    }
  }))

describe("examples/01_orders", () => {
  it("ends with the right summary on the embedded transport", async () => {
    const { rest, retried } = summaryOf(await start(["--json"], {}))
    assert.deepStrictEqual(rest, expected)
    assert.strictEqual(retried, 250)
  }, 60_000)

  it("brings back exactly what had failed, once the handler is mended", async () => {
    const { rest } = summaryOf(await start(["--json", "--fixed"], {}))
    assert.deepStrictEqual(rest, { ...expected, replayed: 25 })
  }, 60_000)

  it("counts an input of another size and mix", async () => {
    const { rest, retried } = summaryOf(await start(["--json", "--input", "-"], {}, otherMix))
    assert.deepStrictEqual(rest, {
      read: 8,
      published: 8,
      processed: 4,
      rejected: 2,
      failed: 2,
      deadLettered: 4,
      orderViolations: 0,
      duplicates: 0
    })
    assert.strictEqual(retried, 5)
  }, 30_000)

  it("hands every line on byte by byte: invalid UTF-8 does not decode, U+2028 is no end of a line", async () => {
    const order = (customer: string) => JSON.stringify({ id: "a", customer, region: "eu", total: 1, card: "ok" })
    const input = Buffer.concat([
      Buffer.from(`\ufeff${order("ann\u2028bob")}\r\n`),
      Buffer.from(order("\u00ff\u00fe"), "latin1"),
      Buffer.from(`\n \t\n${order("ünal")}`)
    ])
    const { rest } = summaryOf(await start(["--json", "--input", "-"], {}, input))
    assert.include(rest, { read: 3, processed: 2, rejected: 1 })
  }, 30_000)

  it("says in one line what is wrong with the input, and exits with 2", async () => {
    for (const args of [["--input", "no/such/file"], ["--input"], ["--work-ms", "x"], ["--nonsense"], ["--keep"]]) {
      const { code, stderr, stdout } = await start(args, {})
      assert.strictEqual(code, 2, stderr)
      assert.strictEqual(stdout, "")
      assert.strictEqual(stderr.trimEnd().split("\n").length, 1, stderr)
    }
  }, 30_000)

  it("a directory as input is unreadable, too", async () => {
    const directory = await mkdtemp(join(tmpdir(), "sluice-"))
    const { code, stderr } = await start(["--input", directory], {})
    assert.strictEqual(code, 2, stderr)
    await rm(directory, { recursive: true })
  }, 30_000)

  it("takes a file of one order", async () => {
    const directory = await mkdtemp(join(tmpdir(), "sluice-"))
    const file = join(directory, "one.ndjson")
    await writeFile(file, otherMix.split("\n")[0] as string)
    const { rest } = summaryOf(await start(["--json", "--input", file], {}))
    assert.strictEqual(rest["processed"], 1)
    await rm(directory, { recursive: true })
  }, 30_000)
})

describe.each(NatsServer.wantedVersions())("examples/01_orders on nats-server %s", (version) => {
  it("ends with the same summary and leaves nothing behind", async () => {
    const server = await NatsServer.start({ version })
    const { rest, retried } = summaryOf(await start(["--json", "--fixed"], { NATS_URL: server.url }))
    assert.deepStrictEqual(rest, { ...expected, replayed: 25 })
    assert.isAtLeast(retried, 200)
    const streams = await Effect.runPromise(
      Effect.scoped(Effect.flatMap(witness(server.url), (eyes) => Effect.promise(() => eyes.streams())))
    )
    assert.deepStrictEqual(streams, [])
    await server.stop()
  }, 60_000)

  it("keeps its dead letters if it is told to, for the command line", async () => {
    const server = await NatsServer.start({ version })
    const env = { NATS_URL: server.url }
    summaryOf(await start(["--json", "--keep"], env))
    const listed = await sluice(["dlq", "ls", "--json"], { env })
    assert.strictEqual(listed.code, 0, listed.stderr)
    const groups = listed.stdout.trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepStrictEqual(groups.map(({ count, kind, reason }) => [kind, reason, count]), [
      ["undecodable", "DecodeError", 40],
      ["failed", "CardDeclined", 25]
    ])
    await server.stop()
  }, 60_000)

  // Known limit, and why there is a second and a third try: when the server dies with deliveries in the socket that we
  // have not read, and has written down that it sent them, they come back only after the ack wait, behind their key's
  // successors. Seen about once in twenty kills on a starved machine; nothing is lost then, but the order is.
  const tries = { timeout: 150_000, retry: 2 }
  it.each([3, 30])("loses nothing when the server is killed for %i s in the middle", tries, async (seconds) => {
    const server = await NatsServer.start({ version })
    const running = start(["--json", "--work-ms", "25"], { NATS_URL: server.url })
    const tooEarly = running.then((ended) => {
      throw new Error(`it ended before it could be killed: ${ended.code} ${ended.stderr}`)
    })
    tooEarly.catch(() => {})
    await Promise.race([Effect.runPromise(inTheMiddle(server.url)), tooEarly])
    await server.kill()
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
    await server.restart()
    const ended = await running
    const { rest, retried } = summaryOf(ended)
    assert.include(ended.stderr, "connection lost", "the server was killed after the run had ended")
    assert.deepStrictEqual(rest, expected)
    assert.isAtLeast(retried, 200)
    await server.stop()
  })
})
