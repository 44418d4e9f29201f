/**
 * Runs the command line as a process of its own, in a directory of its own.
 */
import { assert } from "@effect/vitest"
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"

export const root = fileURLToPath(new URL("../..", import.meta.url))
export const bin = join(root, "src/bin.ts")
const src = new URL("../../src", import.meta.url).href

mkdirSync(join(root, ".cache"), { recursive: true })
export const dir = mkdtempSync(join(root, ".cache", "bin-"))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** From the first signal to the end; from the start, if there was none. */
  readonly millis: number
}

/** Runs `sluice`; `act` gets hold of the process and is called for each piece of output. */
export const sluice = (args: ReadonlyArray<string>, options: {
  readonly input?: string
  readonly env?: Record<string, string>
  readonly started?: (kill: (signal: NodeJS.Signals) => void) => void
  readonly act?: (
    output: { readonly stdout: string; readonly stderr: string },
    kill: (signal: NodeJS.Signals) => void
  ) => void
} = {}): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const started = performance.now()
    let signalled: number | undefined
    const child = spawn(process.execPath, [bin, ...args], { cwd: dir, env: { ...process.env, ...options.env } })
    const kill = (signal: NodeJS.Signals) => {
      signalled ??= performance.now()
      child.kill(signal)
    }
    options.started?.(kill)
    const output = { stdout: "", stderr: "" }
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        output[name] += text
        options.act?.(output, kill)
      })
    }
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, ...output, millis: performance.now() - (signalled ?? started) }))
    if (options.input === undefined) {
      child.stdin.end()
    } else {
      child.stdin.end(options.input)
    }
  })

export const file = (name: string, code: string): string => {
  writeFileSync(join(dir, name), code)
  return name
}

export const imports = `
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Context from "effect/Context"
import * as Publisher from "${src}/Publisher.ts"
import * as Reader from "${src}/Reader.ts"
import * as Topic from "${src}/Topic.ts"
import * as Topology from "${src}/Topology.ts"
import * as Worker from "${src}/Worker.ts"
export const ticks = Topic.make("ticks", { schema: Schema.Finite })
const topology = [Topology.stream("TICKS", { subjects: ["ticks"] })]
const publish = Publisher.publishAll(ticks, Array.from({ length: 40 }, (_, value) => ({ value })))
`

/** Exactly one line, and none of a stack. */
export const oneLine = (text: string) => {
  assert.match(text, /^sluice: [^\n]+\n$/u)
  assert.notInclude(text, "    at ")
}
