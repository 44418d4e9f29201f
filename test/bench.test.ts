/** That the benchmark measures what it says, small; how fast anything is depends on the machine, and is no test. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"
import type { Figures } from "../bench/order.ts"
import * as Report from "../bench/report.ts"

const run = promisify(execFile)

const figures = (messagesPerSecond: number): Figures => ({
  messagesPerSecond,
  cpuUs: 1,
  mainBusy: 0.5,
  grownMb: 1,
  p50: 1,
  p99: 2,
  p999: 3
})

describe("npm run bench", () => {
  it("takes medians over rounds, and ratios within each", () => {
    const rounds = [[10, 20, 30], [100, 150, 200], [20, 10, 40]].map(([raw, inline, thread]) => ({
      raw: figures(raw!),
      inline: figures(inline!),
      thread: figures(thread!)
    }))
    const [raw, inline, thread] = Report.rows(rounds)
    assert.deepInclude(raw, { ratio: 1, msgs: 20 })
    assert.deepInclude(inline, { ratio: 1, msgs: 20, spread: [0.5, 2] })
    assert.deepInclude(thread, { ratio: 2, msgs: 40, spread: [2, 3] })
  })

  it("reads and publishes with each side, and says how fast that was", async () => {
    const args = [
      "bench/main.ts",
      "read",
      "orders",
      "publish",
      "single",
      "--messages",
      "300",
      "--rounds",
      "1",
      "--json"
    ]
    const { stdout } = await run(process.execPath, args)
    const found = JSON.parse(stdout) as Record<
      string,
      Record<string, { readonly msgs: number; readonly ratio: number }>
    >
    assert.sameMembers(Object.keys(found), ["read", "orders", "publish", "single"])
    for (const sides of Object.values(found)) {
      for (const side of ["raw", "inline", "thread"]) {
        assert.isAbove(sides[side]!.msgs, 0)
      }
      assert.strictEqual(sides["raw"]!.ratio, 1)
      assert.strictEqual(Number(sides["ratio"]), sides["inline"]!.ratio)
    }
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
