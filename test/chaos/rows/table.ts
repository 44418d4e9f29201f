/** docs/reliability.md: what was promised, and what was measured, ours beside the vendor's client. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../../mutants/Mutant.ts"
import type { Mode } from "../orders.ts"
import type { Result } from "./all.ts"
import { isOurs } from "./Row.ts"

const FILE = join(root, "docs/reliability.md")
const BEGIN = "<!-- begin: measured by `npm run chaos -- rows --write` -->"
const END = "<!-- end -->"

const COLUMNS: ReadonlyArray<readonly [mode: Mode, title: string]> = [
  ["thread", "Sluice"],
  ["raw", "raw client, tuned"],
  ["raw-default", "raw client, default"]
]

const MISSES = " **(misses it)**"
const UNKNOWN = "not measured"

const cell = ({ measured, mode, wrong }: Result): string =>
  (measured.length === 0 ? wrong.join("; ") : measured.join("; ")) + (isOurs(mode) && wrong.length > 0 ? MISSES : "")

const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`
const cellsOf = (line: string): ReadonlyArray<string> => line.slice(2, -2).split(" | ")

/** One line for each row; what was not measured now is as it was, unless the row is another one since. */
export const table = (results: ReadonlyArray<Result>, before: ReadonlyArray<string> = []): string => {
  const old = new Map(before.filter((line) => line.startsWith("| T-")).map((line) => [cellsOf(line)[0]!, line]))
  const ran = new Map(results.map((result) => [result.id, result]))
  const lines = [...new Set([...old.keys(), ...ran.keys()])].toSorted().map((id) => {
    const result = ran.get(id)
    if (result === undefined) {
      return old.get(id)!
    }
    const [, fault, figure, ...measured] = cellsOf(old.get(id) ?? "")
    const isSame = fault === result.fault && figure === result.figure
    const cells = COLUMNS.map(([mode], index) => {
      const mine = results.find((one) => one.id === id && one.mode === mode)
      return mine === undefined ? (isSame ? measured[index] : undefined) ?? UNKNOWN : cell(mine)
    })
    return line([id, result.fault, result.figure, ...cells])
  })
  return [
    line(["", "fault", "promised", ...COLUMNS.map(([, title]) => title)]),
    line(["---", "---", "---", ...COLUMNS.map(() => "---")]),
    ...lines
  ].join("\n")
}

/** Each is measured when somebody measures it. */
export const writeTable = (results: ReadonlyArray<Result>): void => {
  const text = existsSync(FILE) ? readFileSync(FILE, "utf8") : `${BEGIN}\n${END}\n`
  const [before, rest] = text.split(BEGIN)
  const [old, after] = (rest ?? END).split(END)
  const body = table(results, (old ?? "").split("\n"))
  writeFileSync(FILE, `${before ?? ""}${BEGIN}\n\n${body}\n\n${END}${after ?? "\n"}`)
}
