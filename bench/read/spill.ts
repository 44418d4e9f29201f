/** Over the disk: each message is durable before it is acknowledged, and settled by whoever takes it. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Queue from "../../src/Queue.ts"
import * as Topology from "../../src/Topology.ts"
import { Transport } from "../../src/Transport.ts"
import type { Figures, Order } from "../order.ts"
import type { Stopwatch } from "../stopwatch.ts"
import { takeAll } from "./taking.ts"

/** Until the inlet is closed, and with that all is confirmed, and nothing is left on disk. */
export const spill = (
  { inFlight, messages, stream, subject }: Order,
  watch: Stopwatch
): Effect.Effect<Figures, never, Transport> =>
  Effect.gen(function*() {
    const directory = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "sluice-bench-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
    )
    yield* Effect.scoped(Effect.gen(function*() {
      const transport = yield* Transport
      const inlet = yield* transport.open(
        {
          _tag: "durable",
          stream,
          consumer: "ours",
          create: Option.some(Topology.consumer("ours", { filters: [subject] }))
        },
        {
          queue: Queue.spill({ directory, messages: inFlight }),
          ack: { _tag: "onEnqueue" },
          timeBudgetMs: 60_000
        }
      )
      yield* takeAll(inlet, messages, inFlight, watch)
    }))
    return watch.figures()
  }).pipe(Effect.scoped, Effect.orDie)
