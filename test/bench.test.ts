/** That the benchmark measures what it says, small; how fast anything is depends on the machine, and is no test. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"
import { sidesOf } from "../bench/compare.ts"
import { GOALS } from "../bench/goals.ts"
import { named } from "../bench/names.ts"
import type { Figures, Side } from "../bench/order.ts"
import * as Report from "../bench/report.ts"
import { ALL, isWorkload, kindOf } from "../bench/workloads.ts"

const run = promisify(execFile)
const SMALL = ["--messages", "300", "--rounds", "1"]

const figures = (messagesPerSecond: number): Figures => ({
  messagesPerSecond,
  cpuUs: 1,
  mainBusy: 0.5,
  grownMb: 1,
  p50: 1,
  p99: 2,
  p999: 3
})

const round = (raw: Partial<Figures>, inline: Partial<Figures>, thread: Partial<Figures>): Report.Round =>
  new Map(
    [["raw", raw], ["inline", inline], ["thread", thread]].map(([side, more]) =>
      [side as Side, { ...figures(1), ...(more as Partial<Figures>) }] as const
    )
  )

const speeds = (raw: number, inline: number, thread: number): Report.Round =>
  round({ messagesPerSecond: raw }, { messagesPerSecond: inline }, { messagesPerSecond: thread })

describe("npm run bench", () => {
  it("takes medians over rounds, of speeds and of the ratios within each", () => {
    const [raw, inline, thread] = Report.rows([speeds(10, 20, 30), speeds(100, 150, 200), speeds(20, 10, 40)])
    assert.deepInclude(raw, { ratio: 1, msgs: 20 })
    assert.deepInclude(inline, { ratio: 1.5, msgs: 20, spread: [0.5, 2] })
    assert.deepInclude(thread, { ratio: 2, msgs: 40, spread: [2, 3] })
    assert.strictEqual(Report.rows([speeds(1, 1, 1), speeds(1, 2, 1)])[1]!.ratio, 1.5, "between the middle two")
  })

  it("says how much dearer a message is than in the same round of what it is held against", () => {
    const base = [2, 1, 10].map((cpuUs) => round({ cpuUs }, { cpuUs }, { cpuUs }))
    const more = [3, 2, 10].map((cpuUs) => round({ cpuUs }, { cpuUs }, { cpuUs: 2 * cpuUs }))
    const [, inline, thread] = Report.rows(more, base)
    assert.deepInclude(inline, { grows: 1.5, growsSpread: [1, 2] })
    assert.deepInclude(thread, { grows: 3, growsSpread: [2, 4] })
    assert.isUndefined(Report.rows(more)[1]!.grows)
  })

  it("understands a side behind a workload's name", () => {
    assert.deepStrictEqual(named("read-thread"), { workload: "read", side: "thread" })
    assert.deepStrictEqual(named("read-5000"), { workload: "read-5000", side: undefined })
    assert.deepStrictEqual(named("read-4k-5000-inline"), { workload: "read-4k-5000", side: "inline" })
    assert.isUndefined(named("thread"))
    assert.isUndefined(named("toString"))
    assert.deepStrictEqual(sidesOf(["thread"]), ["raw", "thread"])
    assert.deepStrictEqual(sidesOf([]), ["raw", "inline", "thread"])
  })

  it("holds each workload against one that there is, and has a goal for none that there is not", () => {
    for (const workload of ALL) {
      const { against } = kindOf(workload)
      assert.isTrue(against === undefined || isWorkload(against), workload)
    }
    assert.isEmpty(GOALS.filter(({ workload }) => !isWorkload(workload)))
  })

  it("reads and publishes with each side, and says how fast that was", async () => {
    const names = ["read", "orders", "publish", "publish-1024", "single", "upTo", "spill"]
    const { stdout } = await run(process.execPath, ["bench/main.ts", ...names, ...SMALL, "--json"])
    const found = JSON.parse(stdout) as Record<
      string,
      Record<string, { readonly msgs: number; readonly ratio: number }>
    >
    assert.sameMembers(Object.keys(found), names)
    for (const sides of Object.values(found)) {
      for (const side of ["raw", "inline", "thread"]) {
        assert.isAbove(sides[side]!.msgs, 0)
      }
      assert.strictEqual(sides["raw"]!.ratio, 1)
      assert.strictEqual(Number(sides["ratio"]), sides["inline"]!.ratio)
    }
  }, 240_000)

  it("measures what others are held against beside them, and only the side that is asked for", async () => {
    const { stdout } = await run(process.execPath, ["bench/main.ts", "keys-thread", "readers-thread", ...SMALL])
    for (const [name, other] of [["keys", "keys-1"], ["readers", "readers-1"]]) {
      assert.match(stdout, new RegExp(`^\\| ${other} \\| raw \\|  \\|`, "m"))
      assert.match(stdout, new RegExp(`^\\| ${name} \\| raw \\| \\d+\\.\\d\\d × ${other}'s CPU`, "m"))
    }
    assert.match(stdout, /^\|  \| thread \|/m)
    assert.notMatch(stdout, /inline \|/)
    assert.match(stdout, /Not comparable: anything between two machines/)
  }, 240_000)

  it("measures the others where one fails, and does not end well", async () => {
    // More than a server takes, which only shows where a stream is filled.
    const args = ["bench/main.ts", "read", "latency-inline", ...SMALL, "--size", "2000000", "--json"]
    const failed = await run(process.execPath, args).then(
      () => undefined,
      (error: unknown) => error as { readonly code: number; readonly stderr: string; readonly stdout: string }
    )
    assert.strictEqual(failed?.code, 1)
    assert.match(failed!.stderr, /^read failed: /m)
    assert.sameMembers(Object.keys(JSON.parse(failed!.stdout) as object), ["latency"])
  }, 120_000)

  it("says which workloads there are, where it is asked for another", async () => {
    const failed = await run(process.execPath, ["bench/main.ts", "reed"]).then(
      () => undefined,
      (error: unknown) => error
    )
    assert.include((failed as { readonly stderr: string }).stderr, "publish")
    assert.strictEqual((failed as { readonly code: number }).code, 2)
  })
})
