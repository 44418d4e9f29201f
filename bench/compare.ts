/** One workload, or one and the one that it is held against: every side by turns, round after round. */
import { type Figures, type Side, SIDES } from "./order.ts"
import * as Report from "./report.ts"
import type { Stage, Wanted } from "./stage.ts"
import { kindOf, type Workload, WORKLOADS } from "./workloads.ts"

export interface Options {
  readonly stage: Stage
  readonly rounds: number
  readonly sides: ReadonlyArray<Side>
  readonly wanted: (workload: Workload) => Wanted
  readonly progress: (text: string) => void
}

export type Found = ReadonlyMap<Workload, ReadonlyArray<Report.Row>>

export const compare = async (workload: Workload, options: Options): Promise<Found> => {
  const { progress, rounds, stage, wanted } = options
  const against = againstOf(workload)
  const group = against === undefined ? [workload] : [against, workload]
  const found = new Map<Workload, Array<Report.Round>>(group.map((one) => [one, []]))
  try {
    for (const one of group) {
      progress(`${one}: filling the stream`)
      await stage.prepare(wanted(one))
    }
    for (let round = 0; round < rounds; round++) {
      const figures = new Map(group.map((one) => [one, new Map<Side, Figures>()]))
      for (const side of inTurn(options.sides, round)) {
        for (const one of inTurn(group, round)) {
          progress(`${one}: round ${round + 1} of ${rounds}, ${side}`)
          figures.get(one)!.set(side, await stage.measure(wanted(one), side))
        }
      }
      for (const one of group) {
        found.get(one)!.push(figures.get(one)!)
      }
    }
  } finally {
    for (const one of group) {
      await stage.clear(one)
    }
    progress("")
  }
  const base = against === undefined ? undefined : found.get(against)
  return new Map(group.map((one) => [one, Report.rows(found.get(one)!, one === workload ? base : undefined)]))
}

// internals

const againstOf = (workload: Workload): Workload | undefined => {
  const { against } = kindOf(workload)
  return against !== undefined && Object.hasOwn(WORKLOADS, against) ? against as Workload : undefined
}

/** Another one begins each time: whoever comes first finds another machine than whoever comes last. */
const inTurn = <A>(all: ReadonlyArray<A>, round: number): ReadonlyArray<A> => {
  const from = round % all.length
  return [...all.slice(from), ...all.slice(0, from)]
}

/** `SIDES` in their order, those of them that are asked for; the raw client is what they are held against. */
export const sidesOf = (asked: ReadonlyArray<Side>): ReadonlyArray<Side> =>
  SIDES.filter((side) => side === "raw" || asked.length === 0 || asked.includes(side))
