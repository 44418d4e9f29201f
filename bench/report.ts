/** Medians, what they are of the raw client's, and how a person or a machine reads them. */
import { type Figures, kindOf, type Side, SIDES, type Workload } from "./order.ts"

export interface Row extends Omit<Figures, "messagesPerSecond"> {
  readonly side: Side
  /** Messages per second, of the raw client's. */
  readonly ratio: number
  /** The lowest and the highest ratio of a round. */
  readonly spread: readonly [number, number]
  readonly msgs: number
}

const FIELDS = ["messagesPerSecond", "cpuUs", "mainBusy", "grownMb", "p50", "p99", "p999"] as const

/** Of rounds in which every side had its turn. */
export const rows = (rounds: ReadonlyArray<Readonly<Record<Side, Figures>>>): ReadonlyArray<Row> =>
  SIDES.map((side) => {
    const middle = (side: Side, which: typeof FIELDS[number]) => median(rounds.map((round) => round[side][which]))
    const ratios = rounds.map((round) => round[side].messagesPerSecond / round.raw.messagesPerSecond)
    const msgs = middle(side, "messagesPerSecond")
    return {
      side,
      ratio: msgs / middle("raw", "messagesPerSecond"),
      spread: [Math.min(...ratios), Math.max(...ratios)],
      msgs,
      cpuUs: middle(side, "cpuUs"),
      mainBusy: middle(side, "mainBusy"),
      grownMb: middle(side, "grownMb"),
      p50: middle(side, "p50"),
      p99: middle(side, "p99"),
      p999: middle(side, "p999")
    }
  })

/** What a person wants to know first. */
export const headline = (workload: Workload, found: ReadonlyArray<Row>): string | undefined => {
  const what = workload === "read" ? "reading" : workload === "publish" ? "publishing" : undefined
  const said = found.map(({ msgs, side }) => `${side === "raw" ? "the raw client" : side} ${thousands(msgs)}/s`)
  return what === undefined ? undefined : `${what}: ${said.toReversed().join(", ")}`
}

export const HEADER =
  `| workload | | of raw (rounds) | messages/s | CPU µs each | main thread busy | memory | p50 / p99 / p99.9 ms |
| --- | --- | --- | --- | --- | --- | --- | --- |`

export const table = (workload: Workload, found: ReadonlyArray<Row>): string =>
  found.map((row) => {
    const { cpuUs, grownMb, mainBusy, msgs, p50, p99, p999, ratio, side, spread: [least, most] } = row
    const isTimed = kindOf(workload).content === "time"
    const ratios = isTimed
      ? `p99 ${(p99 / found[0]!.p99).toFixed(2)}`
      : `${ratio.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`
    const times = isTimed ? [p50, p99, p999].map((us) => (us / 1_000).toFixed(2)).join(" / ") : ""
    const cells = [
      side === "raw" ? workload : "",
      side,
      side === "raw" ? "" : ratios,
      thousands(msgs),
      cpuUs.toFixed(1),
      `${Math.round(mainBusy * 100)} %`,
      `+${Math.round(grownMb)} MB`,
      times
    ]
    return `| ${cells.join(" | ")} |`
  }).join("\n")

/** `{"inline":{…},"thread":{…},"raw":{…},"ratio"}`: the ratio is that of `inline`. */
export const json = (found: ReadonlyArray<Row>): object => ({
  ratio: found.find(({ side }) => side === "inline")!.ratio,
  ...Object.fromEntries(found.map(({ side, ...figures }) => [side, figures]))
})

// internals

const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

const thousands = (count: number): string => Math.round(count).toLocaleString("en")
