/** That the mutants are still mutants, that the matrix is about them, and that what it rests on can fail. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { mutants } from "./catalogue.ts"
import { detect, type Finding, ofSimulation, type Run } from "./detectors.ts"
import { markdown, problem, type Row } from "./matrix.ts"
import { type Mutant, mutate, root, sourceOf } from "./Mutant.ts"

const limits = { seeds: 1, limitMs: 60_000 }

describe("the mutants", () => {
  it("are many, each with a name of its own and a file that exists", () => {
    assert.isAtLeast(mutants.length, 20)
    assert.strictEqual(new Set(mutants.map(({ name }) => name)).size, mutants.length)
    for (const { breaks, file, name } of mutants) {
      assert.match(name, /^[a-z]+(-[a-z]+)+$/)
      assert.isTrue(existsSync(join(root, file)), file)
      assert.notMatch(breaks, /\.$/)
    }
  })

  it("still fit the sources", () => {
    for (const mutant of mutants) {
      const source = sourceOf(mutant)
      assert.notStrictEqual(mutate(mutant, source), source)
    }
  })

  it("cannot rot: one whose text is gone, or there twice, or that changes nothing, fails by its name", () => {
    const mutant: Mutant = { ...mutants[0]!, name: "some-name", find: "a + b", replace: "a - b" }
    assert.strictEqual(mutate(mutant, "f(a + b)"), "f(a - b)")
    for (const source of ["f(a * b)", "f(a + b, a + b)"]) {
      assert.throws(() => mutate(mutant, source), /some-name.*not once/)
    }
    assert.throws(() => mutate({ ...mutant, replace: "a + b" }, "f(a + b)"), /changes nothing/)
  })
})

describe("the matrix", () => {
  const text = readFileSync(join(root, "test/mutants/MATRIX.md"), "utf8")
  const rows = text.split("\n").filter((line) => line.startsWith("| ")).map((line) => line.slice(2, -2).split(" | "))
  const found = rows.filter((row) => row.length === 5).slice(2)
  const broken = rows.filter((row) => row.length === 3).slice(2)

  it("lists exactly the mutants that there are; `npm run mutants -- --write` writes it anew", () => {
    assert.deepStrictEqual(found.map(([name, file]) => [name, file]), mutants.map(({ file, name }) => [name, file]))
    assert.deepStrictEqual(broken, mutants.map(({ against, breaks, name }) => [name, against, breaks]))
  })

  it("has each of them caught, in a minute", () => {
    for (const [name, , suite, simulation, time] of found) {
      assert.isTrue([suite, simulation].some((by) => /^[^(–]/.test(by ?? "")), `${name} was not caught`)
      assert.isAtMost(Number.parseFloat(time!), 60)
    }
    assert.include(text, `\n${mutants.length} mutants, ${mutants.length} caught.\n`)
  })
})

describe("a detector", () => {
  it("says which behaviour fails, and with nothing broken that none does", async () => {
    const name = "max-ack-pending-plus-one"
    const [caught, right] = [await detect("suite", name, limits), await detect("suite", undefined, limits)]
    assert.strictEqual(caught.verdict, "caught")
    assert.include(caught.by, "keeps to the consumer's own limit")
    assert.strictEqual(right.verdict, "survived", right.by)
  }, 60_000)

  it("does not pass judgement on what it does not load", async () => {
    assert.strictEqual((await detect("suite", "lanes-mix-keys", limits)).verdict, "unseen")
  }, 60_000)

  it("says so when it did not run", async () => {
    assert.strictEqual((await detect("simulation", "no-such-mutant", limits)).verdict, "broken")
    assert.strictEqual((await detect("suite", "no-such-mutant", limits)).verdict, "broken")
  }, 60_000)

  it("finds nothing in the simulation where nothing is broken, and says so", async () => {
    const { by, verdict } = await detect("simulation", undefined, { ...limits, seeds: 3 })
    assert.deepStrictEqual({ by, verdict }, { by: "3 seeds pass", verdict: "survived" })
  }, 60_000)

  it("stops when the other one was faster", async () => {
    const signal = AbortSignal.timeout(1_000)
    const { ms, verdict } = await detect("simulation", undefined, { seeds: 1_000_000, limitMs: 30_000, signal })
    assert.strictEqual(verdict, "stopped")
    assert.isBelow(ms, 20_000)
  }, 60_000)

  it("ends what does not end by itself", async () => {
    const { by, verdict } = await detect("simulation", undefined, { seeds: 1_000_000, limitMs: 10_000 })
    assert.strictEqual(verdict, "caught")
    assert.match(by, /^hung: came to seed \d+ in 1/)
  }, 60_000)
})

describe("what the simulation says", () => {
  const began = (seed: number) => ({ _tag: "began", seed })
  const ended = (seed: number, ...wrong: ReadonlyArray<string>) => ({ _tag: "ended", seed, wrong })
  const found = (lines: ReadonlyArray<object>, killed?: Run["killed"], said = "") => {
    const output = [{ _tag: "loaded" }, ...lines].map((line) => JSON.stringify(line)).join("\n")
    const { by, verdict } = ofSimulation({ output: `${output}\n${said}`, killed, ms: 50_000 }, 100)
    return `${verdict} ${by}`
  }

  it("is what a seed finds wrong", () => {
    assert.strictEqual(
      found([began(1), ended(1), began(2), ended(2, "C1: lost", "C2: more")]),
      "caught seed 2: C1: lost"
    )
    assert.strictEqual(found([began(1), ended(1)]), "survived 1 seeds pass")
  })

  it("is a hang where nothing more is heard, or where it is far behind; not where it is a little slow", () => {
    assert.strictEqual(found([began(1), ended(1), began(2)], "silent"), "caught seed 2: hung")
    assert.strictEqual(found([ended(10), began(11)], "late"), "caught hung: came to seed 11 in 50.0 s")
    assert.strictEqual(found([ended(90), began(91)], "late"), "broken came to seed 91 in 50.0 s")
  })

  it("is nothing where the process died of something else", () => {
    assert.strictEqual(
      found([began(1)], undefined, "out of memory"),
      "broken seed 1 took the process down: out of memory"
    )
    assert.strictEqual(found([], undefined, "no such file"), "broken no such file")
  })
})

describe("a row", () => {
  const finding = (verdict: Finding["verdict"]): Finding => ({ verdict, by: "…", ms: 1 })
  const row = (suite: Finding["verdict"], simulation: Finding["verdict"], ms = 1): Row => ({
    mutant: mutants[0]!,
    findings: { suite: finding(suite), simulation: finding(simulation) },
    ms
  })

  it("passes only if one of the two caught it, in time, and both ran", () => {
    assert.isUndefined(problem(row("caught", "survived")))
    assert.isUndefined(problem(row("unseen", "caught")))
    assert.isUndefined(problem(row("caught", "stopped")))
    assert.strictEqual(problem(row("survived", "survived")), "SURVIVED")
    assert.strictEqual(problem(row("unseen", "survived")), "SURVIVED")
    assert.strictEqual(problem(row("unseen", "unseen")), "nobody loads it")
    assert.include(problem(row("caught", "broken")) ?? "", "did not run")
    assert.include(problem(row("caught", "caught", 61_000)) ?? "", "took")
    assert.include(markdown([row("survived", "survived")], 1), "\n1 mutants, 0 caught.\n")
  })
})
