/**
 * `npm run mutants -- [--only name]… [--sample n] [--seeds n] [--json] [--write]`
 *
 * Breaks the product on purpose, one mutant after the other, and sees who notices. Exits with 1 if a mutant is not caught
 * within a minute, and with 2 if the detectors find something where nothing is broken: then they prove nothing.
 */
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { Dice, hash } from "../simulation/dice.ts"
import { whole } from "../support/whole.ts"
import { mutants } from "./catalogue.ts"
import { detect, type Detector, seconds } from "./detectors.ts"
import { line, markdown, problem, type Row } from "./matrix.ts"
import { type Mutant, mutate, root, sourceOf } from "./Mutant.ts"

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    sample: { type: "string" },
    seeds: { type: "string", default: "40" },
    json: { type: "boolean", default: false },
    write: { type: "boolean", default: false }
  }
})
const names = new Map(Object.entries(values)).get("only") as ReadonlyArray<string> | undefined

/** Both detectors run side by side, and a mutant has a minute. */
const MOST_MS: Readonly<Record<Detector, number>> = { suite: 50_000, simulation: 50_000 }
const LEAST_MS = 10_000

const say = (text: string) => void process.stderr.write(`${text}\n`)

const stop = (why: string): never => {
  say(why)
  process.exit(2)
}

/** What the sample depends on: another one with each commit, and outside of a repository with each day. */
const occasion = (): string => {
  const given = process.env["GITHUB_SHA"]
  if (given !== undefined && given !== "") {
    return given
  }
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8", stdio: "pipe" }).trim()
  } catch {
    return new Date().toISOString().slice(0, 10)
  }
}

const sampled = (count: number): ReadonlyArray<Mutant> => {
  const from = occasion()
  const dice = new Dice(hash(from))
  const rest = [...mutants]
  const length = Math.min(count, rest.length)
  const some = Array.from({ length }, () => rest.splice(dice.int(0, rest.length - 1), 1)[0]!)
  say(`of ${mutants.length} mutants, those that ${from} draws: ${some.map(({ name }) => name).join(", ")}`)
  return some
}

const chosen = (): ReadonlyArray<Mutant> => {
  const unknown = names?.find((name) => !mutants.some((mutant) => mutant.name === name))
  if (unknown !== undefined) {
    return stop(`there is no mutant ${unknown}`)
  }
  if (values.sample !== undefined) {
    return sampled(Number(values.sample))
  }
  return names === undefined ? mutants : mutants.filter((mutant) => names.includes(mutant.name))
}

/** Of a sample, it is enough to know that it is caught: who notices first stops the other one. */
const isFirstEnough = values.sample !== undefined

const both = async (
  name: string | undefined,
  limits: Readonly<Record<Detector, number>>
): Promise<Omit<Row, "mutant">> => {
  const began = performance.now()
  const enough = new AbortController()
  const one = async (detector: Detector) => {
    const found = await detect(detector, name, { seeds, limitMs: limits[detector], signal: enough.signal })
    if (isFirstEnough && found.verdict === "caught") {
      enough.abort()
    }
    return found
  }
  const [suite, simulation] = await Promise.all([one("suite"), one("simulation")])
  return { findings: { suite, simulation }, ms: Math.round(performance.now() - began) }
}

const seeds = whole("seeds", values.seeds, 1)
if (values.write && (names !== undefined || values.sample !== undefined)) {
  stop("--write needs all mutants")
}
const some = chosen()
// All of them, also for a sample: a mutant whose text is gone is no longer one.
for (const mutant of mutants) {
  try {
    mutate(mutant, sourceOf(mutant))
  } catch (error) {
    stop(String(error))
  }
}

const asItIs = await both(undefined, MOST_MS)
for (const detector of ["suite", "simulation"] as const) {
  const { by, ms, verdict } = asItIs.findings[detector]
  say(`nothing broken, ${detector}: ${by} in ${seconds(ms)}`)
  // A hang proves something only if the same takes far less time where nothing is broken.
  if (verdict !== "survived" || ms * 2 > MOST_MS[detector]) {
    stop(`void: with nothing broken it must find nothing, in half of ${seconds(MOST_MS[detector])} at most`)
  }
}
const limit = (detector: Detector) => Math.min(MOST_MS[detector], Math.max(LEAST_MS, 4 * asItIs.findings[detector].ms))
const limits = { suite: limit("suite"), simulation: limit("simulation") }

const rows: Array<Row> = []
for (const mutant of some) {
  const row: Row = { mutant, ...(await both(mutant.name, limits)) }
  rows.push(row)
  const text = line(row)
  if (values.json) {
    say(text)
  } else {
    process.stdout.write(`${text}\n`)
  }
}

const wrong = rows.filter((row) => problem(row) !== undefined)
const slowest = Math.max(...rows.map((row) => row.ms))
const summary = `${rows.length} mutants, ${rows.length - wrong.length} caught, the slowest in ${seconds(slowest)}`
process.stdout.write(
  values.json
    ? `${JSON.stringify({ mutants: rows.length, caught: rows.length - wrong.length, slowestMs: slowest, rows })}\n`
    : `${summary}\n`
)
if (values.write) {
  writeFileSync(join(root, "test/mutants/MATRIX.md"), markdown(rows, seeds))
}
process.exitCode = wrong.length > 0 ? 1 : 0
