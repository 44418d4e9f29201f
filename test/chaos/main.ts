/**
 * `npm run chaos -- --seed S --messages N --faults F --nodes 1|3 --mode thread|inline|raw|raw-default --json`
 *
 * Real servers, real processes, and a seed's faults. Exits with 1 if something is wrong, and leaves the journals.
 *
 * `… -- rows [--only T-01,T-05] [--mode thread,raw] [--server 2.10] [--write]`: one sort of fault after the other, each with its
 * figure, but for T-02b, which takes ten minutes and has to be named; `--write` puts what was measured into
 * docs/reliability.md, `--from a.json,b.json` what earlier runs had printed with `--json`.
 * `… -- mutants [--only name,name]`: whether it would notice, slip by slip. `… -- short`: what that is tried with.
 */
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { whole } from "../support/whole.ts"
import { catchAll } from "./mutants.ts"
import { type Mode, MODES } from "./orders.ts"
import { type Result, run } from "./rows/all.ts"
import { isOurs } from "./rows/Row.ts"
import { writeTable } from "./rows/table.ts"
import { short } from "./schedule.ts"
import { soak } from "./soak.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "1" },
    messages: { type: "string", default: "10000" },
    faults: { type: "string", default: "10" },
    nodes: { type: "string", default: "1" },
    mode: { type: "string", default: "thread" },
    server: { type: "string" },
    only: { type: "string" },
    write: { type: "boolean", default: false },
    from: { type: "string" },
    json: { type: "boolean", default: false }
  }
})

const only = new Map(Object.entries(values)).get("only")?.toString().split(",")

const say = (line: string) => void process.stderr.write(`${line}\n`)

const refuse = (problem: string): never => {
  say(problem)
  process.exit(2)
}

const modeOf = (text: string): Mode =>
  MODES.find((mode) => mode === text) ?? refuse(`--mode must be one of ${MODES.join(", ")}, not ${text}`)
const nodes = values.nodes === "1" ? 1 : values.nodes === "3" ? 3 : refuse("--nodes must be 1 or 3")

const json = (value: unknown) => void process.stdout.write(`${JSON.stringify(value)}\n`)

const report = (seed: number, { drainedMs, findings, ...result }: Awaited<ReturnType<typeof soak>>): never => {
  for (const finding of findings.slice(0, 50)) {
    say(finding)
  }
  if (findings.length > 50) {
    say(`and ${findings.length - 50} more`)
  }
  say(`${findings.length === 0 ? "clean" : "NOT CLEAN"}, drained in ${drainedMs} ms`)
  const line = { ...result, seed, ...(command === "short" ? { findings } : undefined) }
  if (values.json) {
    json(line)
  } else {
    process.stdout.write(`${JSON.stringify(line, undefined, 2)}\n`)
  }
  return process.exit(findings.length === 0 ? 0 : 1)
}

const [command = "soak"] = positionals
if (command === "soak") {
  const seed = whole("seed", values.seed, 0)
  const messages = whole("messages", values.messages, 1)
  const faults = whole("faults", values.faults, 0)
  report(seed, await soak({ seed, messages, faults, nodes, mode: modeOf(values.mode), version: values.server, say }))
} else if (command === "short") {
  const quick = short(["cut", "workerKill", "kill", "freeze", "halfOpenDown"])
  const steps = [...quick, ...short(["refuse"], 4_000), { ...short(["workerStop"])[0]!, afterMs: 4_000 }]
  const order = {
    seed: 0,
    messages: 600,
    faults: steps.length,
    nodes: 1,
    mode: "inline",
    steps,
    ackWaitMs: 2_000
  } as const
  report(0, await soak({ ...order, version: values.server, say }))
} else if (command === "mutants") {
  const caught = await catchAll(only, say)
  json(caught)
  process.exit(caught.every(({ by }) => by !== undefined) ? 0 : 1)
} else if (command === "rows" && values.from !== undefined) {
  writeTable(values.from.split(",").flatMap((file) => JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<Result>))
} else if (command === "rows") {
  const all: Array<Result> = []
  const modes = values.mode.split(",").map(modeOf)
  await run({
    ids: only,
    modes,
    version: values.server,
    say,
    done: (result) => {
      all.push(result)
      const { fault, id, measured, mode, ms, wrong } = result
      say(
        `${id} ${mode}: ${fault}: ${measured.join("; ")}${
          wrong.length > 0 ? ` — WRONG: ${wrong.join("; ")}` : ""
        } (${ms} ms)`
      )
    }
  })
  if (values.json) {
    json(all)
  }
  if (values.write) {
    writeTable(all)
  }
  // What the vendor's client does is shown, and is not ours to promise.
  process.exit(all.some(({ mode, wrong }) => isOurs(mode) && wrong.length > 0) ? 1 : 0)
} else {
  refuse(`there is no command ${command}: soak, rows, short or mutants`)
}
