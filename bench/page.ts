/** The texts that show what was measured: docs/performance.md and the README, between markers, and the chart. */
import { readFileSync, writeFileSync } from "node:fs"
import { chart } from "./chart.ts"
import { type Goal, GOALS } from "./goals.ts"
import type { Side } from "./order.ts"
import type { Recorded } from "./record.ts"
import * as Report from "./report.ts"
import { ALL, kindOf, type Workload } from "./workloads.ts"

export interface Outcome {
  readonly goal: Goal
  readonly text: string
  readonly isMet: boolean
}

const BEGIN = "<!-- begin: measured by `npm run bench -- --write` -->"
const END = "<!-- end -->"

export const PAGE = "docs/performance.md"
export const README = "README.md"
export const CHART = "docs/performance.svg"

export const outcomes = (recorded: Recorded): ReadonlyArray<Outcome> =>
  GOALS.map((goal) => {
    const rows = recorded.workloads[goal.workload]?.rows
    if (rows === undefined) {
      return { goal, text: "not measured", isMet: true }
    }
    return { goal, ...goal.measured((side: Side) => rows.find((row) => row.side === side)!) }
  })

/** The file with what belongs between its markers. */
export const withMeasured = (file: string, recorded: Recorded): string => {
  const text = readFileSync(fileOf(file), "utf8")
  const [before, rest] = text.split(BEGIN)
  const [, after] = rest?.split(END) ?? []
  if (before === undefined || after === undefined) {
    throw new Error(`${file} has no place between ${BEGIN} and ${END}`)
  }
  return `${before}${BEGIN}\n\n${file === PAGE ? page(recorded) : short(recorded)}\n\n${END}${after}`
}

export const write = (recorded: Recorded): void => {
  for (const file of [PAGE, README]) {
    writeFileSync(fileOf(file), withMeasured(file, recorded))
  }
  writeFileSync(fileOf(CHART), chartOf(recorded))
}

export const chartOf = ({ workloads }: Recorded): string =>
  chart(ALL.flatMap((workload) => {
    const rows = workloads[workload]?.rows
    return rows === undefined ? [] : [{ workload, rows }]
  }))

export const fileOf = (path: string): URL => new URL(`../${path}`, import.meta.url)

// internals

const page = (recorded: Recorded): string => {
  const measured = ALL.flatMap((workload) => {
    const found = recorded.workloads[workload]
    return found === undefined ? [] : [{ workload, ...found }]
  })
  return `${recorded.where}. Medians of ${recorded.rounds} rounds.

${goals(outcomes(recorded))}

![Messages per second, of the raw client's](performance.svg)

${Report.HEADER}
${measured.map(({ rows, workload }) => Report.table(workload, rows)).join("\n")}

| workload | what is measured | messages | bytes each | in flight | what the sides do not have in common |
| --- | --- | --- | --- | --- | --- |
${measured.map((one) => described(one.workload, one)).join("\n")}`
}

const described = (workload: Workload, { inFlight, messages, size }: NonNullable<Recorded["workloads"][Workload]>) =>
  `| ${
    [
      workload,
      kindOf(workload).what,
      ...[messages, size, inFlight].map(Report.thousands),
      kindOf(workload).unlike
    ].join(" | ")
  } |`

const goals = (all: ReadonlyArray<Outcome>): string =>
  `| | goal | measured |
| --- | --- | --- |
${
    all.map(({ goal, isMet, text }) => `| ${goal.what} | ${goal.goal} | ${text}${isMet ? "" : " **(misses it)**"} |`)
      .join("\n")
  }`

const short = (recorded: Recorded): string =>
  `![Messages per second, of the raw client's](${CHART})

${goals(outcomes(recorded).filter(({ goal }) => goal.isFirst))}`
