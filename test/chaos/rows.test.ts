/** That the table in docs/reliability.md is about the rows that there are. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../mutants/Mutant.ts"
import { type Result, rows } from "./rows/all.ts"
import { table } from "./rows/table.ts"

const page = readFileSync(join(root, "docs/reliability.md"), "utf8")

describe("docs/reliability.md", () => {
  it("shows rows that there are, as they are promised now; `npm run chaos -- rows --write` measures them anew", () => {
    const shown = page.split("\n").filter((line) => line.startsWith("| T-"))
      .map((line) => line.slice(2).split(" | ").slice(0, 3))
    assert.isAtLeast(shown.length, 17)
    for (const [id, fault, figure] of shown) {
      assert.deepInclude(rows.map(({ fault, figure, id }) => ({ id, fault, figure })), { id, fault, figure })
    }
  })

  it("has a row for each result, and says so where our own figure was missed", () => {
    const result = (mode: Result["mode"], wrong: ReadonlyArray<string>): Result => ({
      id: "T-01",
      mode,
      fault: "kill",
      figure: "soon",
      measured: ["late"],
      wrong,
      ms: 1
    })
    const [, , row] = table([result("thread", ["too late"]), result("raw", ["too late"])]).split("\n")
    assert.strictEqual(row, "| T-01 | kill | soon | late **(misses it)** | late | not measured |")
  })
})
