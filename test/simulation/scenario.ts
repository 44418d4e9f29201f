/** What a seed makes: topology, workload and fault plan, as plain data. */
import type { Policy } from "../../src/AckPolicy.ts"
import { KINDS } from "../../src/internal/faulty/plan.ts"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Queue from "../../src/Queue.ts"
import type * as Topology from "../../src/Topology.ts"
import { Dice } from "./dice.ts"
import * as happenings from "./happenings.ts"

/** When a reader of a group comes, and how it leaves before the healing, if it does. */
export interface Replica {
  readonly fromMs: number
  readonly until: { readonly atMs: number; readonly how: "drain" | "interrupt" } | undefined
}

export interface Group {
  readonly name: string
  /** Several readers share a durable; an ephemeral and an ordered source are one reader's own. */
  readonly source: "durable" | "ephemeral" | "ordered"
  /** A handler per message, one per batch, or a stream that settles by hand. */
  readonly how: "each" | "batch" | "stream"
  readonly policy: Policy
  readonly queue: Queue.Settings
  readonly lanes: number
  readonly keyed: boolean
  readonly batch: number
  readonly ackWaitMs: number
  readonly timeBudgetMs: number
  readonly maxAttempts: number
  readonly retryMs: number
  /** How often keeping elsewhere what is given up fails. */
  readonly giveUpFails: number
  readonly slowMs: number
  readonly failRate: number
  readonly hangRate: number
  readonly replicas: ReadonlyArray<Replica>
}

export interface Sending {
  readonly afterMs: number
  readonly way: "raw" | "all" | "sink"
  readonly chunk: number
  readonly budgetMs: number
  /** `undefined` for the publisher's own retries. */
  readonly retryMs: number | undefined
  readonly messages: ReadonlyArray<Message>
}

export interface Message {
  readonly id: string
  /** The last token of its subject. */
  readonly place: string
  readonly key: string
  readonly n: number
  readonly decodable: boolean
}

export interface Scenario {
  readonly seed: number
  readonly groups: ReadonlyArray<Group>
  readonly publishers: ReadonlyArray<ReadonlyArray<Sending>>
  readonly limits: Partial<Pick<Topology.Stream, "maxMessages" | "maxPerSubject" | "discard" | "retention">>
  readonly plan: Faulty.Plan
  readonly happenings: ReadonlyArray<happenings.Happening>
  readonly safetyMs: number
}

/** Whatever goes wrong in a run, of both sorts. */
export type Mishap = Faulty.Fault | happenings.Happening

/** The longest that a publisher tries. */
export const BUDGET_MS = 8_000

const SAFETY_MS = 30_000

export const make = (seed: number): Scenario => {
  const dice = new Dice(seed)
  const groups = Array.from({ length: dice.int(1, 3) }, (_, index) => group(dice, `g${index}`))
  const durables = groups.filter(({ source }) => source === "durable")
  return {
    seed,
    groups,
    publishers: Array.from({ length: dice.int(1, 3) }, (_, index) => publisher(dice, `p${index}`)),
    plan: plan(dice, seed),
    limits: limits(dice, groups),
    happenings: happenings.draw(dice, durables.map(({ name }) => name), SAFETY_MS - 5_000),
    safetyMs: SAFETY_MS
  }
}

/** Whether everybody's transport is behind a port, as it is with an I/O thread: one seed of four. */
export const isPorted = (seed: number): boolean => seed % 4 === 0

/** The same, with nothing going wrong but this. */
export const only = (scenario: Scenario, mishaps: ReadonlyArray<Mishap>): Scenario => ({
  ...scenario,
  plan: Faulty.listed(mishaps.filter((mishap) => "operation" in mishap)),
  happenings: mishaps.filter((mishap): mishap is happenings.Happening => !("operation" in mishap))
})

/** What the program promises of a group: everything is done at least once. */
export const isAtLeastOnce = (group: Group): boolean =>
  group.policy._tag !== "onEnqueue" && group.policy._tag !== "hybrid" && group.source !== "ordered"

/** Failures may be tried again. */
export const retries = (group: Group): boolean =>
  group.source !== "ordered" && (group.policy._tag === "onProcess" || group.policy._tag === "confirmed")

// internals

const POLICIES: ReadonlyArray<Policy> = [
  { _tag: "onProcess" },
  { _tag: "onProcess" },
  { _tag: "confirmed" },
  { _tag: "onEnqueue" },
  { _tag: "upTo" },
  { _tag: "hybrid", onEnqueue: ["sim.b" as never] }
]

