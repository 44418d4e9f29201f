/** One live line on a terminal; nothing when the output goes elsewhere. */
import * as Effect from "effect/Effect"
import type { Tally } from "./tally.ts"

export interface Progress {
  readonly end: Effect.Effect<void>
}

const WIDTH = 30

export const progress = (tally: Tally) =>
  Effect.gen(function*() {
    if (!process.stderr.isTTY) {
      return { end: Effect.void } satisfies Progress
    }
    const draw = Effect.sync(() => {
      const share = tally.read === 0 ? 0 : tally.ended / tally.read
      const bar = "█".repeat(Math.round(share * WIDTH)).padEnd(WIDTH, "░")
      process.stderr.write(`\r${bar} ${tally.ended} of ${tally.read} orders, ${tally.retried} retried `)
    })
    const clear = Effect.sync(() => process.stderr.write("\r\x1b[2K"))
    yield* Effect.addFinalizer(() => clear)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(draw, Effect.sleep("100 millis"))))
    return { end: draw } satisfies Progress
  })
