/** That the slips which only a real server shows are still slips; `npm run chaos -- mutants` finds out whether they show. */
import { assert, describe, it } from "@effect/vitest"
import { mutants } from "./catalogue.ts"
import { live } from "./catalogue/live.ts"
import { mutate, sourceOf } from "./Mutant.ts"

describe("the slips for a real server", () => {
  it("are many, each with a name of its own, and still fit the sources", () => {
    assert.isAtLeast(live.length, 12)
    const names = [...live, ...mutants].map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
    for (const mutant of live) {
      const source = sourceOf(mutant)
      assert.notStrictEqual(mutate(mutant, source), source)
    }
  })
})
