/**
 * The command line, as a process of its own: what it prints where, and how it ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { file, imports, oneLine, root, sluice } from "./support/sluice.ts"

/** A worker that fills its own stream, and needs `each` for a message. */
const working = (name: string, each: string) =>
  file(
    name,
    `${imports}
const reader = Reader.handle(ticks, { stream: "TICKS", consumer: "billing", lanes: 2 }, (value) =>
  Effect.andThen(value === 0 ? Effect.log("begun") : Effect.void, ${each}))
export default Worker.make({ name: "shop", topology, readers: [reader, Effect.asVoid(publish)] })`
  )

/** Knows when all that is published has been handled. */
const counting = `${imports}
const all = Deferred.makeUnsafe()
let counted = 0
const count = Effect.suspend(() => ++counted === 40 ? Deferred.succeed(all, undefined) : Effect.void)`

describe("help", () => {
  it("lists the commands and teaches them by example", async () => {
    const help = await sluice(["--help"])
    assert.strictEqual(help.code, 0)
    assert.strictEqual(help.stderr, "")
    for (const part of ["run", "pub", "read", "EXAMPLES", "NATS_URL", "Exit codes"]) assert.include(help.stdout, part)
  })

  it.each(["run", "pub", "read"])("of %s has a description, an example, and the way to a server", async (command) => {
    const help = await sluice([command, "--help"])
    assert.strictEqual(help.code, 0)
    for (const part of ["DESCRIPTION", "EXAMPLES", `sluice ${command} `, "--server"]) assert.include(help.stdout, part)
  })

  it("the version is the package's", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }
    const outcome = await sluice(["--version"])
    assert.strictEqual(outcome.code, 0)
    assert.include(outcome.stdout, version)
  })
})

describe("wrong usage", () => {
  it.each([
    [["rnu"], "run"],
    [["run"], "file"],
    [["run", "a.ts", "--grace", "soon"], "--grace"],
    [["run", "nowhere.ts"], "nowhere.ts: there is no such file"],
    [["read", "S", "--from", "yesterday"], "--from yesterday"],
    [["read", "S", "--count", "0"], "--count"],
    [["pub"], "--topic FILE#EXPORT"],
    [["pub", "orders.*"], "orders.*"],
    [["pub", "orders", "--topic", "a.ts#b"], "either"],
    [["pub", "orders", "--param", "a=b"], "--topic"],
    [["pub", "orders", "--file", "nowhere.txt"], "nowhere.txt"]
  ])("%j is one line on stderr, and 2", async (args, part) => {
    const outcome = await sluice(args)
    assert.strictEqual(outcome.code, 2, outcome.stderr)
    assert.strictEqual(outcome.stdout, "")
    oneLine(outcome.stderr)
    assert.include(outcome.stderr, part)
  })

  it.each([
    ["without.ts", "export const worker = 1", "has no default export"],
    ["function.ts", "export default () => 1", "its default export is a function, not a worker"],
    ["object.ts", "export default { readers: [] }", "its default export is an object, not a worker"],
    ["throws.ts", "throw new Error('first\\nsecond')", "cannot be loaded: Error: first second"],
    ["missing.ts", "import './gone.ts'", "cannot be loaded: Error: Cannot find module"]
  ])("the module %s is refused, with what to write instead", async (name, code, part) => {
    const outcome = await sluice(["run", file(name, code), "--embedded"])
    assert.strictEqual(outcome.code, 2)
    oneLine(outcome.stderr)
    assert.include(outcome.stderr, `${name}: ${part}`)
  })

  it("a worker that lacks a service says which", async () => {
    const code = `${imports}
class Pool extends Context.Service<Pool, string>()("shop/Pool") {}
export default Worker.make({ readers: [Effect.asVoid(Pool)] })`
    const outcome = await sluice(["run", file("lacking.ts", code), "--embedded"])
    assert.strictEqual(outcome.code, 2)
    assert.include(outcome.stderr, "sluice: lacking.ts: Service not found: shop/Pool")
    assert.include(outcome.stderr, "layer")
  })
})

describe("a server that is not there", () => {
  it.each([["read", "S"], ["pub", "s"], ["run", "there.ts"]])("%s %s: one line with a hint, and 1", async (...args) => {
    working("there.ts", "Effect.void")
    const outcome = await sluice([...args, "--server", "nats://127.0.0.1:1"])
    assert.strictEqual(outcome.code, 1)
    assert.strictEqual(outcome.stdout, "")
    oneLine(outcome.stderr)
    assert.include(outcome.stderr, "127.0.0.1:1")
    assert.include(outcome.stderr, "Is a NATS server running there")
  })
})

describe("a server that never answers", () => {
  it.each([["run", 0], ["read", 0], ["pub", 130]] as const)(
    "%s can be stopped while it connects",
    async (name, code) => {
      working("there.ts", "Effect.void")
      let stop: ((signal: NodeJS.Signals) => void) | undefined
      const silent = createServer(() => stop?.("SIGTERM")).listen(0, "127.0.0.1")
      await once(silent, "listening")
      const { port } = silent.address() as AddressInfo
      const server = ["--server", `nats://127.0.0.1:${port}`]
      const outcome = await sluice([name, name === "run" ? "there.ts" : "s", ...server], {
        started: (kill) => {
          stop = kill
        }
      })
      silent.close()
      assert.strictEqual(outcome.code, code, outcome.stderr)
      // A connect gives up by itself after 5 seconds.
      assert.isBelow(outcome.millis, 4_500)
    }
  )
})

