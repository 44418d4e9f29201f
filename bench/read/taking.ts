import * as Effect from "effect/Effect"
import * as Settlement from "../../src/Settlement.ts"
import type { Inlet } from "../../src/Transport.ts"
import type { Stopwatch } from "../stopwatch.ts"

/** Takes chunks as they come and acknowledges each message in them, until there were so many. */
export const takeAll = Effect.fnUntraced(
  function*(inlet: Inlet, messages: number, atOnce: number, watch: Stopwatch) {
    for (let read = 0; read < messages;) {
      const chunk = yield* inlet.take(atOnce)
      watch.seen(read)
      read += chunk.length
      yield* inlet.settle(chunk.map((delivery) => ({ delivery, settlement: Settlement.ack })))
    }
  }
)
