/** What a seed makes: topology, workload and fault plan, as plain data. */
import type { Policy } from "../../src/AckPolicy.ts"
import { KINDS } from "../../src/internal/faulty/plan.ts"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Queue from "../../src/Queue.ts"
import { Dice } from "./dice.ts"

/** When a reader of a group comes, and how it leaves before the healing, if it does. */
export interface Replica {
  readonly fromMs: number
  readonly until: { readonly atMs: number; readonly how: "drain" | "interrupt" } | undefined
}

export interface Group {
  readonly name: string
  readonly policy: Policy
  readonly queue: Queue.Settings
  readonly lanes: number
  readonly keyed: boolean
  /** 0 for a handler per message. */
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
  readonly plan: Faulty.Plan
  readonly safetyMs: number
}

const SAFETY_MS = 30_000

export const make = (seed: number): Scenario => {
  const dice = new Dice(seed)
  return {
    seed,
    groups: Array.from({ length: dice.int(1, 3) }, (_, index) => group(dice, `g${index}`)),
    publishers: Array.from({ length: dice.int(1, 3) }, (_, index) => publisher(dice, `p${index}`)),
    plan: plan(dice, seed),
    safetyMs: SAFETY_MS
  }
}

/** What the program promises of a group: everything is done at least once. */
export const isAtLeastOnce = (group: Group): boolean =>
  group.policy._tag !== "onEnqueue" && group.policy._tag !== "hybrid"

/** Failures may be tried again. */
export const retries = (group: Group): boolean => group.policy._tag === "onProcess" || group.policy._tag === "confirmed"

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
  const policy = dice.pick(POLICIES)
  const alone = policy._tag === "upTo" || dice.chance(0.4)
  const messages = dice.int(2, 40)
  const strategy = dice.pick(["suspend", "suspend", "suspend", "dropping", "sliding", "latest"] as const)
  const batch = dice.chance(0.2) ? dice.int(1, Math.min(8, messages)) : 0
  const calm = dice.chance(0.3)
  return {
    name,
    policy,
    queue: QUEUES[strategy]({ messages }),
    lanes: policy._tag === "upTo" ? 1 : dice.int(1, 16),
    keyed: dice.chance(0.7),
    batch,
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
  return Array.from({ length: dice.int(1, 8) }, () => ({
    afterMs: dice.int(0, 3_000),
    messages: Array.from({ length: dice.int(1, 12) }, (): Message => {
      n++
      return {
        id: `${name}.${n}`,
        place: dice.pick(["a", "b", "c"]),
        key: `k${dice.int(1, keys)}`,
        n,
        decodable: !dice.chance(0.03)
      }
    })
  }))
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
