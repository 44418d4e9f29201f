/** A row of the table: one sort of fault, what has to hold, and what was measured. */
import { setTimeout as sleep } from "node:timers/promises"
import { seenAfter } from "../check/health.ts"
import { percentiles, recoveries, type Recovery } from "../check/recovery.ts"
import { repeats } from "../check/repeats.ts"
import { fromJournals, type Run } from "../check/Run.ts"
import { type Verdict, verdict } from "../check/verdict.ts"
import { inject, type Plan } from "../faults.ts"
import type { FaultKind } from "../kinds.ts"
import type { Mode } from "../orders.ts"
import { limitsOf } from "../soak.ts"
import { type Options, World } from "../world.ts"

export interface Context {
  readonly mode: Mode
  readonly version: string | undefined
  readonly say: (line: string) => void
  /** The same faults, fewer or shorter. */
  readonly isShort?: boolean
}

/** A time that is longer than was promised. */
export interface Late {
  readonly what: string
  readonly ms: number
  readonly limitMs: number
}

/** What a row found: its measures for the table, and what is wrong with them. */
export interface Outcome {
  readonly measured: ReadonlyArray<string>
  readonly wrong: ReadonlyArray<string | Late>
}

export const inWords = (wrong: string | Late): string =>
  typeof wrong === "string" ? wrong : `${wrong.what}: ${shown(wrong.ms)}, more than ${shown(wrong.limitMs)}`

export interface Row {
  readonly id: string
  readonly fault: string
  readonly figure: string
  /** It takes so long that it runs only for whoever names it. */
  readonly isOnlyNamed?: boolean
  readonly run: (context: Context) => Promise<Outcome>
}

/** Publishes so many messages in a second, until it is stopped. */
export class Load {
  readonly #world: World
  #n = 0
  #stopped = false
  readonly #running: Promise<void>

  constructor(world: World, perSecond: number) {
    this.#world = world
    this.#running = this.#run(perSecond / 10 / world.publishers.length)
  }

  async #run(step: number): Promise<void> {
    while (!this.#stopped) {
      this.#n += step
      for (const publisher of this.#world.publishers) {
        publisher.tell({ _tag: "upTo", n: Math.floor(this.#n) })
      }
      await sleep(100)
    }
  }

  /** Waits until all of it is published and handled; not for ever. How many publishes were given up. */
  async stop(withinMs = 60_000): Promise<number> {
    this.#stopped = true
    await this.#running
    return drain(this.#world, Math.floor(this.#n), withinMs)
  }
}

/** Waits until publishers have come so far, and until everything is handled. How many publishes were given up. */
export const drain = async (world: World, n: number, withinMs: number): Promise<number> => {
  const ends = world.publishers.map((publisher) => {
    const end = publisher.hear("reached", (said) => said.n >= n).then(({ surfaced }) => surfaced, () => 0)
    publisher.tell({ _tag: "upTo", n })
    return Promise.race([end, sleep(withinMs, Number.NaN)])
  })
  const surfaced = (await Promise.all(ends)).reduce((sum, one) => sum + one, 0)
  if (Number.isNaN(surfaced)) {
    throw new Error(`the publishers have not come to their end within ${withinMs} ms`)
  }
  const deadline = performance.now() + withinMs
  const isDone = async () => {
    const info = await world.eye.info().catch(() => undefined)
    return info !== undefined && info.num_pending === 0 && info.num_ack_pending === 0
  }
  // Who is stuck does not come to an end by waiting.
  while (!world.isStuck && performance.now() < deadline && !(await isDone())) {
    await sleep(50)
  }
  await sleep(1_000)
  return surfaced
}

export const isOurs = (mode: Mode): boolean => mode === "thread" || mode === "inline"

/** One world for a row: gone afterwards, whatever came of it. */
export const inWorld = async <A>(
  context: Context,
  options: Partial<Options> & Pick<Options, "nodes">,
  use: (world: World) => Promise<A>
): Promise<A> => {
  // What an outage holds up goes out fast when it is over.
  const world = await World.start({ mode: context.mode, version: context.version, chunk: 32, ...options })
  try {
    return await use(world)
  } finally {
    await world.end()
  }
}

export interface Judged {
  readonly run: Run
  readonly verdict: Verdict
  readonly recoveries: ReadonlyArray<Recovery>
  readonly perFault: (kind: FaultKind) => number
}

/** Ends the worker in order, and reads what everybody wrote down. */
export const judge = async (world: World, lost = 0): Promise<Judged> => {
  await world.dismiss(world.worker, world.epoch, "SIGTERM")
  const journals = await world.journals()
  const limits = { ...limitsOf(world.options), inFlight: 2 * world.options.capacity + lost }
  const run = fromJournals(journals)
  const { perFault } = repeats(run, limits)
  return {
    run,
    verdict: verdict(journals, limits),
    recoveries: recoveries(run, limits.inFlight),
    perFault: (kind) => [...perFault].reduce((sum, [fault, count]) => fault.kind === kind ? sum + count : sum, 0)
  }
}

export const plan = (kind: FaultKind, given: Partial<Plan> = {}): Plan => ({
  kind,
  ms: 0,
  node: 0,
  publishersToo: true,
  ...given
})

/** Faults one after the other under a steady load, with a pause between them; then everything is worked off. */
export const series = async (
  world: World,
  plans: ReadonlyArray<Plan>,
  { perSecond = 500, pauseMs = 1_500 }: { readonly perSecond?: number; readonly pauseMs?: number } = {}
): Promise<{ readonly judged: Judged; readonly surfaced: number }> => {
  const load = new Load(world, perSecond)
  await sleep(pauseMs)
  for (const one of plans) {
    await inject(world, one).catch(() => {
      world.isStuck = true
    })
    await sleep(pauseMs)
  }
  const surfaced = await load.stop()
  return { judged: await judge(world), surfaced }
}

export const shown = (ms: number): string =>
  !Number.isFinite(ms) ? "never" : ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`

/** What never came back counts as for ever. */
export const times = (all: ReadonlyArray<Recovery>): ReturnType<typeof percentiles> =>
  percentiles(all.map(({ ms }) => ms ?? Number.POSITIVE_INFINITY))

/** How long after the beginning of each fault the program said so. */
export const seen = ({ recoveries, run }: Judged): number =>
  Math.max(...recoveries.map(({ fault }) => seenAfter(run, fault.from) ?? Number.POSITIVE_INFINITY))

/** What every row promises besides its own figure. */
export const always = ({ verdict }: Judged): ReadonlyArray<string> => [
  ...(verdict.lost > 0 ? [`${verdict.lost} lost`] : []),
  ...(verdict.ackedUnprocessed > 0 ? [`${verdict.ackedUnprocessed} acknowledged and not done`] : []),
  ...(verdict.duplicateEffects > 0 ? [`${verdict.duplicateEffects} effects made twice`] : []),
  ...(verdict.unexplainedDuplicates > 0 ? [`${verdict.unexplainedDuplicates} repeats that nothing explains`] : []),
  ...verdict.findings.filter((finding) => /^(C2|C10|C12|journal)/.test(finding))
]

export const counted = ({ verdict }: Judged): string => `${verdict.lost} lost, ${verdict.duplicateCalls} repeated`

/** It took at most so long, or this is what is wrong. */
export const atMost = (what: string, ms: number, limitMs: number): ReadonlyArray<Late> =>
  ms <= limitMs ? [] : [{ what, ms, limitMs }]
