/** Publishes that are refused, lost on the way, or lost on the way back. */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type { Outgoing } from "../../Message.ts"
import type { Receipt, Transport } from "../../Transport.ts"
import { Disconnected, TimedOut, type TransportError } from "../../TransportError.ts"
import type { Decider } from "./plan.ts"
import type { Kind } from "./words.ts"

export const broken = new Disconnected({ detail: "a fault was injected" })

const unanswered = new TimedOut({ operation: "publish", millis: 0 })

const KINDS: ReadonlyArray<Kind> = ["refusePublish", "losePublish", "loseReceipt"]

export interface Options {
  readonly inner: Transport["Service"]
  readonly decider: Decider
  readonly cut: (millis: number) => Effect.Effect<void>
  readonly canCut: boolean
}

/** One attempt at a batch, in which each message may meet a fault of its own. */
export const publish = (
  { canCut, cut, decider, inner }: Options,
  batch: NonEmptyReadonlyArray<Outgoing>
): Effect.Effect<NonEmptyReadonlyArray<Receipt>, TransportError> =>
  Effect.gen(function*() {
    const kinds: ReadonlyArray<Kind> = canCut ? [...KINDS, "disconnect"] : KINDS
    const faults = batch.map((message) => decider.next({ operation: "publish", what: message.subject, kinds }))
    const sent = batch.filter((_, index) => !keepsBack(faults[index]?.kind))
    const cuts = faults.find((fault) => fault?.kind === "disconnect")
    if (cuts !== undefined) {
      yield* cut(cuts.delayMs)
    }
    const answers = Arr.isArrayNonEmpty(sent) ? yield* inner.publish(sent) : []
    let answered = 0
    return Arr.map(batch, (_, index): Receipt => {
      const kind = faults[index]?.kind
      if (kind === "refusePublish") {
        return { _tag: "NotSent", reason: broken }
      }
      if (kind === "losePublish") {
        return { _tag: "Ambiguous", reason: unanswered }
      }
      const receipt = answers[answered++]!
      return kind === "loseReceipt" && receipt._tag === "Confirmed"
        ? { _tag: "Ambiguous", reason: unanswered }
        : receipt
    })
  })

const keepsBack = (kind: Kind | undefined): boolean => kind === "refusePublish" || kind === "losePublish"
