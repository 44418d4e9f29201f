/** The verdict on a run: a pure function over its journals. */
import type { FaultKind } from "../kinds.ts"
import { ackedUnprocessed } from "./acked.ts"
import { lies } from "./health.ts"
import { inventions, losses } from "./losses.ts"
import { byKind, type Percentiles, recoveries } from "./recovery.ts"
import { repeats } from "./repeats.ts"
import { fromJournals, type Journals, type Run } from "./Run.ts"

export interface Limits {
  readonly inFlight: number
  readonly ackWaitMs: number
  /** How long a worker that is told to stop may take. */
  readonly graceMs: number
  /** From the healing to the first message, at most. */
  readonly recoveryMs: number
  readonly maxRssGrowthMb: number
  /** Whether what the program says of its health is checked, and whether it must see that its own thread is blocked. */
  readonly health: "none" | "connection" | "all"
}

export interface Verdict {
  readonly published: number
  readonly processed: number
  readonly lost: number
  readonly ackedUnprocessed: number
  readonly duplicateCalls: number
  readonly duplicateEffects: number
  readonly unexplainedDuplicates: number
  readonly recoveryMs: Readonly<Partial<Record<FaultKind, Percentiles>>>
  readonly healthLies: number
  readonly rssGrowthMb: number
  /** Everything that is wrong; nothing if the run is clean. */
  readonly findings: ReadonlyArray<string>
}

export const verdict = (journals: Journals, limits: Limits): Verdict => {
  const run = fromJournals(journals)
  const lost = losses(run)
  const acked = ackedUnprocessed(run)
  const repeated = repeats(run, limits)
  const back = recoveries(run, limits.inFlight)
  const told = limits.health === "none"
    ? []
    : lies(run, back, limits.health === "all")
  const confirmed = [...run.messages.values()].filter((message) => message.confirmed !== undefined)
  const rssGrowthMb = growthMb(run)
  return {
    published: confirmed.length,
    processed: confirmed.filter(({ made }) => made > 0).length,
    lost: lost.lost + lost.lostByServer,
    ackedUnprocessed: acked.length,
    duplicateCalls: repeated.calls,
    duplicateEffects: repeated.effects,
    unexplainedDuplicates: repeated.unexplained.length,
    recoveryMs: byKind(back),
    healthLies: told.length,
    rssGrowthMb,
    findings: [
      ...run.damage,
      ...(confirmed.length === 0 ? ["nothing was published: a run without messages proves nothing"] : []),
      ...lost.findings,
      ...inventions(run),
      ...acked,
      ...repeated.unexplained,
      ...(repeated.effects > 0 ? [`C4: ${repeated.effects} effects beyond one for each message`] : []),
      ...back.flatMap(({ fault, isMixed, ms }) =>
        isMixed || (ms !== undefined && ms <= limits.recoveryMs)
          ? []
          : [
            `C8: ${ms === undefined ? "nothing" : `${Math.round(ms)} ms until something`} came after fault ${fault.no} `
            + `(${fault.kind}) was healed`
          ]
      ),
      ...told,
      ...shutdowns(run, limits),
      ...accounts(run),
      ...(rssGrowthMb > limits.maxRssGrowthMb ? [`C7: the worker has grown by ${rssGrowthMb} MB`] : [])
    ]
  }
}

/** C10: who is told to stop ends well and in time. */
const shutdowns = (run: Run, { graceMs }: Limits): ReadonlyArray<string> =>
  [...run.workers.values()].flatMap(({ gone, name }) =>
    gone === undefined || gone.code === KILLED || (gone.code === 0 && gone.tookMs <= graceMs)
      ? []
      : [`C10: ${name} ended with ${gone.code} after ${gone.tookMs} ms`]
  )

/** How a journal writes that a worker was killed, as a shell does. */
export const KILLED = 137

/** C12: what the library says of itself is what its handlers wrote down. */
const accounts = (run: Run): ReadonlyArray<string> =>
  [...run.workers.values()].flatMap(({ ended, ledger, name }) =>
    ledger === undefined || (ledger.addsUp && ledger.processed === ended)
      ? []
      : [
        `C12: ${name} says that it has processed ${ledger.processed}, and its journal says ${ended}`
        + (ledger.addsUp ? "" : "; its ledger does not add up")
      ]
  )

/** From what the worker had when it was warm to what it had in the end; a process begins anew with each worker. */
const growthMb = (run: Run): number => {
  let most = 0
  for (const pub of new Set(run.memory.map((entry) => entry.pub))) {
    const samples = run.memory.filter((entry) => entry.pub === pub).map(({ n }) => n / 1024)
    const quarter = Math.floor(samples.length / 4)
    if (quarter >= 4) {
      most = Math.max(most, middle(samples.slice(-quarter)) - middle(samples.slice(quarter, 2 * quarter)))
    }
  }
  return Math.round(most * 10) / 10
}

const middle = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
