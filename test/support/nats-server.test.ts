/**
 * The servers that the other tests rely on: they start, die, freeze and come back as asked, and leave nothing behind.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { connect } from "node:net"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import * as NatsServer from "./nats-server.ts"
import { find } from "./nats/find.ts"
import { matches } from "./nats/version.ts"

/** Says `request` in the server's protocol on a new connection and waits for a line that matches. */
const ask = (server: NatsServer.NatsServer, request: string, answer: RegExp, withinMillis: number) =>
  new Promise<string | undefined>((resolve, reject) => {
    const socket = connect({ host: server.host, port: server.port })
    let heard = ""
    const end = (line: string | undefined) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(line)
    }
    const timer = setTimeout(() => end(undefined), withinMillis)
    socket.on("error", reject)
    socket.on("data", (bytes) => {
      heard += bytes.toString("latin1")
      const line = answer.exec(heard)?.[0]
      if (line !== undefined) end(line)
    })
    socket.write(`CONNECT {"verbose":false}\r\n${request}`)
  })

const request = (subject: string, body: string) => `SUB in 1\r\nPUB ${subject} in ${body.length}\r\n${body}\r\n`
const createStream = request("$JS.API.STREAM.CREATE.KEPT", JSON.stringify({ name: "KEPT", subjects: ["kept"] }))
const streamNames = request("$JS.API.STREAM.NAMES", "")

/** Whether it becomes true within ten seconds. */
const eventually = async (isSo: () => Promise<boolean>): Promise<boolean> => {
  for (let waited = 0; waited < 10_000; waited += 50) {
    if (await isSo()) return true
    await sleep(50)
  }
  return false
}

const refused = (server: NatsServer.NatsServer) => server.info().then(() => false, () => true)

describe.each(NatsServer.wantedVersions())("nats-server %s", (version) => {
  it.live("starts on a free port with JetStream, and says INFO", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      const info = yield* Effect.promise(server.info)
      assert.isTrue(matches(version, server.version), server.version)
      assert.strictEqual(info.version, server.version)
      assert.isTrue(info.jetstream)
      assert.strictEqual(server.url, `nats://127.0.0.1:${server.port}`)
    }))

  it.live("does not take somebody else on its port for itself", () =>
    Effect.gen(function*() {
      const { port } = yield* NatsServer.scoped({ version })
      const second = yield* Effect.promise(() => NatsServer.start({ version, port }).then(String, String))
      assert.include(second, `port ${port} of 127.0.0.1 is taken`)
    }))

  it.live("comes back after a crash on the same port, with what it had stored", () =>
    Effect.promise(async () => {
      const server = await NatsServer.start({ version })
      assert.isDefined(await ask(server, createStream, /"name":"KEPT"/, 5_000))
      await server.kill()
      assert.isTrue(await refused(server))
      await server.restart()
      assert.isDefined(await ask(server, streamNames, /"streams":\["KEPT"\]/, 5_000))
      await server.restart()
      assert.isDefined(await ask(server, streamNames, /"streams":\["KEPT"\]/, 5_000))
      await server.stop()
      assert.isTrue(await refused(server))
      await server.stop()
    }))

  it.live("frozen it takes connections and says nothing; thawed it answers", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({ version })
      yield* Effect.promise(server.freeze)
      assert.isUndefined(yield* Effect.promise(() => ask(server, "PING\r\n", /PONG/, 300)))
      yield* Effect.promise(server.thaw)
      assert.isDefined(yield* Effect.promise(() => ask(server, "PING\r\n", /PONG/, 5_000)))
    }))

  it.live("stops also when it is frozen", () =>
    Effect.promise(async () => {
      const server = await NatsServer.start({ version })
      await server.freeze()
      await server.stop()
      assert.isTrue(await refused(server))
    }))

  it.live("takes extra configuration and files, at the start and with a reload", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({
        version,
        jetstream: "max_file_store: 64MB",
        config: `include "users.conf"`,
        files: { "users.conf": `authorization { user: a, password: b }\nmax_payload: 4096` }
      })
      const before = yield* Effect.promise(server.info)
      assert.isTrue(before.auth_required)
      assert.strictEqual(before.max_payload, 4096)
      yield* Effect.promise(() => server.signal("SIGHUP", { config: "max_payload: 8192" }))
      const reloaded = () => server.info().then((info) => info.max_payload === 8192)
      assert.isTrue(yield* Effect.promise(() => eventually(reloaded)))
    }))

  it.live("says what is wrong with a configuration instead of waiting for it", () =>
    Effect.promise(async () => {
      const failure = await NatsServer.start({ version, config: "no_such_setting: 1" }).catch((error: Error) => error)
      assert.instanceOf(failure, Error)
      assert.match(failure.message, /ended while starting[^]*no_such_setting/)
    }))
})

const found = await find(NatsServer.wantedVersions()[0] ?? "any").catch(() => undefined)

describe("what is left behind", () => {
  const script = `
    import { start } from "./nats-server.ts"
    const server = await start()
    console.log(server.port)
    setInterval(() => {}, 1000)
  `
  const isBinary = found?.via !== "docker"
  const here = dirname(fileURLToPath(import.meta.url))

  // Containers of a killed process go later, with the run's last connection to the reaper.
  it.live.runIf(isBinary)("nothing, even when the test process is killed", () =>
    Effect.promise(async () => {
      const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", script], {
        cwd: here,
        stdio: ["ignore", "pipe", "inherit"]
      })
      const ended = once(child, "exit").then(() => assert.fail("the child ended before it had a server"))
      const [line] = await Promise.race([once(createInterface(child.stdout), "line"), ended]) as [string]
      const port = Number(line)
      assert.isTrue((await NatsServer.readInfo("127.0.0.1", port, 10_000)).jetstream)
      ended.catch(() => {})
      child.kill("SIGKILL")
      assert.isTrue(await eventually(() => NatsServer.readInfo("127.0.0.1", port).then(() => false, () => true)))
    }))

  it.live("no files after a stop", () =>
    Effect.promise(async () => {
      const server = await NatsServer.start()
      const store = /Store Directory:\s+"([^"]+)"/.exec(await server.logs())?.[1]
      assert.isDefined(store)
      const directory = dirname(dirname(store))
      assert.strictEqual(existsSync(join(directory, "nats.conf")), server.via === "binary")
      await server.stop()
      assert.isFalse(existsSync(directory))
    }))
})
