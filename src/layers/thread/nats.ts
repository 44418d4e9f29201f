/** What runs in the I/O thread of `layers/NatsThread`: `layers/Nats`, served to the application. */
import * as Effect from "effect/Effect"
import { parentPort } from "node:worker_threads"
import { Monitor } from "../../internal/health/monitor.ts"
import { Vitals } from "../../internal/health/vitals.ts"
import type { Reply, Request } from "../../internal/thread/channel.ts"
import { serve } from "../../internal/thread/host.ts"
import { plain } from "../../internal/thread/plain.ts"
import { overPort } from "../../internal/thread/ports.ts"
import { loggerTo } from "../../internal/thread/telling.ts"
import { Transport } from "../../Transport.ts"
import * as Nats from "../Nats.ts"
import { optionsOf, type Portable } from "./portable.ts"

const channel = overPort<Request, Reply>(parentPort!)

const served = (health: Portable["health"]) =>
  Effect.gen(function*() {
    const transport = yield* Transport
    const vitals = new Vitals()
    if (health === undefined) {
      return yield* serve(transport, channel, vitals)
    }
    const monitor = new Monitor(transport, vitals, () => Date.now())
    yield* monitor.watch
    const { listen } = yield* Effect.promise(() => import("../../internal/health/endpoint.ts"))
    yield* listen(health, () => monitor.report(), vitals)
    yield* serve(monitor.transport, channel, vitals)
  })

const run = (told: Portable) =>
  served(told.health).pipe(
    Effect.scoped,
    Effect.provide(Nats.layer(optionsOf(told))),
    Effect.matchEffect({
      onSuccess: () => Effect.sync(() => channel.post({ _tag: "gone" })),
      onFailure: ({ reason }) => Effect.sync(() => channel.post({ _tag: "failed", reason: plain(reason) }))
    }),
    Effect.provide(loggerTo((line) => channel.post({ _tag: "logged", line }))),
    // Nothing else keeps the thread alive.
    Effect.ensuring(Effect.sync(() => parentPort!.close()))
  )

// The first message says where to connect; it comes by no other way, because arguments and environments can be read.
parentPort!.once("message", (told: Portable) => {
  Effect.runFork(run(told))
})
