/** What users get: the packed package, installed into an empty project, running the README's first program. */
import { execFile, spawn } from "node:child_process"
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { rolldown } from "rolldown"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as NatsServer from "./support/nats-server.ts"

const run = promisify(execFile)
/** The project's Node first on the PATH, as its users have a new enough one. */
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"]}` }
let project = ""

const sluice = (args: ReadonlyArray<string>, more: Record<string, string> = {}, stdin = "") =>
  new Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>((resolve) => {
    const child = spawn(process.execPath, ["node_modules/effect-sluice/dist/bin.js", ...args], {
      cwd: project,
      env: { ...env, ...more }
    })
    let stdout = ""
    let stderr = ""
    let stopped = false
    child.stdout.on("data", (data) => stdout += data)
    child.stderr.on("data", (data) => {
      stderr += data
      if (!stopped && args[0] === "run" && stderr.includes("charging ann")) {
        // Once: a second signal would end it without draining.
        stopped = true
        child.kill("SIGTERM")
      }
    })
    child.on("close", (code) => resolve({ code, stdout, stderr }))
    child.stdin.end(stdin)
  })

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "sluice-project-"))
  const packed = await run("npm", ["pack", "--json", "--pack-destination", project], { env, maxBuffer: 1e8 })
  const listing = JSON.parse(packed.stdout.slice(packed.stdout.search(/[[{]/))) as unknown
  const [{ filename }] = Object.values(listing as Record<string, { readonly filename: string }>) as [
    { filename: string }
  ]
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "shop", private: true, type: "module" }))
  const installs = [
    "install",
    `./${filename}`,
    "effect@4.1",
    "@effect/platform-node@4.1",
    "--prefer-offline",
    "--no-audit"
  ]
  await run("npm", installs, { cwd: project, env, maxBuffer: 1e8 })
  const readme = await readFile("README.md", "utf8")
  const [, program] = /```ts\n(\/\/ shop\.ts[\s\S]*?)```/.exec(readme) ?? []
  assert.isString(program, "the README's first program is gone")
  await writeFile(join(project, "shop.ts"), program as string)
}, 180_000)

afterAll(() => rm(project, { recursive: true, force: true }))

describe("the packed package", () => {
  it("contains no tests, and nothing but what it needs", async () => {
    const { stdout } = await run("npm", ["pack", "--dry-run", "--json"], { env, maxBuffer: 1e8 })
    const listing = JSON.parse(stdout.slice(stdout.search(/[[{]/))) as Record<
      string,
      { files: Array<{ path: string }> }
    >
    const paths = Object.values(listing)[0]!.files.map((file) => file.path)
    assert.include(paths, "dist/index.js")
    assert.include(paths, "dist/index.d.ts")
    assert.include(paths, "LICENSE")
    assert.deepStrictEqual(paths.filter((path) => /(^|\/)(test|bench|examples)\//.test(path)), [])
  }, 60_000)

  it("closes its internals", async () => {
    const script = "import('effect-sluice/internal/intake').then(() => console.log('open'), (e) => console.log(e.code))"
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: project, env })
    assert.strictEqual(stdout.trim(), "ERR_PACKAGE_PATH_NOT_EXPORTED")
  }, 30_000)

  it("runs the README's worker: publish, handle, drain", async () => {
    const server = await NatsServer.start()
    const more = { NATS_URL: server.url }
    const worker = sluice(["run", "shop.ts"], more)
    const order = `${JSON.stringify({ id: "o-1", customer: "ann", total: 12 })}\n`
    const published = await sluice(["pub", "--topic", "shop.ts#Orders", "--param", "region=eu"], more, order)
    assert.strictEqual(published.code, 0, published.stderr)
    const { code, stderr, stdout } = await worker
    assert.strictEqual(code, 0, stderr)
    assert.match(stderr + stdout, /adds up: 1 delivered = 1 finished/)
    const read = await sluice(["read", "ORDERS", "--count", "1", "--json"], more)
    assert.include(read.stdout, "o-1", read.stderr)
    await server.stop()
  }, 60_000)

  it("runs in one bundle, with the I/O thread's folder beside it, where nothing is installed", async () => {
    const application = `
      import * as NatsThread from "effect-sluice/layers/NatsThread"
      import { Transport } from "effect-sluice/Transport"
      import * as Effect from "effect/Effect"

      const program = Effect.flatMap(Transport, ({ capabilities }) => capabilities)
      const layer = NatsThread.layer({ servers: process.env.NATS_URL })
      console.log((await Effect.runPromise(Effect.provide(program, layer))).broker)
    `
    await writeFile(join(project, "application.js"), application)
    const bundle = await rolldown({ input: join(project, "application.js"), cwd: project, platform: "node" })
    const out = await mkdtemp(join(tmpdir(), "sluice-bundle-"))
    try {
      await bundle.write({ dir: out, format: "esm" })
      await bundle.close()
      await cp(join(project, "node_modules/effect-sluice/dist/layers/thread"), join(out, "thread"), { recursive: true })
      await writeFile(join(out, "package.json"), JSON.stringify({ type: "module" }))
      const server = await NatsServer.start()
      const { stdout } = await run(process.execPath, ["application.js"], { cwd: out, env: { NATS_URL: server.url } })
      assert.match(stdout, /^nats-server 2\./)
      await server.stop()
    } finally {
      await rm(out, { recursive: true, force: true })
    }
  }, 60_000)
})
