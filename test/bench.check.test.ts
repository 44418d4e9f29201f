/** That `npm run bench:check` notices what it is there for. CI runs it on what there is; here it looks at what is broken. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { compare } from "../bench/check/compare.ts"
import { COUNTERS } from "../bench/check/counters.ts"
import { type Counters, inMemory, onWire } from "../bench/check/measure.ts"
import { HITS, NAME } from "./mutants/active.ts"
import { costs } from "./mutants/catalogue/costs.ts"
import { mutate, root, sourceOf } from "./mutants/Mutant.ts"

const baseline = JSON.parse(readFileSync(join(root, "bench/baseline.json"), "utf8")) as Counters
const hits = mkdtempSync(join(tmpdir(), "sluice-costs-"))
afterAll(() => rmSync(hits, { recursive: true }))

describe("npm run bench:check", () => {
  it("has a baseline for each counter, and none without one", () => {
    assert.sameMembers(Object.keys(baseline), Object.keys(COUNTERS))
    assert.deepStrictEqual(compare(baseline, baseline), { wrong: [], better: [] })
  })

  it("names what has grown, from what to what, and what to do", () => {
    const { better, wrong } = compare(baseline, { ...baseline, "read: pulls": 1 })
    assert.lengthOf(wrong, 1)
    assert.match(wrong[0]!, /^read: pulls: grew from 0\.00\d+ to 1 a message\.\n.*credit\.ts.*\n.*--write/)
    assert.isEmpty(better)
  })

  it("knows what is cheaper, what is new, and what was not counted", () => {
    const { "read: pulls": pulls, ...rest } = baseline
    assert.match(compare({ ...baseline, "read: pulls": 1 }, baseline).better.join(), /^read: pulls: 1 before, now 0\.0/)
    assert.match(compare(rest, { ...rest, "read: pulls": pulls! }).wrong.join(), /baseline\.json does not know it/)
    assert.match(compare(baseline, rest).wrong.join(), /^read: pulls: was not counted/)
    assert.match(compare(baseline, { ...baseline, other: 1 }).wrong.join(), /^other: not in /)
  })

  it("lets nothing through that costs one of something for each message", () => {
    for (const [name, { slack, spare }] of Object.entries(COUNTERS)) {
      const allowed = Math.max((baseline[name] ?? 0) * slack, spare)
      assert.isBelow(allowed, name.includes("bytes") ? 150 : 2, name)
    }
  })
})

describe("a slip that makes messages dearer", () => {
  for (const mutant of costs) {
    it(`is noticed by its counter: ${mutant.name}`, async () => {
      assert.notStrictEqual(mutate(mutant, sourceOf(mutant)), sourceOf(mutant))
      const file = join(hits, mutant.name)
      const flags = ["--import", join(root, "test/mutants/hook.ts")]
      const measure = mutant.counter in await clean() ? inMemory : onWire
      const found = await measure(flags, { [NAME]: mutant.name, [HITS]: file })
      assert.include(readFileSync(file, "utf8"), mutant.name, "the broken source was not loaded")
      const { wrong } = compare(baseline, { ...baseline, ...found })
      assert.isTrue(
        wrong.some((line) => line.startsWith(`${mutant.counter}: grew`)),
        wrong.join("\n") || "nothing grew"
      )
    }, 90_000)
  }
})

// internals

let counted: Promise<Counters> | undefined

/** With nothing broken, nothing grows: what is found is found because of the slip. */
const clean = (): Promise<Counters> =>
  counted ??= inMemory().then((found) => {
    assert.isEmpty(compare(baseline, { ...baseline, ...found }).wrong)
    return found
  })
