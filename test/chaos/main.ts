/**
 * `npm run chaos -- --seed S --messages N --faults F --nodes 1|3 --mode thread|inline|raw|raw-default --json`
 *
 * Real servers, real processes, and a seed's faults. Exits with 1 if something is wrong, and leaves the journals.
 */
import { parseArgs } from "node:util"
import { whole } from "../support/whole.ts"
import { MODES } from "./orders.ts"
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
    json: { type: "boolean", default: false }
  }
})

const say = (line: string) => void process.stderr.write(`${line}\n`)

const refuse = (problem: string): never => {
  say(problem)
  process.exit(2)
}

const mode = MODES.find((mode) => mode === values.mode) ?? refuse(`--mode must be one of ${MODES.join(", ")}`)
const nodes = values.nodes === "1" ? 1 : values.nodes === "3" ? 3 : refuse("--nodes must be 1 or 3")

if (positionals.length > 0) {
  refuse(`there is no command ${positionals.join(" ")}`)
}

const seed = whole("seed", values.seed, 0)
const messages = whole("messages", values.messages, 1)
const faults = whole("faults", values.faults, 0)
const { drainedMs, findings, ...result } = await soak({
  seed,
  messages,
  faults,
  nodes,
  mode,
  version: values.server,
  say
})
for (const finding of findings.slice(0, 50)) {
  say(finding)
}
if (findings.length > 50) {
  say(`and ${findings.length - 50} more`)
}
const line = { ...result, seed }
process.stdout.write(
  values.json
    ? `${JSON.stringify(line)}\n`
    : `${findings.length === 0 ? "clean" : "NOT CLEAN"}, drained in ${drainedMs} ms\n${
      JSON.stringify(line, undefined, 2)
    }\n`
)
process.exit(findings.length === 0 ? 0 : 1)
