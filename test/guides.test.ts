/** The guides show code that runs: every block of theirs stands in an example, word for word, and is short. */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"

const LINES_MAX = 25

const read = (file: string): string => readFileSync(file, "utf8")

/** The blocks of a page, but for those of a file that is the reader's own: they import `../src/`. */
const blocks = (page: string): ReadonlyArray<string> =>
  [...read(page).matchAll(/^```ts\n([\s\S]*?)^```$/gm)]
    .flatMap(([, code]) => code!.trimEnd().split("\n\n"))
    .filter((piece) => !/from "(\.\.\/src\/|effect-sluice\/testing)/.test(piece) && !piece.startsWith("TransportTest."))

describe("docs/testing.md", () => {
  const code = globSync("examples/04_testing/*.ts").map(read)

  for (const piece of blocks("docs/testing.md")) {
    const name = piece.split("\n").find((line) => !line.startsWith("/**"))!.slice(0, 80)

    it(`shows what runs: ${name}`, () => {
      assert.isTrue(code.some((text) => text.includes(piece)), `it differs from examples/04_testing:\n${piece}`)
      assert.isAtMost(piece.split("\n").length, LINES_MAX)
    })
  }

  it("shows every test of its example", () => {
    const page = read("docs/testing.md")
    const tests = [...read("examples/04_testing/billing.test.ts").matchAll(/^it\.effect\("[^"]*"/gm)].map(([line]) =>
      line
    )
    assert.isAtLeast(tests.length, 6)
    assert.deepStrictEqual(tests.filter((line) => !page.includes(line)), [])
  })
})
