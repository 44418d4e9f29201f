/** That the texts about performance say what was measured, and say so where a goal was missed. */
import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { chart } from "../bench/chart.ts"
import { GOALS } from "../bench/goals.ts"
import type { Side } from "../bench/order.ts"
import * as Page from "../bench/page.ts"
import * as Record from "../bench/record.ts"
import type { Row } from "../bench/report.ts"
import { ALL, type Workload } from "../bench/workloads.ts"

const read = (file: string): string => readFileSync(Page.fileOf(file), "utf8")

const row = (side: Side, more: Partial<Row> = {}): Row => ({
  side,
  ratio: 1,
  spread: [1, 1],
  msgs: 100_000,
  cpuUs: 5,
  mainBusy: 0.05,
  grownMb: 10,
  p50: 500,
  p99: 1_000,
  p999: 2_000,
  p99Ratio: 1,
  grows: 1,
  growsSpread: [1, 1],
  ...more
})

/** Every workload with the same rows. */
const recorded = (inline: Partial<Row>, thread: Partial<Row> = inline): Record.Recorded => ({
  where: "a machine",
  rounds: 5,
  workloads: Object.fromEntries(ALL.map((workload) => [workload, {
    messages: 1_000,
    size: 128,
    inFlight: 500,
    rows: [row("raw"), row("inline", inline), row("thread", thread)]
  }]))
})

const missed = (found: Record.Recorded): ReadonlyArray<string> =>
  Page.outcomes(found).filter(({ isMet }) => !isMet).map(({ goal }) => goal.id)

describe("what was measured", () => {
  const figures = Record.load()

  it("is what the texts show; `npm run bench -- --render` writes them anew", () => {
    if (figures === undefined) {
      for (const file of [Page.PAGE, Page.README]) {
        assert.match(
          read(file),
          /<!-- begin: measured by [^>]* -->\n<!-- end -->/,
          `${file} shows what nobody measured`
        )
      }
      assert.isFalse(existsSync(Page.fileOf(Page.CHART)))
      return
    }
    for (const file of [Page.PAGE, Page.README]) {
      assert.strictEqual(read(file), Page.withMeasured(file, figures), file)
    }
    assert.strictEqual(read(Page.CHART), Page.chartOf(figures))
  })

  it("is explained where it is missed, under the goal's name, and nothing else is", () => {
    const section = read(Page.PAGE).split("## What is missed, and why")[1]!.split("\n## ")[0]!
    const explained = [...section.matchAll(/^- \*\*(.+?)\*\*: ./gm)].map(([, id]) => id)
    assert.sameMembers(explained, figures === undefined ? [] : [...missed(figures)])
  })
})

describe("a goal", () => {
  const better: Partial<Row> = { ratio: 10, cpuUs: 3 }

  it("is met by figures that reach it", () => {
    assert.isEmpty(missed(recorded(better)))
  })

  const slips: ReadonlyArray<readonly [what: string, slip: Partial<Row>, ids: ReadonlyArray<string>]> = [
    ["a slow reader", { ratio: 1.5 }, ["read, inline", "read, inline, 5,000 in flight", "publish", "upTo"]],
    ["a slow handler", { ratio: 1.1 }, ["handle"]],
    ["a slow publish", { ratio: 0.9 }, ["single publish"]],
    ["a dear handler", { cpuUs: 5 }, ["handle"]],
    ["memory that grows", { grownMb: 49 }, ["memory"]],
    ["a message that gets dearer", { grows: 1.31 }, ["keys", "readers"]]
  ]
  for (const [what, slip, ids] of slips) {
    it(`is missed by ${what}, and says so`, () => {
      const found = recorded({ ...better, ...slip }, better)
      assert.includeMembers([...missed(found)], [...ids])
      const page = Page.withMeasured(Page.PAGE, found)
      assert.strictEqual(page.split("**(misses it)**").length - 1, missed(found).length)
    })
  }

  it("is about the thread where it says so", () => {
    const busy = missed(recorded(better, { ...better, mainBusy: 0.09 }))
    assert.sameMembers([...busy], ["read, thread", "read, thread, 5,000 in flight"])
    assert.sameMembers([...missed(recorded(better, { ...better, p99Ratio: 1.4 }))], ["latency"])
  })

  it("has a name of its own, and a workload that is not measured counts as that", () => {
    assert.strictEqual(new Set(GOALS.map(({ id }) => id)).size, GOALS.length)
    const none: Record.Recorded = { where: "nowhere", rounds: 5, workloads: {} }
    assert.isTrue(Page.outcomes(none).every(({ text }) => text === "not measured"))
  })
})

describe("what is measured anew", () => {
  const old = recorded({ ratio: 2 })
  const fresh: Record.Recorded = { ...old, workloads: { read: { ...old.workloads.read!, messages: 7 } } }

  it("goes beside what was there, on the same machine", () => {
    const all = Record.merged(old, fresh)!
    assert.strictEqual(all.workloads.read?.messages, 7)
    assert.sameMembers(Object.keys(all.workloads), [...ALL])
  })

  it("is not mixed with what another machine did, or with other rounds", () => {
    assert.isUndefined(Record.merged(old, { ...fresh, where: "elsewhere" }))
    assert.isUndefined(Record.merged(old, { ...fresh, rounds: 3 }))
  })
})

describe("the chart", () => {
  const shown: ReadonlyArray<{ readonly workload: Workload; readonly rows: ReadonlyArray<Row> }> = [
    { workload: "read", rows: [row("raw"), row("inline", { ratio: 2 }), row("thread", { ratio: 4 })] },
    { workload: "latency", rows: [row("raw"), row("inline")] }
  ]

  it("has a bar for each side, as long as its ratio, and none for what is not about messages per second", () => {
    const bars = [...chart(shown).matchAll(/<rect class="(\w+)" x="220" y="\d+" width="([\d.]+)"/g)]
      .map(([, side, width]) => [side, Number(width)] as const)
    assert.deepStrictEqual(bars.map(([side]) => side), ["raw", "inline", "thread"])
    const [raw, inline, thread] = bars.map(([, width]) => width)
    assert.closeTo(inline! / raw!, 2, 0.01)
    assert.closeTo(thread! / raw!, 4, 0.01)
  })

  it("can be read on light pages and on dark ones, and by those who do not see it", () => {
    const svg = chart(shown)
    assert.match(svg, /prefers-color-scheme: dark/)
    assert.match(svg, /<desc id="d">.*Sluice, I\/O thread 4\.00/)
    assert.notMatch(svg, /https?:\/\/(?!www\.w3\.org)|<script/)
  })
})
