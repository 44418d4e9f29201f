/** A publisher of a run: sends what it has, piece by piece, and writes down how each message ended. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Headers from "../../src/Headers.ts"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Memory from "../../src/layers/Memory.ts"
import type { Outgoing } from "../../src/Message.ts"
import * as Publisher from "../../src/Publisher.ts"
import { Transport } from "../../src/Transport.ts"
import { behindPort } from "../support/ported.ts"
import { keyed, unkeyed } from "./jobs.ts"
import type { Recorder } from "./recorder.ts"
import { isPorted, type Message, type Sending } from "./scenario.ts"

const encoder = new TextEncoder()

/** Half of them with an id from the topic, half with a random one. The id is all that an undecodable message has. */
const outgoing = ({ decodable, id, key, n, place }: Message): Outgoing =>
  decodable
    ? Result.getOrThrow((n % 2 === 0 ? keyed : unkeyed).encode({ place }, { id, key, n }))
    : { subject: `sim.${place}`, id, headers: Headers.empty, payload: encoder.encode(`{"id":"${id}",`) }

export const run = (recorder: Recorder, seed: number, sendings: ReadonlyArray<Sending>) =>
  Effect.scoped(Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const faults = yield* Faulty.Faults
    const connection = yield* broker.connect
    const faulty = yield* faults.wrap(recorder.publishing(connection.transport), connection)
    const transport = isPorted(seed) ? yield* behindPort(faulty) : faulty
    for (const sending of sendings) {
      yield* Effect.sleep(sending.afterMs)
      yield* Effect.provideService(send(recorder, sending), Transport, transport)
    }
  }))

// internals

const send = (recorder: Recorder, { budgetMs, chunk, messages, retryMs, way }: Sending) => {
  const options = { budget: budgetMs, ...(retryMs === undefined ? {} : { retry: Schedule.spaced(retryMs) }) }
  const note = (from: number, to: number, outcome: "Confirmed" | "NotSent" | "Ambiguous") => {
    for (const { id } of messages.slice(from, to)) {
      recorder.events.push({ _tag: "sent", at: recorder.now, id, outcome })
    }
  }
  if (way === "raw") {
    const batch = messages.map(outgoing) as unknown as NonEmptyReadonlyArray<Outgoing>
    return Effect.map(Publisher.publishRaw(batch, options), (receipts) => {
      receipts.forEach((receipt, index) => note(index, index + 1, receipt._tag))
    })
  }
  const items = messages.map(({ id, key, n, place }) => ({ params: { place }, value: { id, key, n } }))
  const all = way === "all"
    ? Effect.map(Publisher.publishAll(keyed, items, { ...options, chunk }), (receipts) => receipts.length)
    : Effect.map(
      Stream.run(Stream.fromIterable(items), Publisher.sink(keyed, { ...options, chunk })),
      ({ confirmed }) => confirmed
    )
  return Effect.match(all, {
    onSuccess: (count) => note(0, count, "Confirmed"),
    onFailure: (error) => {
      if (error._tag === "EncodeError") {
        throw error
      }
      // What came before the one that failed is stored; so may be what was sent together with it.
      const after = Math.floor(error.position / chunk) * chunk + chunk
      note(0, error.position, "Confirmed")
      note(error.position, error.position + 1, error.outcome)
      note(error.position + 1, after, "Ambiguous")
    }
  })
}
