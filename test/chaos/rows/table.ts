/** docs/reliability.md: what was promised, and what was measured, ours beside the vendor's client. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../../mutants/Mutant.ts"
import type { Mode } from "../orders.ts"
import type { Result } from "./all.ts"

const FILE = join(root, "docs/reliability.md")
const BEGIN = "<!-- begin: measured by `npm run chaos -- rows --write` -->"
const END = "<!-- end -->"

const COLUMNS: ReadonlyArray<readonly [mode: Mode, title: string]> = [
  ["thread", "Sluice"],
  ["raw", "raw client, tuned"],
  ["raw-default", "raw client, default"]
]

const cell = (result: Result | undefined): string =>
  result === undefined
    ? "not measured"
    : result.measured.length === 0
    ? result.wrong.join("; ")
    : `${result.measured.join("; ")}${
      (result.mode === "thread" || result.mode === "inline") && result.wrong.length > 0 ? " **(misses it)**" : ""
    }`

export const table = (results: ReadonlyArray<Result>): string => {
  const ids = [...new Set(results.map(({ id }) => id))].toSorted()
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  return [
    line(["", "fault", "promised", ...COLUMNS.map(([, title]) => title)]),
    line(["---", "---", "---", ...COLUMNS.map(() => "---")]),
    ...ids.map((id) => {
      const mine = results.filter((result) => result.id === id)
      const { fault, figure } = mine[0]!
      return line([id, fault, figure, ...COLUMNS.map(([mode]) => cell(mine.find((result) => result.mode === mode)))])
    })
  ].join("\n")
}

/** Rows that were not run now stay as they are: each is measured when somebody measures it. */
export const writeTable = (results: ReadonlyArray<Result>): void => {
  const text = existsSync(FILE) ? readFileSync(FILE, "utf8") : `${BEGIN}\n${END}\n`
  const [before, rest] = text.split(BEGIN)
  const [old, after] = (rest ?? END).split(END)
  const ran = new Set(results.map(({ id }) => id))
  const fresh = table(results).split("\n")
  const kept = (old ?? "").split("\n").filter((line) =>
    line.startsWith("| T-") && !ran.has(line.split(" | ")[0]!.slice(2))
  )
  const body = [...fresh.slice(0, 2), ...[...fresh.slice(2), ...kept].toSorted()]
  writeFileSync(FILE, `${before ?? ""}${BEGIN}\n\n${body.join("\n")}\n\n${END}${after ?? "\n"}`)
}
