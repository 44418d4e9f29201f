/** A publisher of a run: sends what it has, piece by piece, and writes down how each message ended. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Headers from "../../src/Headers.ts"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Memory from "../../src/layers/Memory.ts"
import type { Outgoing } from "../../src/Message.ts"
import * as Publisher from "../../src/Publisher.ts"
import { Transport } from "../../src/Transport.ts"
import type { Recorder } from "./recorder.ts"
import { keyed, unkeyed } from "./replica.ts"
import type { Message, Sending } from "./scenario.ts"

/** How long a publisher tries. */
export const BUDGET_MS = 8_000

const encoder = new TextEncoder()

/** Half of them with an id from the topic, half with a random one. The id is all that an undecodable message has. */
const outgoing = ({ decodable, id, key, n, place }: Message): Outgoing =>
  decodable
    ? Result.getOrThrow((n % 2 === 0 ? keyed : unkeyed).encode({ place }, { id, key, n }))
    : { subject: `sim.${place}`, id, headers: Headers.empty, payload: encoder.encode(`{"id":"${id}",`) }

export const run = (recorder: Recorder, sendings: ReadonlyArray<Sending>) =>
  Effect.scoped(Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const faults = yield* Faulty.Faults
    const connection = yield* broker.connect
    const transport = yield* faults.wrap(connection.transport, connection)
    for (const { afterMs, messages } of sendings) {
      yield* Effect.sleep(afterMs)
      const batch = messages.map(outgoing) as unknown as NonEmptyReadonlyArray<Outgoing>
      const receipts = yield* Publisher.publishRaw(batch, { budget: BUDGET_MS }).pipe(
        Effect.provideService(Transport, transport)
      )
      receipts.forEach((receipt, index) => {
        recorder.events.push({ _tag: "sent", at: recorder.now, id: messages[index]!.id, outcome: receipt._tag })
      })
    }
  }))
