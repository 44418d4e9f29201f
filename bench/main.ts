/**
 * `npm run bench -- [workload …] [--messages N] [--size 128] [--in-flight N] [--rounds 3] [--json]`
 *
 * Measures ours and the raw client by turns, each time in a process of its own, on a server of its own, and prints medians
 * and what they are of the raw client's in the same run. Numbers of one machine at one time: only the ratios last.
 */
import { parseArgs } from "node:util"
import { whole } from "../test/support/whole.ts"
import { type Figures, kindOf, type Side, SIDES, type Workload, WORKLOADS } from "./order.ts"
import * as Report from "./report.ts"
import { open, type Stage, type Wanted } from "./stage.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    messages: { type: "string" },
    size: { type: "string", default: "128" },
    "in-flight": { type: "string" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const isWorkload = (name: string): name is Workload => name in WORKLOADS
const ALL = Object.keys(WORKLOADS).filter(isWorkload)

if (values.help || !positionals.every(isWorkload)) {
  const usage = "npm run bench -- [workload …] [--messages N] [--size BYTES] [--in-flight N] [--rounds N] [--json]"
  const listed = ALL.map((name) =>
    `  ${name.padEnd(11)}${kindOf(name).isLong === true ? "  " : "* "}${kindOf(name).what}`
  )
  process.stderr.write(`${usage}\n\n${listed.join("\n")}\n\n* without a name, all of these\n`)
  process.exit(values.help ? 0 : 2)
}
const chosen = positionals.length > 0 ? positionals.filter(isWorkload) : ALL.filter((name) => !kindOf(name).isLong)
const size = whole("size", values.size, 0)
const rounds = whole("rounds", values.rounds, 1)
const wanted = (workload: Workload): Wanted => ({
  workload,
  size,
  messages: whole("messages", values.messages ?? String(kindOf(workload).messages), 1),
  inFlight: whole("in-flight", values["in-flight"] ?? String(kindOf(workload).inFlight), 1)
})

const progress = (text: string): void => {
  if (process.stderr.isTTY) {
    process.stderr.write(`\r${text.padEnd(60)}${text === "" ? "\r" : ""}`)
  }
}

const compare = async (stage: Stage, workload: Workload): Promise<ReadonlyArray<Report.Row>> => {
  const order = wanted(workload)
  await stage.prepare(order)
  const found: Array<Record<Side, Figures>> = []
  for (let round = 1; round <= rounds; round++) {
    const figures: Array<readonly [Side, Figures]> = []
    for (const side of SIDES) {
      progress(`${workload}: round ${round} of ${rounds}, ${side}`)
      figures.push([side, await stage.measure(order, side)])
    }
    found.push(Object.fromEntries(figures) as Record<Side, Figures>)
  }
  progress("")
  return Report.rows(found)
}

const stage = await open()
try {
  const found = new Map<Workload, ReadonlyArray<Report.Row>>()
  for (const workload of chosen) {
    const rows = await compare(stage, workload)
    found.set(workload, rows)
    const headline = Report.headline(workload, rows)
    if (!values.json && headline !== undefined) {
      process.stdout.write(`${headline}\n`)
    }
  }
  const tables = [...found].map(([workload, rows]) => Report.table(workload, rows))
  const text = values.json
    ? JSON.stringify(Object.fromEntries([...found].map(([workload, rows]) => [workload, Report.json(rows)])))
    : `\n${[Report.HEADER, ...tables].join("\n")}`
  process.stdout.write(`${text}\n`)
} finally {
  await stage.close()
}
