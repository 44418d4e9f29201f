/** What a seed makes: the faults of a run, one after the other, and how long each one lasts. */
import { Dice } from "../simulation/dice.ts"
import type { Plan } from "./faults.ts"
import type { FaultKind } from "./kinds.ts"

/** How often, out of their sum. The last four need three nodes. */
const WEIGHTS: Partial<Record<FaultKind, number>> = {
  kill: 20,
  freeze: 15,
  cut: 20,
  halfOpen: 5,
  halfOpenUp: 3,
  halfOpenDown: 3,
  refuse: 10,
  slow: 5,
  garble: 3,
  stop: 3,
  lameDuck: 3,
  block: 8,
  workerKill: 5,
  workerStop: 5
}

const OF_CLUSTERS: Partial<Record<FaultKind, number>> = { consumerStepDown: 8, streamStepDown: 8 }

/** How long each lasts, in ms, if it lasts. */
const LASTS: Partial<Record<FaultKind, readonly [from: number, to: number]>> = {
  kill: [0, 5_000],
  stop: [0, 3_000],
  lameDuck: [500, 2_000],
  freeze: [500, 8_000],
  refuse: [500, 6_000],
  slow: [1_000, 4_000],
  block: [1_000, 6_000]
}

export interface Step extends Plan {
  /** After the one before has been healed and survived. */
  readonly afterMs: number
  /** Begins while the one before lasts; nobody waits for that. */
  readonly overlaps: boolean
}

/** Faults that take a server away, or a worker: two of these at once would be another experiment. */
const TAKES: ReadonlySet<FaultKind> = new Set<FaultKind>([
  "kill",
  "stop",
  "lameDuck",
  "freeze",
  "workerKill",
  "workerStop",
  "consumerStepDown",
  "streamStepDown"
])

export const make = (seed: number, faults: number, nodes: 1 | 3): ReadonlyArray<Step> => {
  const dice = new Dice(seed)
  const weights = Object.entries(nodes === 1 ? WEIGHTS : { ...WEIGHTS, ...OF_CLUSTERS }) as Array<[FaultKind, number]>
  const steps: Array<Step> = []
  for (let index = 0; index < faults; index++) {
    const kind = pick(dice, weights)
    const [from, to] = LASTS[kind] ?? [0, 0]
    const before = steps.at(-1)
    const wantsOverlap = dice.chance(0.15)
    steps.push({
      kind,
      ms: dice.int(from, to),
      node: dice.int(0, nodes - 1),
      publishersToo: dice.chance(0.5),
      afterMs: dice.int(1_000, 3_000),
      overlaps: wantsOverlap && before !== undefined && !before.overlaps && !(TAKES.has(kind) && TAKES.has(before.kind))
    })
  }
  return steps
}

/** One of each sort that matters, and none longer than it must be: what a commit can wait for. */
export const short = (kinds: ReadonlyArray<FaultKind>, ms = 700): ReadonlyArray<Step> =>
  kinds.map((kind) => ({ kind, ms, node: 0, publishersToo: true, afterMs: 300, overlaps: false }))

const pick = (dice: Dice, weights: ReadonlyArray<readonly [FaultKind, number]>): FaultKind => {
  const sum = weights.reduce((total, [, weight]) => total + weight, 0)
  let at = dice.next() * sum
  for (const [kind, weight] of weights) {
    at -= weight
    if (at < 0) {
      return kind
    }
  }
  return weights[0]![0]
}
