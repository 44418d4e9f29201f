/** The kill matrix: which mutant is caught, by what, and how fast. */
import type { Detector, Finding } from "./detectors.ts"
import { seconds } from "./detectors.ts"
import type { Mutant } from "./Mutant.ts"

/** A mutant has to be caught within this time. */
export const WITHIN_MS = 60_000

export interface Row {
  readonly mutant: Mutant
  readonly findings: Readonly<Record<Detector, Finding>>
  /** Both detectors together, from start to end. */
  readonly ms: number
}

/** Why a mutant does not pass; nothing if it is caught in time. */
export const problem = ({ findings, ms }: Row): string | undefined => {
  const both = [findings.suite, findings.simulation]
  const broken = both.find((finding) => finding.verdict === "broken")
  if (broken !== undefined) {
    return `a detector did not run: ${broken.by}`
  }
  if (both.every((finding) => finding.verdict === "unseen")) {
    return "nobody loads it"
  }
  if (!both.some((finding) => finding.verdict === "caught")) {
    return "SURVIVED"
  }
  return ms > WITHIN_MS ? `took ${seconds(ms)}` : undefined
}

const cell = ({ by, verdict }: Finding): string => verdict === "caught" ? by : verdict === "unseen" ? "–" : `(${by})`

const columns = ["mutant", "file", "suite", "simulation", "time"] as const

const cells = ({ findings, ms, mutant }: Row): ReadonlyArray<string> => [
  mutant.name,
  mutant.file,
  shorten(cell(findings.suite), 70),
  shorten(cell(findings.simulation), 80),
  seconds(ms)
]

const shorten = (text: string, most: number): string => text.length > most ? `${text.slice(0, most - 1)}…` : text

/** For a terminal: what each mutant breaks, and who noticed. */
export const line = (row: Row): string => {
  const [name, , suite, simulation, time] = cells(row)
  const wrong = problem(row)
  const head = `${wrong === undefined ? "caught " : "NOT    "} ${name!.padEnd(38)} ${time!.padStart(7)}`
  return `${head}  suite: ${suite}  simulation: ${simulation}${wrong === undefined ? "" : `  => ${wrong}`}`
}

const escape = (text: string): string => text.replaceAll("|", "\\|").replaceAll(/\s+/g, " ")

export const markdown = (rows: ReadonlyArray<Row>, seeds: number): string => {
  const rule = columns.map(() => "---")
  const table = [columns, rule, ...rows.map(cells)].map((row) => `| ${row.map(escape).join(" | ")} |`)
  const broken = rows.map(({ mutant }) => `| ${mutant.name} | ${mutant.against} | ${escape(mutant.breaks)} |`)
  return [
    "# Mutants",
    "",
    "Deliberate breakages, each a small slip in one file, and who noticed: the conformance suite on the broker in memory,",
    `named by the first behaviour that failed, or the simulation, named by the first of ${seeds} seeds that failed and by`,
    "what was wrong. In brackets: it found nothing. A dash: it does not load that file. A mutant has to be caught by one",
    `of the two within ${WITHIN_MS / 1_000} seconds.`,
    "",
    "Written by `npm run mutants -- --write`; do not edit.",
    "",
    ...table,
    "",
    "## What they break",
    "",
    "| mutant | against | what goes wrong |",
    "| --- | --- | --- |",
    ...broken,
    "",
    `${rows.length} mutants, ${rows.filter((row) => problem(row) === undefined).length} caught.`,
    ""
  ].join("\n")
}
