/** Medians, what they are of the raw client's, and how a person or a machine reads them. */
import { type Figures, type Side, SIDES } from "./order.ts"
import { kindOf, type Workload } from "./workloads.ts"

/** The lowest and the highest of a round. */
export type Spread = readonly [least: number, most: number]

export interface Row extends Omit<Figures, "messagesPerSecond"> {
  readonly side: Side
  /** Messages per second, of the raw client's. */
  readonly ratio: number
  readonly spread: Spread
  readonly msgs: number
  /** The 99th percentile, of the raw client's; where it was measured. */
  readonly p99Ratio?: number
  /** Processor time per message, of what it is in the workload that this one is held against. */
  readonly grows?: number
  readonly growsSpread?: Spread
}

/** What each side came to in one round. The raw client is always one of them. */
export type Round = ReadonlyMap<Side, Figures>

const FIELDS = ["messagesPerSecond", "cpuUs", "mainBusy", "grownMb", "p50", "p99", "p999"] as const

/** Of rounds in which every side had its turn; `against` are the same rounds of the other workload. */
export const rows = (rounds: ReadonlyArray<Round>, against?: ReadonlyArray<Round>): ReadonlyArray<Row> =>
  SIDES.filter((side) => rounds[0]?.has(side)).map((side) => {
    const middle = (side: Side, which: typeof FIELDS[number]) => median(rounds.map((round) => round.get(side)![which]))
    const ratios = rounds.map((round) => round.get(side)!.messagesPerSecond / round.get("raw")!.messagesPerSecond)
    const late = rounds.map((round) => round.get(side)!.p99 / round.get("raw")!.p99)
    const growths = against?.map((base, i) => rounds[i]!.get(side)!.cpuUs / base.get(side)!.cpuUs)
    return {
      side,
      ratio: median(ratios),
      spread: spreadOf(ratios),
      msgs: middle(side, "messagesPerSecond"),
      cpuUs: middle(side, "cpuUs"),
      mainBusy: middle(side, "mainBusy"),
      grownMb: middle(side, "grownMb"),
      p50: middle(side, "p50"),
      p99: middle(side, "p99"),
      p999: middle(side, "p999"),
      ...(middle("raw", "p99") > 0 ? { p99Ratio: median(late) } : undefined),
      ...(growths === undefined ? undefined : { grows: median(growths), growsSpread: spreadOf(growths) })
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
    const { cpuUs, grownMb, mainBusy, msgs, p50, p99, p99Ratio, p999, side } = row
    const cells = [
      side === "raw" ? workload : "",
      side,
      compared(workload, row),
      thousands(msgs),
      cpuUs.toFixed(1),
      `${Math.round(mainBusy * 100)} %`,
      `+${Math.round(grownMb)} MB`,
      p99Ratio === undefined ? "" : [p50, p99, p999].map((us) => (us / 1_000).toFixed(2)).join(" / ")
    ]
    return `| ${cells.join(" | ")} |`
  }).join("\n")

/** What is alike, and what is not. */
export const notes = (workloads: ReadonlyArray<Workload>): string =>
  `Comparable: the same server, messages, payloads and number in flight, by turns in one run, each side in a process of its own; the
ratio is the median of the rounds' ratios. Not comparable: anything between two machines or two runs. What the sides do not have in common:

${
    workloads.map((workload) => `- ${workload}: ${kindOf(workload).what}.\n  ${capital(kindOf(workload).unlike)}.`)
      .join("\n")
  }`

/** `{"inline":{…},"thread":{…},"raw":{…},"ratio"}`: the ratio is that of the first of ours. */
export const json = (found: ReadonlyArray<Row>): object => ({
  ratio: found.find(({ side }) => side !== "raw")!.ratio,
  ...Object.fromEntries(found.map(({ side, ...figures }) => [side, figures]))
})

export const thousands = (count: number): string => Math.round(count).toLocaleString("en")

export const range = ([least, most]: Spread): string => `${least.toFixed(2)} to ${most.toFixed(2)}`

// internals

const compared = (workload: Workload, { grows, growsSpread, p99Ratio, ratio, side, spread }: Row): string => {
  const { against } = kindOf(workload)
  const growth = grows === undefined
    ? []
    : [`${grows.toFixed(2)} × ${against}'s CPU (${range(growsSpread!)})`]
  const ours = side === "raw"
    ? []
    : p99Ratio === undefined
    ? [`${ratio.toFixed(2)} (${range(spread)})`]
    : [`p99 ${p99Ratio.toFixed(2)}`]
  return [...ours, ...growth].join("; ")
}

const median = (numbers: ReadonlyArray<number>): number => {
  const sorted = numbers.toSorted((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2
}

const spreadOf = (numbers: ReadonlyArray<number>): Spread => [Math.min(...numbers), Math.max(...numbers)]

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
