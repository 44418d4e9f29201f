/** Breaks the product on purpose, one slip after the other, and runs a few faults with it: the checker must object. */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { HITS, NAME } from "../mutants/active.ts"
import { live } from "../mutants/catalogue/live.ts"
import type { Verdict } from "./check/verdict.ts"

/** A product that is well takes a third of this. */
const WITHIN_MS = 90_000

export interface Caught {
  readonly mutant: string
  /** What the checker said first; nothing if it found nothing. */
  readonly by: string | undefined
  readonly ms: number
}

interface Ran {
  readonly findings: ReadonlyArray<string>
  readonly isLoaded: boolean
  readonly ms: number
}

const run = (mutant: string | undefined): Promise<Ran> =>
  new Promise((resolve) => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-chaos-mutant-"))
    const hits = join(folder, "hits")
    const began = performance.now()
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", fileURLToPath(new URL("main.ts", import.meta.url)), "short", "--json"],
      {
        // A group of its own, so that what it starts is killed with it.
        detached: true,
        stdio: ["ignore", "pipe", "ignore"],
        env: { ...process.env, ...(mutant === undefined ? {} : { [NAME]: mutant, [HITS]: hits }) }
      }
    )
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
    })
    const timer = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), WITHIN_MS)
    child.once("close", () => {
      clearTimeout(timer)
      const isLoaded = mutant === undefined || existsSync(hits)
      rmSync(folder, { recursive: true, force: true })
      const findings = output === ""
        ? [`it ended without a verdict within ${WITHIN_MS} ms`]
        : (JSON.parse(output) as Verdict).findings
      resolve({ findings, isLoaded, ms: Math.round(performance.now() - began) })
    })
  })

/** Each of them, after a run with nothing broken, which has to be clean. */
export const catchAll = async (
  names: ReadonlyArray<string> | undefined,
  say: (line: string) => void
): Promise<ReadonlyArray<Caught>> => {
  const asItIs = await run(undefined)
  say(`nothing broken: ${asItIs.findings.join("; ") || "clean"} in ${asItIs.ms} ms`)
  if (asItIs.findings.length > 0) {
    return [{ mutant: "nothing broken", by: undefined, ms: asItIs.ms }]
  }
  const all: Array<Caught> = []
  for (const { name } of live.filter(({ name }) => names === undefined || names.includes(name))) {
    const { findings, isLoaded, ms } = await run(name)
    const by = isLoaded ? findings[0] : undefined
    all.push({ mutant: name, by, ms })
    say(`${name}: ${by ?? (isLoaded ? "NOT CAUGHT" : "NOT LOADED")} (${ms} ms)`)
  }
  return all
}
