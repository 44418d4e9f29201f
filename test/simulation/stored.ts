/** What the stream has, seen past all clients. */
import * as Effect from "effect/Effect"
import type * as Memory from "../../src/layers/Memory.ts"
import { STREAM } from "./names.ts"

/** A message as the stream has it. */
export interface Kept {
  readonly sequence: number
  readonly id: string
  readonly subject: string
}

const decoder = new TextDecoder()

/** Everything that is there now, in order. */
export const all = (broker: Memory.Broker["Service"]): Effect.Effect<ReadonlyArray<Kept>> =>
  Effect.map(Effect.orDie(broker.messages(STREAM)), (messages) =>
    messages.map(({ payload, sequence, subject }) => ({
      sequence,
      subject,
      id: idOf(payload)
    })))

/** What a message is called, also one that cannot be decoded, or was corrupted: then every bit is the other one. */
export const idOf = (payload: Uint8Array): string => idIn(payload) ?? idIn(payload.map((byte) => byte ^ 0xff)) ?? ""

const idIn = (payload: Uint8Array): string | undefined => /"id":"([^"]*)"/.exec(decoder.decode(payload))?.[1]
