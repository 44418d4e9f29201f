/** That the table in docs/reliability.md is about the rows that there are. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../mutants/Mutant.ts"
import { type Result, rows, wanted } from "./rows/all.ts"
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

  const result = (mode: Result["mode"], wrong: ReadonlyArray<string>, more: Partial<Result> = {}): Result => ({
    id: "T-01",
    mode,
    fault: "kill",
    figure: "soon",
    measured: ["late"],
    wrong,
    ms: 1,
    ...more
  })
  const lines = (text: string) => text.split("\n").slice(2)

  it("has a row for each result, and says so where our own figure was missed", () => {
    assert.deepStrictEqual(
      lines(table([result("thread", ["too late"]), result("raw", ["too late"])])),
      ["| T-01 | kill | soon | late **(misses it)** | late | not measured |"]
    )
    assert.deepStrictEqual(
      lines(table([result("thread", ["could not be run"], { measured: [] })])),
      ["| T-01 | kill | soon | could not be run **(misses it)** | not measured | not measured |"]
    )
  })

  it("keeps what was not measured now, unless the row has become another one", () => {
    const before = [
      "",
      "| T-01 | kill | soon | 1 ms | 2 ms | 3 ms |",
      "| T-02 | down | soon | 4 ms | never | not measured |"
    ]
    assert.deepStrictEqual(lines(table([result("thread", []), result("thread", [], { id: "T-02b" })], before)), [
      "| T-01 | kill | soon | late | 2 ms | 3 ms |",
      "| T-02 | down | soon | 4 ms | never | not measured |",
      "| T-02b | kill | soon | late | not measured | not measured |"
    ])
    assert.deepStrictEqual(
      lines(table([result("raw", [], { figure: "sooner" })], before))[0],
      [
        "| T-01 | kill | sooner | not measured | late | not measured |"
      ][0]
    )
  })
})

describe("which rows run", () => {
  const idsOf = (ids?: ReadonlyArray<string>) => wanted(ids).map(({ id }) => id)

  it("all but what takes very long, or those that are named, in the order of their numbers", () => {
    assert.deepStrictEqual(idsOf(["T-15", "T-01"]), ["T-01", "T-15a", "T-15b", "T-15c"])
    assert.deepStrictEqual(idsOf(["T-02"]), ["T-02"])
    assert.deepStrictEqual(idsOf(["T-02b"]), ["T-02b"])
    assert.deepStrictEqual(idsOf(), rows.map(({ id }) => id).filter((id) => id !== "T-02b"))
  })
})
