/** What happens to the broker while everybody works: plain data, and how it is done. */
import * as Effect from "effect/Effect"
import * as Memory from "../../src/layers/Memory.ts"
import type { Purge } from "../../src/Transport.ts"
import type { Dice } from "./dice.ts"
import { STREAM, subjects } from "./names.ts"
import type { Recorder } from "./recorder.ts"
import * as stored from "./stored.ts"

/** One thing that happens, and when. */
export type Happening =
  & { readonly atMs: number }
  & (
    | { readonly what: "deleteConsumer"; readonly consumer: string }
    | { readonly what: "purge"; readonly purge: Purge }
    /** The message at this place of what is stored then, from 0 to 1. */
    | { readonly what: "deleteMessage" | "corrupt"; readonly place: number }
    | { readonly what: "stepDown" | "restart" | "cutAll"; readonly forMs: number }
  )

const KINDS = ["deleteConsumer", "purge", "deleteMessage", "corrupt", "stepDown", "restart", "cutAll"] as const

/** Some happenings, in the order of their times; often none. */
export const draw = (dice: Dice, consumers: ReadonlyArray<string>, withinMs: number): ReadonlyArray<Happening> => {
  const count = dice.chance(0.5) ? 0 : dice.int(1, 4)
  const drawn = Array.from({ length: count }, () => one(dice, consumers, dice.int(1, withinMs)))
  return drawn.filter((happening) => happening !== undefined).sort((a, b) => a.atMs - b.atMs)
}

/** Does it, and writes down what went with it. */
export const happen = (recorder: Recorder, happening: Happening): Effect.Effect<void, never, Memory.Broker> =>
  Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const before = yield* stored.all(broker)
    recorder.happened(happening)
    yield* Effect.ignore(done(broker, happening, before))
    const left = new Set((yield* stored.all(broker)).map(({ sequence }) => sequence))
    for (const { id, sequence } of before.filter((message) => !left.has(message.sequence))) {
      recorder.events.push({ _tag: "removed", at: recorder.now, sequence, id })
    }
    if ("forMs" in happening) {
      yield* Effect.sleep(happening.forMs)
      if (happening.what === "cutAll") {
        yield* broker.reconnect
      }
      recorder.over(happening)
    }
  })

// internals

const done = (
  broker: Memory.Broker["Service"],
  happening: Happening,
  before: ReadonlyArray<stored.Kept>
): Effect.Effect<unknown, unknown> => {
  switch (happening.what) {
    case "deleteConsumer":
      return broker.topology.deleteConsumer(STREAM, happening.consumer)
    case "purge":
      return broker.topology.purgeStream(STREAM, happening.purge)
    case "deleteMessage":
    case "corrupt": {
      const { sequence } = before[Math.floor(happening.place * before.length)] ?? { sequence: 0 }
      return happening.what === "corrupt"
        ? broker.corrupt(STREAM, sequence)
        : broker.topology.deleteMessage(STREAM, sequence)
    }
    case "stepDown":
      return broker.stepDown(STREAM, { electionTime: happening.forMs })
    case "restart":
      return broker.restart({ downFor: happening.forMs })
    case "cutAll":
      return broker.disconnect
  }
}

const one = (dice: Dice, consumers: ReadonlyArray<string>, atMs: number): Happening | undefined => {
  const what = dice.pick(KINDS)
  switch (what) {
    case "deleteConsumer":
      return consumers.length === 0 ? undefined : { atMs, what, consumer: dice.pick(consumers) }
    case "purge":
      return { atMs, what, purge: purge(dice) }
    case "deleteMessage":
    case "corrupt":
      return { atMs, what, place: dice.next() }
    default:
      return { atMs, what, forMs: dice.pick([50, 500, 4_000]) }
  }
}

const purge = (dice: Dice): Purge => ({
  ...(dice.chance(0.5) ? { filter: dice.pick(subjects) } : {}),
  ...(dice.chance(0.4) ? { upTo: dice.int(1, 60) } : dice.chance(0.4) ? { keep: dice.int(0, 10) } : {})
})