const QUEUES = { suspend: Queue.suspend, dropping: Queue.dropping, sliding: Queue.sliding, latest: Queue.latest }

const group = (dice: Dice, name: string): Group => {
  const source = dice.pick(["durable", "durable", "durable", "durable", "ephemeral", "ordered"] as const)
  const policy = source === "durable" ? dice.pick(POLICIES) : { _tag: "onProcess" as const }
  const alone = source !== "durable" || policy._tag === "upTo" || dice.chance(0.4)
  const messages = dice.int(2, 40)
  const strategy = dice.pick(["suspend", "suspend", "suspend", "dropping", "sliding", "latest"] as const)
  const how = dice.pick(["each", "each", "each", "batch", "stream"] as const)
  const calm = dice.chance(0.3)
  return {
    name,
    source,
    how,
    policy,
    queue: QUEUES[source === "ordered" ? "suspend" : strategy]({ messages }),
    lanes: policy._tag === "upTo" || source === "ordered" ? 1 : dice.int(1, 16),
    keyed: dice.chance(0.7),
    batch: dice.int(1, Math.min(8, messages)),
    ackWaitMs: dice.int(1, 10) * 1_000,
    timeBudgetMs: dice.int(4, 12) * 1_000,
    maxAttempts: dice.int(1, 5),
    retryMs: dice.int(1, 30) * 100,
    giveUpFails: dice.chance(0.3) ? 0.5 : 0,
    slowMs: dice.pick([0, 50, 500, 3_000]),
    failRate: calm ? 0 : dice.pick([0, 0.1, 0.4]),
    hangRate: calm ? 0 : dice.pick([0, 0, 0.05]),
    replicas: Array.from({ length: alone ? 1 : dice.int(1, 3) }, () => replica(dice, alone))
  }
}

const replica = (dice: Dice, stays: boolean): Replica => {
  const fromMs = dice.int(0, stays ? 5 : 15) * 1_000
  const leaves = dice.chance(stays ? 0.3 : 0.6)
  const how = dice.pick(["drain", "interrupt"] as const)
  return { fromMs, until: leaves ? { atMs: fromMs + dice.int(1, 15_000), how } : undefined }
}

const publisher = (dice: Dice, name: string): ReadonlyArray<Sending> => {
  const keys = dice.int(1, 12)
  let n = 0
  return Array.from({ length: dice.int(1, 8) }, () => {
    const way = dice.pick(["raw", "raw", "all", "sink"] as const)
    return {
      afterMs: dice.int(0, 3_000),
      way,
      chunk: dice.int(1, 8),
      budgetMs: dice.pick([500, BUDGET_MS, BUDGET_MS]),
      retryMs: dice.pick([undefined, undefined, 50, 1_000]),
      messages: Array.from({ length: dice.int(1, 12) }, (): Message => {
        n++
        return {
          id: `${name}.${n}`,
          place: dice.pick(["a", "b", "c"]),
          key: `k${dice.int(1, keys)}`,
          n,
          decodable: way !== "raw" || !dice.chance(0.05)
        }
      })
    }
  })
}

/** Mostly none. Every message of a work queue is one consumer's, and gone when that has acknowledged it. */
const limits = (dice: Dice, [first, ...others]: ReadonlyArray<Group>): Scenario["limits"] => {
  const discard = dice.chance(0.8) ? "old" as const : "new" as const
  const isQueue = others.length === 0 && first?.source === "durable" && first.policy._tag !== "upTo"
  if (isQueue && dice.chance(0.2)) {
    return { retention: "workqueue" }
  }
  return dice.chance(0.85)
    ? {}
    : dice.chance(0.5)
    ? { discard, maxMessages: dice.int(10, 60) }
    : { discard, maxPerSubject: dice.int(3, 20) }
}

const plan = (dice: Dice, seed: number): Faulty.Plan => {
  const rates: Partial<Record<Faulty.Kind, number>> = {}
  for (const kind of KINDS) {
    if (dice.chance(0.35)) {
      rates[kind] = kind === "disconnect" || kind === "endTake" ? dice.pick([0.005, 0.03]) : dice.pick([0.02, 0.1, 0.3])
    }
  }
  return Faulty.random({ seed, rates, delayMs: dice.pick([200, 3_000, 12_000]) })
}