describe("run", () => {
  it.each(["SIGTERM", "SIGINT"] as const)(
    "drains on %s, prints a ledger that adds up, and ends with 0",
    async (signal) => {
      const name = working("slow.ts", "Effect.sleep('150 millis')")
      let asked = false
      const outcome = await sluice(["run", name, "--embedded", "--grace", "8s"], {
        act: ({ stderr }, kill) => {
          if (!asked && stderr.includes("begun")) {
            asked = true
            setTimeout(() => kill(signal), 100)
          }
        }
      })
      assert.strictEqual(outcome.code, 0, outcome.stderr)
      assert.isBelow(outcome.millis, 8_000)
      // What it held is worked off within the grace.
      const [, delivered, finished] = /adds up: (\d+) delivered = (\d+) finished$/mu.exec(outcome.stdout)!
      assert.isAbove(Number(finished), 1)
      assert.strictEqual(Number(delivered), Number(finished))
      // Without a terminal there is no status line, and nothing to clear.
      assert.notInclude(outcome.stderr, "\u001b")
      assert.notInclude(outcome.stderr, "\r")
    }
  )

  it("interrupts what is not done when the grace is over, and says how much was", async () => {
    const name = working("endless.ts", "Effect.never")
    let begun = false
    const outcome = await sluice(["run", name, "--embedded", "--grace", "500ms"], {
      act: ({ stderr }, kill) => {
        if (!begun && stderr.includes("begun")) {
          begun = true
          kill("SIGTERM")
        }
      }
    })
    assert.strictEqual(outcome.code, 0)
    assert.isAbove(outcome.millis, 400)
    assert.isBelow(outcome.millis, 5_000)
    assert.include(outcome.stderr, "1 of 1 readers were not done when the grace was over")
    assert.match(outcome.stdout, /adds up: \d+ delivered = 0 finished \+ \d+ returned \+ 2 abandoned/u)
  })

  it("a second signal ends it at once", async () => {
    const name = working("endless.ts", "Effect.never")
    let begun = false
    const outcome = await sluice(["run", name, "--embedded", "--grace", "1m"], {
      act: ({ stderr }, kill) => {
        if (!begun && stderr.includes("begun")) {
          begun = true
          kill("SIGTERM")
        }
        // Signals that wait together are one.
        if (stderr.includes("draining")) {
          kill("SIGINT")
        }
      }
    })
    assert.strictEqual(outcome.code, 130)
    assert.isBelow(outcome.millis, 10_000)
  })

  it("a reader that fails ends it with 1 and its message; what was done is told", async () => {
    const code = `${counting}
const failing = Effect.andThen(Deferred.await(all), Effect.fail(new Error("the pool\\nis empty")))
const reader = Reader.handle(ticks, { stream: "TICKS", consumer: "billing" }, () => count)
export default Worker.make({ name: "shop", topology, readers: [reader, Effect.asVoid(publish), failing] })`
    const outcome = await sluice(["run", file("failing.ts", code), "--embedded"])
    assert.strictEqual(outcome.code, 1)
    assert.include(outcome.stdout, "adds up: 40 delivered = 40 finished")
    assert.match(outcome.stderr, /sluice: the pool is empty\n$/u)
    assert.notInclude(outcome.stderr, "    at ")
  })

  it("a topology that the broker has otherwise is a startup error in one line", async () => {
    const code = `${imports}
const other = Topology.stream("TICKS", { subjects: ["ticks"], maxMessages: 5 })
export default Worker.make({ topology: [...topology, other], readers: [] })`
    const outcome = await sluice(["run", file("conflict.ts", code), "--embedded"])
    assert.strictEqual(outcome.code, 1)
    assert.include(outcome.stderr, "sluice: stream \"TICKS\" exists, but differs: maxMessages is -1, wanted 5.")
  })

  it("writes logs as JSON to stderr, and the ledger as JSON to stdout", async () => {
    const code = `${counting}
const seeing = Effect.andThen(Effect.logInfo("seen"), count)
const reader = Reader.handle(ticks, { stream: "TICKS", consumer: "billing" }, () => seeing)
const later = Effect.andThen(publish, Effect.andThen(Deferred.await(all), Effect.fail("enough")))
export default Worker.make({ name: "shop", topology, readers: [reader, later] })`
    const outcome = await sluice(["run", file("json.ts", code), "--embedded", "--log-format", "json"])
    const ledger = JSON.parse(outcome.stdout) as Record<string, any>
    assert.strictEqual(ledger["total"].processed, 40)
    const logs = outcome.stderr.trim().split("\n").filter((line) => !line.startsWith("sluice: "))
    assert.lengthOf(logs.filter((line) => (JSON.parse(line) as { message: string }).message === "seen"), 40)
  })
})
