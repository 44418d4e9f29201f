/**
 * `npm run bench -- [workload …] [--messages N] [--size BYTES] [--in-flight N] [--rounds N] [--json | --chart | --write]`
 *
 * Measures ours and the raw client by turns, each time in a process of its own, on a server of its own, and prints medians
 * and what they are of the raw client's in the same run. Numbers of one machine at one time: only the ratios last.
 */
import { parseArgs } from "node:util"
import { whole } from "../test/support/whole.ts"
import { compare, sidesOf } from "./compare.ts"
import { type Named, named, usage } from "./names.ts"
import * as Page from "./page.ts"
import * as Record from "./record.ts"
import * as Report from "./report.ts"
import { open, type Wanted } from "./stage.ts"
import { ALL, kindOf, type Workload } from "./workloads.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    messages: { type: "string" },
    size: { type: "string" },
    "in-flight": { type: "string" },
    rounds: { type: "string" },
    server: { type: "string" },
    json: { type: "boolean", default: false },
    chart: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    render: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const refuse = (problem: string): never => {
  process.stderr.write(`${problem}\n`)
  process.exit(2)
}

if (values.help) {
  process.stdout.write(usage())
  process.exit(0)
}
if (values.render) {
  Page.write(Record.load() ?? refuse("nothing was recorded yet: npm run bench -- --write"))
  process.exit(0)
}

const asked: ReadonlyArray<Named> = positionals.map((name) => named(name) ?? refuse(usage()))
const usual = ALL.filter((name) => values.write || kindOf(name).isLong !== true)
const chosen = asked.length > 0 ? [...new Set(asked.map(({ workload }) => workload))] : usual
const sides = asked.some(({ side }) => side === undefined) ? [] : asked.flatMap(({ side }) => side ?? [])
if (values.write && sides.length > 0) {
  refuse("what is written has all sides: name workloads without -inline or -thread")
}
const DOCUMENTED_ROUNDS = "5"
const rounds = whole("rounds", values.rounds ?? (values.write ? DOCUMENTED_ROUNDS : "3"), 1)
const wanted = (workload: Workload): Wanted => {
  const { inFlight, messages, readers = 1, size = 128 } = kindOf(workload)
  const each = Math.ceil(whole("messages", values.messages ?? String(messages), 1) / readers)
  return {
    workload,
    size: whole("size", values.size ?? String(size), 0),
    // Several readers have equal shares, and one message of each is there to wake them.
    messages: Math.max(readers > 1 ? 2 : 1, each) * readers,
    inFlight: whole("in-flight", values["in-flight"] ?? String(inFlight), 1)
  }
}

const progress = (text: string): void => {
  if (process.stderr.isTTY) {
    process.stderr.write(`\r${text.padEnd(60)}${text === "" ? "\r" : ""}`)
  }
}

const print = (found: ReadonlyMap<Workload, ReadonlyArray<Report.Row>>): void => {
  const tables = [...found].map(([workload, rows]) => Report.table(workload, rows))
  const text = values.json
    ? JSON.stringify(Object.fromEntries([...found].map(([workload, rows]) => [workload, Report.json(rows)])))
    : values.chart
    ? Page.chartOf(recordedOf(found, ""))
    : `\n${[Report.HEADER, ...tables].join("\n")}\n\n${Report.notes([...found.keys()])}`
  process.stdout.write(`${text.trimEnd()}\n`)
}

const recordedOf = (found: ReadonlyMap<Workload, ReadonlyArray<Report.Row>>, where: string): Record.Recorded => ({
  where,
  rounds,
  workloads: Object.fromEntries([...found].map(([workload, rows]) => {
    const { inFlight, messages, size } = wanted(workload)
    return [workload, { messages, size, inFlight, rows }]
  }))
})

/** What was measured before stays where only some workloads were named, if it was measured in the same way. */
const record = (found: ReadonlyMap<Workload, ReadonlyArray<Report.Row>>, serverVersion: string): void => {
  const fresh = recordedOf(found, Record.where(serverVersion))
  const all = asked.length === 0 ? fresh : Record.merged(Record.load(), fresh)
  Record.save(all ?? refuse("what is recorded is from another machine, or other versions or rounds: measure all of it"))
  Page.write(Record.load()!)
}

/** The others are measured all the same: what took minutes is not thrown away. */
const failed = (workload: Workload, error: unknown): ReadonlyMap<Workload, ReadonlyArray<Report.Row>> => {
  process.stderr.write(`${workload} failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
  return new Map()
}

const stage = await open(values.server)
try {
  const found = new Map<Workload, ReadonlyArray<Report.Row>>()
  for (const workload of chosen) {
    // What another one is held against may be there already.
    if (found.has(workload) || (chosen.some((other) => kindOf(other).against === workload))) {
      continue
    }
    const measured = await compare(workload, { stage, rounds, sides: sidesOf(sides), wanted, progress }).catch(
      (error: unknown) => failed(workload, error)
    )
    for (const [name, rows] of measured) {
      found.set(name, rows)
      const headline = Report.headline(name, rows)
      if (!values.json && !values.chart && headline !== undefined) {
        process.stdout.write(`${headline}\n`)
      }
    }
  }
  print(found)
  if (values.write) {
    record(found, stage.serverVersion)
  }
} finally {
  await stage.close()
}
