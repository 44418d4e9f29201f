/**
 * The type check refuses an Effect that nobody runs. It takes a patched compiler to see one, and nothing else would
 * tell if the patch were missing.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tool = (name: string) => join(root, "node_modules/.bin", name)

const exec = (command: string, args: ReadonlyArray<string>, cwd: string) =>
  new Promise<{ readonly ok: boolean; readonly output: string }>((resolve) => {
    execFile(
      command,
      [...args],
      { cwd },
      (error, stdout, stderr) => resolve({ ok: error === null, output: stdout + stderr })
    )
  })

/** Checks `code` as a file of this project, in a project of its own beside it. */
const check = async (code: string) => {
  const dir = await mkdtemp(join(tmpdir(), "sluice-check-"))
  try {
    await symlink(join(root, "node_modules"), join(dir, "node_modules"))
    await writeFile(join(dir, "package.json"), JSON.stringify({ type: "module" }))
    await writeFile(
      join(dir, "tsconfig.json"),
      JSON.stringify({ extends: join(root, "tsconfig.json"), files: ["a.ts"], include: [] })
    )
    await writeFile(join(dir, "a.ts"), `import * as Effect from "effect/Effect"\n${code}\n`)
    return await exec(tool("tsc"), ["--project", "tsconfig.json"], dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

describe("the type check", () => {
  it("refuses a floating Effect and lets a used one pass", async () => {
    const patched = await exec(tool("effect-tsgo"), ["patch", "--typescript"], root)
    assert.isTrue(patched.ok, patched.output)
    const floating = await check(`export const run = () => {\n  Effect.log("lost")\n  return 1\n}`)
    assert.isFalse(floating.ok)
    assert.match(floating.output, /a\.ts\(3,3\): error .*floatingEffect/)
    const used = await check(`export const run = () => Effect.log("kept")`)
    assert.isTrue(used.ok, used.output)
  })
})
