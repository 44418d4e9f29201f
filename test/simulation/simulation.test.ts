/** A slice of the seeds; that a seed means one run, wherever it runs; and that what hangs is ended. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { inOrder, Pool } from "./pool.ts"
import { type Result, runSeed, shrink } from "./run.ts"

const main = join(dirname(fileURLToPath(import.meta.url)), "main.ts")

/** As `npm run simulate` does. */
const simulate = (...args: ReadonlyArray<string>) =>
  spawnSync(process.execPath, [main, "--json", ...args], { encoding: "utf8" })

/** All results of these seeds, in order. */
const results = async (workers: number, from: number, runs: number): Promise<ReadonlyArray<Result>> => {
  const pool = new Pool({ workers, hangsAfterMs: 60_000 })
  const all: Array<Result> = []
  await inOrder(pool, { from, runs, ahead: workers * 8 }, async (result) => {
    all.push(result)
  })
  await pool.close()
  return all
}

describe("the world", () => {
  for (const from of [1, 126, 251, 376]) {
    it(`keeps its promises for the seeds from ${from} to ${from + 124}`, async () => {
      for (const { seed, wrong } of await results(2, from, 125)) {
        assert.isEmpty(wrong, `seed ${seed}: ${wrong.join("\n")}`)
      }
    }, 120_000)
  }

  it("does the same for the same seed, and something else for another", async () => {
    for (const seed of [1, 2, 3, 17, 99]) {
      const [once, again, other] = [await runSeed(seed), await runSeed(seed), await runSeed(seed + 1)]
      assert.strictEqual(once.hash, again.hash)
      assert.notStrictEqual(once.hash, other.hash)
    }
  })

  it("does the same on one thread and on three, in the same order", async () => {
    const [one, three] = await Promise.all([results(1, 500, 12), results(3, 500, 12)])
    assert.deepStrictEqual(one, three)
    assert.deepStrictEqual(one.map(({ seed }) => seed), Array.from({ length: 12 }, (_, index) => 500 + index))
    assert.strictEqual(one[4]?.hash, (await runSeed(504)).hash)
  }, 60_000)

  it("does the same in a process of its own, which says so as JSON", async () => {
    const { faults, hash, messages } = await runSeed(7)
    const { status, stderr, stdout } = simulate("--seed", "7", "--runs", "1")
    assert.strictEqual(status, 0)
    assert.include(stderr, `trace ${hash}`)
    const { ms, ...rest } = JSON.parse(stdout)
    assert.isAbove(ms, 0)
    assert.deepStrictEqual(rest, { runs: 1, failed: 0, seeds: [], messages, faults: faults.length })
  }, 30_000)

  it("meets the same when what went wrong is played from a list", async () => {
    let happened = 0
    for (const seed of [4, 5, 6, 7, 8, 9]) {
      const { faults, hash } = await runSeed(seed)
      const played = await runSeed(seed, faults)
      assert.deepStrictEqual(played.faults, faults)
      assert.strictEqual(played.hash, hash)
      happened += faults.filter((fault) => !("operation" in fault)).length
    }
    assert.isAbove(happened, 0)
  })
})

describe("a thread", () => {
  const loop = new URL(
    "data:text/javascript,import { parentPort } from 'node:worker_threads';"
      + "parentPort.on('message', ({ seed }) => { while (seed === 2); parentPort.postMessage({ seed, wrong: [] }) })"
  )

  it("that turns in a loop is ended, and the others go on", async () => {
    const pool = new Pool({ workers: 1, hangsAfterMs: 2_000, program: loop })
    const all = await Promise.all([1, 2, 3].map((seed) => pool.run({ seed })))
    await pool.close()
    assert.deepStrictEqual(all.map(({ wrong }) => wrong), [[], ["hung for 2000 ms"], []])
  })
})

describe("shrinking", () => {
  it("leaves the faults that matter", async () => {
    const faults = Array.from({ length: 30 }, (_, at) => at)
    const few = await shrink(faults, async (some) => [3, 21].every((at) => some.includes(at)))
    assert.deepStrictEqual(few, [3, 21])
  })
})
