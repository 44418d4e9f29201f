/** What runs in the I/O thread of `layers/NatsThread`: `layers/Nats`, served to the application, once or several times. */
import * as Effect from "effect/Effect"
import { type MessagePort, parentPort } from "node:worker_threads"
import { Monitor } from "../../internal/health/monitor.ts"
import { Vitals } from "../../internal/health/vitals.ts"
import type { Channel, Reply, Request } from "../../internal/thread/channel.ts"
import { serve } from "../../internal/thread/host.ts"
import { plain } from "../../internal/thread/plain.ts"
import { overPort } from "../../internal/thread/ports.ts"
import { loggerTo } from "../../internal/thread/telling.ts"
import type { Told } from "../../internal/thread/worker.ts"
import { Transport } from "../../Transport.ts"
import * as Nats from "../Nats.ts"
import { optionsOf, type Portable } from "./portable.ts"

const served = (health: Portable["health"], channel: Channel<Request, Reply>) =>
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

const run = (told: Portable, port: MessagePort) => {
  const channel = overPort<Request, Reply>(port)
  return served(told.health, channel).pipe(
    Effect.scoped,
    Effect.provide(Nats.layer(optionsOf(told))),
    Effect.matchEffect({
      onSuccess: () => Effect.sync(() => channel.post({ _tag: "gone" })),
      onFailure: ({ reason }) => Effect.sync(() => channel.post({ _tag: "failed", reason: plain(reason) }))
    }),
    Effect.provide(loggerTo((line) => channel.post({ _tag: "logged", line }))),
    Effect.ensuring(Effect.sync(() => port.close()))
  )
}

// A message says where to connect; it comes by no other way, because arguments and environments can be read.
parentPort!.on("message", (message: Told<Portable>) => {
  if (message === "end") {
    // Nothing else keeps the thread alive.
    parentPort!.close()
    return
  }
  const { port, told } = message
  const fiber = Effect.runFork(run(told, port))
  // Nobody is at the other end any more.
  port.once("close", () => fiber.interruptUnsafe())
})
