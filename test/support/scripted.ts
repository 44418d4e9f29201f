/**
 * A transport that publishes by a script: for tests of what happens when it does not go well.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Message from "../../src/Message.ts"
import { Transport } from "../../src/Transport.ts"
import type { Receipt } from "../../src/Transport.ts"
import * as TransportError from "../../src/TransportError.ts"

export type Batch = NonEmptyReadonlyArray<Message.Outgoing>
export type Step = (batch: Batch) => Effect.Effect<ReadonlyArray<Receipt>, TransportError.TransportError>

/** A broker that stores whatever no step of the script says otherwise about, and remembers every batch. */
export const scripted = (...script: ReadonlyArray<Step>) => {
  const batches: Array<Batch> = []
  const stored = new Map<string, number>()
  const store = (message: Message.Outgoing): Receipt => {
    const before = stored.get(message.id)
    const sequence = before ?? stored.size + 1
    stored.set(message.id, sequence)
    return { _tag: "Confirmed", stream: "S", sequence, duplicate: before !== undefined }
  }
  const publish = (batch: Batch) =>
    Effect.suspend(() => {
      batches.push(batch)
      const step = script[batches.length - 1]
      return (step === undefined ? Effect.succeed(batch.map(store)) : step(batch)) as Effect.Effect<
        NonEmptyReadonlyArray<Receipt>,
        TransportError.TransportError
      >
    })
  const layer = Layer.mock(Transport)({ publish, topology: Option.none() })
  return { batches, store, layer, payloads: () => batches.map((batch) => batch.map(textOf)) }
}

export const textOf = (message: Message.Outgoing): string => new TextDecoder().decode(message.payload)

/** A step that answers the messages of a batch one by one. */
export const each = (...receipts: ReadonlyArray<Receipt>): Step => () => Effect.succeed(receipts)
/** A step that refuses the batch as a whole. */
export const refuse = (reason: TransportError.Reason): Step => () => Effect.fail(TransportError.because(reason))
