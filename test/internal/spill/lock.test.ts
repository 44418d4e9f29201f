import { assert, describe, it } from "@effect/vitest"
import type { Buffer } from "node:buffer"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import * as Lock from "../../../src/internal/spill/lock.ts"

const inDirectory = async (run: (directory: string) => Promise<void>) => {
  const directory = await mkdtemp(join(tmpdir(), "sluice-lock-"))
  try {
    await run(directory)
    assert.deepStrictEqual((await readdir(directory)).filter((name) => !/^lock\.\d+$/.test(name)), [])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const left = (directory: string, text: string) => symlink(text, join(directory, "lock.7"))

const attempt = (directory: string) =>
  Lock.take(directory).then(async (letGo) => {
    await letGo()
    return "taken"
  }, (error: unknown) => Lock.codeOf(error))

const module = new URL("../../../src/internal/spill/lock.ts", import.meta.url).href

/** Takes it, says so, and stays. */
const taking = (directory: string, said: string) =>
  `const { take } = await import(${JSON.stringify(module)}); await take(${
    JSON.stringify(directory)
  }); ${said}; setInterval(() => {}, 1000)`

describe("the lock of a directory", () => {
  it("is held by one, and let go of", () =>
    inDirectory(async (directory) => {
      const letGo = await Lock.take(directory)
      assert.strictEqual(await attempt(directory), "LOCKED")
      assert.strictEqual(await attempt(join(directory, ".")), "LOCKED")
      await letGo()
      assert.strictEqual(await attempt(directory), "taken")
      assert.deepStrictEqual(await readdir(directory), [])
    }))

  it("outlives no process", () =>
    inDirectory(async (directory) => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", taking(directory, "console.log('held')")], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      await once(child.stdout, "data")
      assert.strictEqual(await attempt(directory), "LOCKED")
      child.kill("SIGKILL")
      await once(child, "exit")
      assert.strictEqual(await attempt(directory), "taken")
    }))

  it("outlives no thread", () =>
    inDirectory(async (directory) => {
      const code = taking(directory, "(await import('node:worker_threads')).parentPort.postMessage('held')")
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`))
      await once(worker, "message")
      assert.strictEqual(await attempt(directory), "LOCKED")
      await worker.terminate()
      assert.strictEqual(await attempt(directory), "taken")
    }))

  it("is not taken from another machine, of which nothing is known", () =>
    inDirectory(async (directory) => {
      await left(directory, `1.abc.not-${hostname()}`)
      assert.strictEqual(await attempt(directory), "LOCKED")
    }))

  it("is taken from nobody: a file that says nothing, or a process that counts from the same number again", () =>
    inDirectory(async (directory) => {
      for (const text of ["nonsense", "1", `${process.pid}..${hostname()}`, `${process.pid}.abc.${hostname()}`]) {
        await left(directory, text)
        assert.strictEqual(await attempt(directory), "taken", text)
      }
      await writeFile(join(directory, "lock.7"), "")
      assert.strictEqual(await attempt(directory), "taken")
    }))

  it("goes to one of many who find it left behind at once", () =>
    inDirectory(async (directory) => {
      for (let round = 0; round < 3; round++) {
        await left(directory, `${2 ** 22 + 1}.abc.${hostname()}`)
        const code = `const { take } = await import(${JSON.stringify(module)})
          const until = Number(process.argv[1]); while (Date.now() < until);
          await take(${JSON.stringify(directory)}).then(() => console.log("taken"), (error) => console.log(error.code))
          process.stdin.resume()`
        const at = String(Date.now() + 500)
        const children = Array.from({ length: 4 }, () =>
          spawn(process.execPath, ["--input-type=module", "-e", code, at], { stdio: ["pipe", "pipe", "inherit"] }))
        const said = await Promise.all(children.map(({ stdout }) =>
          once(stdout, "data") as Promise<[Buffer]>
        ))
        // Only now: a lock whose process has ended may be taken by the next.
        await Promise.all(children.map((child) => {
          child.stdin.end()
          return once(child, "exit")
        }))
        const all = said.map(([text]) => text.toString().trim())
        assert.deepStrictEqual(all.toSorted(), [
          "LOCKED",
          "LOCKED",
          "LOCKED",
          "taken"
        ])
      }
    }), 30_000)
})
