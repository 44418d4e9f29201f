/** Ack policies and queues of readers, by chance. */
import type { Policy } from "../../src/AckPolicy.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import type { Dice } from "../simulation/dice.ts"

const QUEUES = { dropping: Queue.dropping, sliding: Queue.sliding, latest: Queue.latest }

/** One that fits the consumer, as a rule. */
export const policy = (dice: Dice, acksAll: boolean): Policy => {
  const odd = dice.chance(0.03)
  if (acksAll !== odd) {
    return { _tag: "upTo" }
  }
  const policies: ReadonlyArray<Policy> = [
    { _tag: "onProcess" },
    { _tag: "onProcess" },
    { _tag: "onProcess" },
    { _tag: "confirmed" },
    { _tag: "onEnqueue" },
    { _tag: "hybrid", onEnqueue: ["*.a" as never] }
  ]
  return dice.pick(policies)
}

/**
 * Where one ack is for a prefix, one that waits: what a reader displaces before it knows how its consumer stands, it may
 * acknowledge at once or later, and ask for one more or not.
 */
export const queue = (dice: Dice, acksAll: boolean): Queue.Settings => {
  const strategy = dice.pick(["suspend", "suspend", "suspend", "dropping", "sliding", "latest"] as const)
  // Not a nak: what is displaced would come back, and be displaced, as fast as both can.
  const onDrop = dice.pick([Settlement.ack, Settlement.ack, Settlement.term("full")])
  const messages = dice.pick([1, 2, 3, 4, 5, 8, 20])
  return strategy === "suspend" || acksAll ? Queue.suspend({ messages }) : QUEUES[strategy]({ messages, onDrop })
}
