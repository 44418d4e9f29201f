/** Streams, consumers and places to begin, by chance. */
import type { ConsumerStart } from "../../src/Topology.ts"
import * as Topology from "../../src/Topology.ts"
import type { Dice } from "../simulation/dice.ts"
import type { Kind } from "./program.ts"

/** The subjects' last parts. */
export const RESTS = ["a", "b", "c.x", "c.y"] as const

const FILTERS: ReadonlyArray<ReadonlyArray<string>> = [[], [], [], [], ["a"], ["c.*"], [">"], ["a", "b"], ["*"]]

const LEASE_MS = 2_000
/** Long enough never to be seen in a program. */
const NEVER_MS = 60_000

export const stream = (dice: Dice, kind: Kind): Topology.Stream => {
  const ages = kind === "ages"
  const limited = dice.chance(0.5)
  return Topology.stream("S", {
    subjects: [],
    storage: dice.pick(["memory", "memory", "file"]),
    retention: dice.pick(["limits", "limits", "limits", "workqueue", "interest"]),
    discard: limited ? dice.pick(["old", "new"]) : "old",
    maxMessages: limited && dice.chance(0.6) ? dice.int(3, 8) : -1,
    maxBytes: limited && dice.chance(0.4) ? dice.int(300, 900) : -1,
    maxPerSubject: dice.chance(0.25) ? dice.int(1, 3) : -1,
    maxAge: ages && dice.chance(0.7) ? dice.pick([1_500, 2_500]) : 0,
    duplicateWindow: ages && dice.chance(0.5) ? 1_000 : 2 * NEVER_MS
  })
}

/** Whether messages go that a consumer which begins with the last of each subject was never to get. */
const forgets = (of: Topology.Stream): boolean =>
  of.retention !== "limits" || of.maxMessages > 0 || of.maxBytes > 0 || of.maxPerSubject > 0 || of.maxAgeMs > 0

/** Not by time: when exactly a message is stored is not for the program to say. */
export const start = (dice: Dice, of: Topology.Stream, sequences: number): ConsumerStart => {
  // A server counts those that it would not have delivered as delivered when they go.
  const latest = forgets(of) ? "last" : "lastPerSubject"
  switch (dice.pick(["all", "all", "all", "all", "new", "last", latest, "sequence"] as const)) {
    case "all":
      return { _tag: "all" }
    case "new":
      return { _tag: "new" }
    case "last":
      return { _tag: "last" }
    case "lastPerSubject":
      return { _tag: "lastPerSubject" }
    case "sequence":
      return { _tag: "sequence", sequence: dice.int(1, Math.max(1, sequences)) }
  }
}

export const filters = (dice: Dice): ReadonlyArray<string> => dice.pick(FILTERS)

/** Two consumers of a work queue must not share a message, unless being refused is what they are for. */
const workQueueFilters = (dice: Dice, index: number): ReadonlyArray<string> =>
  dice.chance(0.1)
    ? filters(dice)
    : index === 0
    ? dice.pick([["a", "b"], ["a", "b", "c.y"], []])
    : dice.pick([["c.*"], ["c.x"]])

export const consumer = (dice: Dice, kind: Kind, of: Topology.Stream, index: number): Topology.Consumer => {
  const workQueue = of.retention === "workqueue"
  // Not yet in programs, because Memory and the server still differ there: one ack for a prefix of which messages go,
  // and room that an age makes under a small limit of unanswered ones.
  const ack = !forgets(of) && dice.chance(0.2) ? "all" : "explicit"
  return Topology.consumer(`c${index}`, {
    filters: workQueue ? workQueueFilters(dice, index) : filters(dice),
    start: workQueue && dice.chance(0.9) ? { _tag: "all" } : start(dice, of, 4),
    ack,
    ackWait: kind === "leases" ? LEASE_MS : NEVER_MS,
    maxAckPending: of.maxAgeMs === 0 && dice.chance(0.4) ? dice.int(1, 4) : 1_000,
    maxDeliver: dice.chance(0.5) ? dice.int(1, 3) : -1
  })
}
