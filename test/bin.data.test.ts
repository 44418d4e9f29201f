/**
 * `sluice pub` and `sluice read` with a real server, and how they read what they are given.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { Readable } from "node:stream"
import { afterAll, beforeAll } from "vitest"
import { lines } from "../src/bin/lines.ts"
import { parseFrom } from "../src/bin/read.ts"
import * as Nats from "../src/layers/Nats.ts"
import { Transport } from "../src/Transport.ts"
import type * as Worker from "../src/Worker.ts"
import * as NatsServer from "./support/nats-server.ts"
import { bin, dir, file, imports, oneLine, sluice } from "./support/sluice.ts"

describe("a real server", () => {
  let server: NatsServer.NatsServer
  let env: Record<string, string>
  beforeAll(async () => {
    server = await NatsServer.start()
    env = { NATS_URL: server.url }
    const topology = `${imports}
export const orders = Topic.make("orders.{region}", {
  schema: Schema.Struct({ id: Schema.String, region: Schema.String, total: Schema.Finite })
})
export const notATopic = 1
export default Worker.make({ topology: [Topology.stream("ORDERS", { subjects: ["orders.>"] })], readers: [] })`
    assert.strictEqual((await sluice(["run", file("orders.ts", topology)], { env })).code, 0)
  })
  afterAll(() => server.stop())

  const readAll = async (...args: ReadonlyArray<string>) => {
    const outcome = await sluice(["read", "ORDERS", "--no-follow", "--json", ...args], { env })
    assert.strictEqual(outcome.code, 0, outcome.stderr)
    return outcome.stdout.split("\n").filter((line) => line !== "").map((line) =>
      JSON.parse(line) as Record<string, any>
    )
  }

  it("every line is a message, and comes out again as it was", async () => {
    const input = "plain\n\n{\"n\": 12345678901234567890}\r\ntwo words\u001b[31m"
    const outcome = await sluice(["pub", "orders.lines", "--header", "tenant=eu"], { env, input })
    assert.strictEqual(outcome.code, 0)
    assert.strictEqual(outcome.stdout, "")
    assert.strictEqual(outcome.stderr, "4 confirmed, 0 of them duplicates, 0 failed\n")
    const read = await readAll("--filter", "orders.lines")
    assert.deepStrictEqual(read.map(({ data, text }) => data ?? text), [
      "plain",
      "",
      { n: Number("12345678901234567890") },
      "two words\u001b[31m"
    ])
    assert.deepStrictEqual(read[0]!["headers"]["tenant"], ["eu"])
    const text = await sluice(["read", "ORDERS", "--no-follow", "--filter", "orders.lines"], { env })
    assert.include(text.stdout, "\t{\"n\": 12345678901234567890}\n")
    assert.include(text.stdout, "two words\\x1b[31m\n")
    assert.notInclude(text.stdout, "\u001b")
  })

  it("ids from the data make a second run harmless", async () => {
    const input = "{\"id\":\"a\"}\n{\"id\":\"b\"}\n\n"
    const args = ["pub", "orders.ids", "--id-field", "id"]
    assert.include((await sluice(args, { env, input })).stderr, "2 confirmed, 0 of them duplicates")
    const again = await sluice(args, { env, input })
    assert.strictEqual(again.code, 0)
    assert.include(again.stderr, "2 confirmed, 2 of them duplicates, 0 failed")
    assert.lengthOf(await readAll("--filter", "orders.ids"), 2)
  })

  it("a line that is no JSON ends it with 2, after what was before it, and shows nothing of it", async () => {
    const outcome = await sluice(["pub", "orders.json", "--json"], { env, input: "{\"n\":1}\nsecret\n{\"n\":2}\n" })
    assert.strictEqual(outcome.code, 2)
    assert.include(outcome.stderr, "1 confirmed")
    assert.include(outcome.stderr, "sluice: line 2: it is not JSON")
    assert.notInclude(outcome.stderr, "secret")
    assert.lengthOf(await readAll("--filter", "orders.json"), 1)
  })

  it("a topic checks every line, and takes its subject from it", async () => {
    const args = ["pub", "--topic", "orders.ts#orders", "--param", "region=@region", "--id-field", "id"]
    const good = "{\"id\":\"1\",\"region\":\"eu.west\",\"total\":1}\n{\"id\":\"2\",\"region\":\"us\",\"total\":2}\n"
    assert.strictEqual((await sluice(args, { env, input: good })).code, 0)
    const [first] = await readAll("--filter", "orders.eu%2Ewest")
    assert.strictEqual(first?.["data"].total, 1)
    const bad = await sluice(args, { env, input: "{\"id\":\"3\",\"region\":\"eu\",\"total\":\"much\"}\n" })
    assert.strictEqual(bad.code, 2)
    assert.include(bad.stderr, "line 1: ")
    assert.notInclude(bad.stderr, "much")
    const none = await sluice(["pub", "--topic", "orders.ts#notATopic"], { env })
    assert.strictEqual(none.code, 2)
    assert.include(none.stderr, "its export \"notATopic\" is a number, not a topic")
  })

  it("the holes of a topic's subject are all filled, and no others, before anything is read", async () => {
    const missing = await sluice(["pub", "--topic", "orders.ts#orders"], { env, input: "no JSON\n" })
    assert.strictEqual(missing.code, 2)
    oneLine(missing.stderr)
    assert.include(missing.stderr, "fill the holes of orders.{region}: add --param region=VALUE")
    const params = ["--param", "region=eu", "--param", "regio=us"]
    const unknown = await sluice(["pub", "--topic", "orders.ts#orders", ...params], { env, input: "no JSON\n" })
    assert.strictEqual(unknown.code, 2)
    oneLine(unknown.stderr)
    assert.include(unknown.stderr, "--param regio: the subject orders.{region} has no such hole")
  })

  it("lines that no stream stores end it with 1, and are named", async () => {
    const outcome = await sluice(["pub", "nobody.home", "--budget", "2s"], { env, input: "a\nb\n" })
    assert.strictEqual(outcome.code, 1)
    assert.include(outcome.stderr, "line 1: not stored: nobody answers for \"nobody.home\"")
    assert.include(outcome.stderr, "0 confirmed, 0 of them duplicates, 2 failed")
    assert.include(outcome.stderr, "gave up at line 1")
  })

  it("pub sends what has arrived without waiting for more, and a signal ends it with 130", async () => {
    const outcome = await new Promise<{ code: number | null; stderr: string }>((resolve, reject) => {
      const child = spawn(process.execPath, [bin, "pub", "orders.slow"], { cwd: dir, env: { ...process.env, ...env } })
      let stderr = ""
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        stderr += text
      })
      child.on("close", (code) => resolve({ code, stderr }))
      child.stdin.write("one\nhalf a li")
      const look = async (): Promise<void> => {
        const read = await readAll("--filter", "orders.slow")
        return read.length === 1 ? void child.kill("SIGTERM") : look()
      }
      look().catch(reject)
    })
    assert.strictEqual(outcome.code, 130, outcome.stderr)
    assert.include(outcome.stderr, "1 confirmed")
    assert.lengthOf(await readAll("--filter", "orders.slow"), 1)
  })

  it("read begins where it is told, and ends after so many", async () => {
    await sluice(["pub", "orders.many"], { env, input: "0\n1\n2\n3\n4\n" })
    const all = await readAll("--filter", "orders.many")
    const third = String(all[2]!["sequence"])
    const numbers = (read: ReadonlyArray<Record<string, any>>) => read.map(({ data }) => data as unknown)
    assert.deepStrictEqual(numbers(await readAll("--filter", "orders.many", "--from", third)), [2, 3, 4])
    assert.deepStrictEqual(numbers(await readAll("--filter", "orders.many", "--from", third, "--count", "2")), [2, 3])
    assert.deepStrictEqual(numbers(await readAll("--filter", "orders.many", "--from", "last")), [4])
    assert.deepStrictEqual(numbers(await readAll("--filter", "orders.many", "--from", "1h")), [0, 1, 2, 3, 4])
    assert.deepStrictEqual(await readAll("--filter", "orders.none"), [])
  })

  it("read follows until it is told to stop, and ends with 0", async () => {
    await sluice(["pub", "orders.follow.a"], { env, input: "first" })
    let published = false
    const outcome = await sluice(["read", "ORDERS", "--filter", "orders.follow.>"], {
      env,
      act: ({ stdout }, kill) => {
        if (stdout.includes("first") && !published) {
          published = true
          void sluice(["pub", "orders.follow.b"], { env, input: "second" })
        }
        if (stdout.includes("second")) kill("SIGINT")
      }
    })
    assert.strictEqual(outcome.code, 0, outcome.stderr)
    assert.include(outcome.stdout, "second")
  })

  it("a worker that was told to stop leaves nothing unanswered, and the next goes on at once", async () => {
    const worker = (name: string, each: string) =>
      file(
        name,
        `${imports}
const numbers = Topic.make("orders.numbers", { schema: Schema.Finite })
const options = { stream: "ORDERS", consumer: "numbers", lanes: 4, maxAckPending: 1000 }
const reader = Reader.handle(numbers, options, (n) => Effect.andThen(Effect.log("at " + n), ${each}))
export default Worker.make({ name: "numbers", readers: [reader] })`
      )
    await sluice(["pub", "orders.numbers"], { env, input: Array.from({ length: 200 }, (_, n) => n).join("\n") })
    let told = false
    const first = await sluice([
      "run",
      worker("slow.ts", "Effect.sleep('200 millis')"),
      "--grace",
      "1s",
      "--log-format",
      "json"
    ], {
      env,
      act: ({ stderr }, kill) => {
        if (!told && stderr.includes("at 20")) {
          told = true
          kill("SIGTERM")
        }
      }
    })
    assert.strictEqual(first.code, 0, first.stderr)
    const { total } = JSON.parse(first.stdout) as Worker.Ledger
    assert.strictEqual(total.delivered, total.finished + total.returned + total.abandoned)
    assert.isAbove(total.returned, 0)
    assert.strictEqual(total.unconfirmed, 0)
    const info = await Effect.runPromise(
      Transport.use(({ topology }) => Option.getOrThrow(topology).describeConsumer("ORDERS", "numbers")).pipe(
        Effect.provide(Nats.layer({ servers: server.url }))
      )
    )
    // What was handed back counts as pending until somebody pulls it.
    assert.isAtMost(Option.getOrThrow(info).ackPending, total.returned + total.abandoned)
    let seen = 0
    const second = await sluice(["run", worker("fast.ts", "Effect.void"), "--log-format", "json"], {
      env,
      act: ({ stderr }, kill) => {
        const before = seen
        seen = stderr.split("\"at ").length - 1
        if (seen !== before && seen === 200 - total.finished) kill("SIGTERM")
      }
    })
    assert.strictEqual(seen, 200 - total.finished)
    assert.strictEqual((JSON.parse(second.stdout) as Worker.Ledger).total.processed, seen)
    assert.isBelow(second.millis, 10_000)
  })

  it("a stream that does not exist is one line, and 1", async () => {
    const outcome = await sluice(["read", "NOWHERE"], { env })
    assert.strictEqual(outcome.code, 1)
    oneLine(outcome.stderr)
    assert.include(outcome.stderr, "stream \"NOWHERE\" does not exist")
  })

  it("names that no stream and no subject can have are refused at once, with 2", async () => {
    for (const args of [["or ders"], ["a.b"], ["*"], [""], ["ORDERS", "--filter", "or ders"]]) {
      const outcome = await sluice(["read", ...args, "--no-follow"], { env })
      assert.strictEqual(outcome.code, 2, outcome.stderr)
      oneLine(outcome.stderr)
      assert.isBelow(outcome.millis, 10_000)
    }
  })

  it("a reader of its output that goes away is no failure", async () => {
    await sluice(["pub", "orders.pipe"], {
      env,
      input: Array.from({ length: 5_000 }, (_, n) => `line ${n}`).join("\n")
    })
    const code = await new Promise<number | null>((resolve) => {
      const args = [bin, "read", "ORDERS", "--filter", "orders.pipe"]
      const child = spawn(process.execPath, args, {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "ignore"]
      })
      child.stdout.once("data", () => child.stdout.destroy())
      child.on("close", resolve)
    })
    assert.strictEqual(code, 0)
  })
})

describe("lines", () => {
  const cut = (parts: ReadonlyArray<string>, max = 100) =>
    Effect.map(
      Stream.runCollect(lines(() => Readable.from(parts.map((part) => Buffer.from(part))), max, () => {})),
      (found) =>
        found.map(({ bytes, number, oversized }) => [number, oversized ? "oversized" : Buffer.from(bytes).toString()])
    )

  it.effect("are cut wherever the pieces end", () =>
    Effect.gen(function*() {
      const expected = [[1, "ab"], [2, ""], [3, "äc"]]
      assert.deepStrictEqual(yield* cut(["ab\n\näc\n"]), expected)
      assert.deepStrictEqual(yield* cut(["a", "b", "\n\n", "äc"]), expected)
      assert.deepStrictEqual(yield* cut(["ab\r", "\n\r\näc"]), expected)
      assert.deepStrictEqual(yield* cut([]), [])
    }))

  it.effect("that are too long are dropped as they come, and the next is right again", () =>
    Effect.gen(function*() {
      const found = yield* cut(["12345", "67890", "1\nok\n", "1234567890\n"], 10)
      assert.deepStrictEqual(found, [[1, "oversized"], [2, "ok"], [3, "1234567890"]])
    }))
})

describe("--from", () => {
  it.effect("knows words, sequences, dates and spans", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* parseFrom("new"), { _tag: "new" })
      assert.deepStrictEqual(yield* parseFrom("12"), { _tag: "sequence", sequence: 12 })
      assert.deepStrictEqual(yield* parseFrom("2026-01-31T12:00:00Z"), { _tag: "time", millis: 1_769_860_800_000 })
      assert.deepStrictEqual(yield* parseFrom("15m"), { _tag: "time", millis: -900_000 })
      assert.strictEqual((yield* Effect.flip(parseFrom("soon"))).code, 2)
    }))
})
