/** What looks for a mutant: the conformance suite on the broker in memory, and the simulation, each in its own process. */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { HITS, NAME } from "./active.ts"
import { mutants } from "./catalogue.ts"
import { root } from "./Mutant.ts"

export type Detector = "suite" | "simulation"

export interface Finding {
  /**
   * `caught`: it says what is wrong. `survived`: it finds nothing. `unseen`: it does not load what is broken. `broken`: it
   * did not run at all, so that it says nothing about the mutant. `stopped`: the other one was faster.
   */
  readonly verdict: "caught" | "survived" | "unseen" | "broken" | "stopped"
  /** The behaviour that failed, or the seed and its check; why it is broken. */
  readonly by: string
  readonly ms: number
}

export interface Limits {
  /** How many seeds the simulation tries. */
  readonly seeds: number
  /** How long a detector may take, in ms. With nothing broken it takes less than half of that: then this is a hang. */
  readonly limitMs: number
  /** Stops it: nobody asks any more. */
  readonly signal?: AbortSignal
}

/** Nothing to hear from the simulation for so long, in ms, and it hangs. A seed takes a fraction of a second. */
const SILENT_MS = 15_000

/** Runs one detector, with a mutant or as it is. */
export const detect = async (detector: Detector, name: string | undefined, limits: Limits): Promise<Finding> => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-mutant-"))
  const hits = join(folder, "hits")
  try {
    const run = await start(detector, folder, limits, name === undefined ? {} : { [NAME]: name, [HITS]: hits })
    if (run.killed === "stopped") {
      return { verdict: "stopped", by: "stopped", ms: run.ms }
    }
    const found = detector === "suite" ? ofSuite(run, join(folder, "report.json")) : ofSimulation(run, limits.seeds)
    // Loading the broken source is what the hook reports: without that, whatever was found says nothing about it.
    const isSeen = name === undefined || existsSync(hits)
    const verdict = isSeen || found.verdict === "broken" ? found.verdict : "unseen"
    return { ...found, verdict, by: verdict === "unseen" ? "does not load it" : found.by, ms: run.ms }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

// internals

export interface Run {
  readonly output: string
  /** Why it was killed, if it was: nothing was heard of it any more, it was not done in time, or nobody asks any more. */
  readonly killed: "silent" | "late" | "stopped" | undefined
  readonly ms: number
}

export type Found = Omit<Finding, "ms">

const suite = "test/layers/conformance.memory.test.ts"
const path = (file: string) => join(root, "test/mutants", file)

const commands: Readonly<
  Record<Detector, (folder: string, limits: Limits, first: ReadonlyArray<number>) => ReadonlyArray<string>>
> = {
  suite: (folder) => [
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "--config",
    path("vitest.config.ts"),
    "--reporter=json",
    `--outputFile=${join(folder, "report.json")}`,
    suite
  ],
  simulation: (_, { seeds }, first) => [
    "--import",
    path("hook.ts"),
    path("simulate.ts"),
    String(seeds),
    ...first.map(String)
  ]
}

const start = (
  detector: Detector,
  folder: string,
  limits: Limits,
  environment: Readonly<Record<string, string>>
): Promise<Run> =>
  new Promise((resolve, reject) => {
    const began = performance.now()
    // A group of its own, so that what it starts is killed with it.
    const child = spawn(process.execPath, commands[detector](folder, limits, firstSeeds(environment[NAME])), {
      cwd: root,
      detached: true,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    let killed: Run["killed"]
    const kill = () => {
      try {
        process.kill(-child.pid!, "SIGKILL")
      } catch {
        // It is gone already.
      }
    }
    const killAs = (why: Run["killed"]) => () => {
      killed = why
      kill()
    }
    const timer = setTimeout(killAs("late"), limits.limitMs)
    // The suite says nothing before its end.
    const silent = setTimeout(killAs("silent"), detector === "suite" ? limits.limitMs : SILENT_MS)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-1_000_000)
        silent.refresh()
      })
    }
    process.once("exit", kill)
    const stop = killAs("stopped")
    limits.signal?.addEventListener("abort", stop)
    if (limits.signal?.aborted === true) {
      stop()
    }
    child.on("error", reject)
    child.on("close", () => {
      clearTimeout(timer)
      clearTimeout(silent)
      process.off("exit", kill)
      limits.signal?.removeEventListener("abort", stop)
      resolve({ output, killed, ms: Math.round(performance.now() - began) })
    })
  })

/** The seed in which a mutant shows. Where nothing is broken, all of them: nothing may show there. */
const firstSeeds = (name: string | undefined): ReadonlyArray<number> =>
  mutants.flatMap((mutant) => mutant.seed !== undefined && mutant.name === (name ?? mutant.name) ? [mutant.seed] : [])

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<{ readonly status: string; readonly fullName: string }>
  }>
}

const ofSuite = ({ killed, ms, output }: Run, file: string): Found => {
  if (killed !== undefined) {
    return { verdict: "caught", by: `hung for ${seconds(ms)}` }
  }
  if (!existsSync(file)) {
    return { verdict: "broken", by: lastLine(output) }
  }
  const tests = (JSON.parse(readFileSync(file, "utf8")) as Report).testResults.flatMap((of) => of.assertionResults)
  const failed = tests.find((test) => test.status === "failed")
  if (failed !== undefined) {
    return { verdict: "caught", by: failed.fullName.replace(/^Memory: /, "") }
  }
  const passed = tests.filter((test) => test.status === "passed").length
  return passed > 0
    ? { verdict: "survived", by: `${passed} behaviours pass` }
    : { verdict: "broken", by: `no behaviour ran: ${lastLine(output)}` }
}

type Line =
  | { readonly _tag: "loaded" }
  | { readonly _tag: "began"; readonly seed: number }
  | { readonly _tag: "ended"; readonly seed: number; readonly wrong: ReadonlyArray<string> }

/** What the simulation has found, by what it said. */
export const ofSimulation = ({ killed, ms, output }: Run, seeds: number): Found => {
  const lines = output.split("\n").filter((line) => line.startsWith(`{"_tag":`)).map((line) => JSON.parse(line) as Line)
  const last = lines.at(-1)
  if (last === undefined || last._tag === "loaded") {
    return { verdict: "broken", by: lastLine(output) }
  }
  if (last._tag === "ended" && last.wrong.length > 0) {
    return { verdict: "caught", by: `seed ${last.seed}: ${last.wrong[0]}` }
  }
  if (killed === "silent") {
    return { verdict: "caught", by: `seed ${last.seed}: hung` }
  }
  if (killed === "late") {
    // With nothing broken, half of the time is enough for all of them. A little slow is not wrong.
    const isFarBehind = last.seed * 2 < seeds
    const by = `came to seed ${last.seed} in ${seconds(ms)}`
    return isFarBehind ? { verdict: "caught", by: `hung: ${by}` } : { verdict: "broken", by }
  }
  return last._tag === "ended"
    ? { verdict: "survived", by: `${last.seed} seeds pass` }
    : { verdict: "broken", by: `seed ${last.seed} took the process down: ${lastLine(output)}` }
}

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

const lastLine = (output: string): string =>
  output.split("\n").findLast((line) => /\w/.test(line))?.trim().slice(0, 200) ?? "it said nothing"
