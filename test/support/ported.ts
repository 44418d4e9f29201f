/**
 * A transport behind a port without a thread: whatever crosses is cloned, and arrives in a turn of its own. With it, what
 * the I/O thread adds is tested on virtual time.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Vitals } from "../../src/internal/health/vitals.ts"
import type { Channel, Reply, Request } from "../../src/internal/thread/channel.ts"
import { serve } from "../../src/internal/thread/host.ts"
import type { Thread } from "../../src/internal/thread/life.ts"
import * as Remote from "../../src/internal/thread/remote.ts"
import { Transport } from "../../src/Transport.ts"

/** One end posts, the other hears it before anything else happens, but not at once. */
const channels = (crossed: () => void): readonly [Channel<Reply, Request>, Channel<Request, Reply>] => {
  const heard = [new Set<(message: never) => void>(), new Set<(message: never) => void>()] as const
  const end = (own: 0 | 1): Channel<never, Request | Reply> => ({
    post: (message, transfer = []) => {
      crossed()
      const crossing = structuredClone(message, { transfer: [...transfer] }) as never
      queueMicrotask(() => {
        for (const hear of heard[own === 0 ? 1 : 0]) {
          hear(crossing)
        }
      })
    },
    listen: (hear) => {
      heard[own].add(hear)
      return () => void heard[own].delete(hear)
    }
  })
  return [end(0), end(1)]
}

/** Nobody's event loop is watched: the time that passes here is not its. */
const unwatched = (channel: Channel<Reply, Request>): Channel<Reply, Request> => ({
  ...channel,
  post: (request, transfer) => request._tag === "watch" ? undefined : channel.post(request, transfer)
})

/** What is counted is counted already: both sides share their metrics here. */
const uncounted = (channel: Channel<Request, Reply>): Channel<Request, Reply> => ({
  ...channel,
  post: (reply, transfer) => reply._tag === "counted" ? undefined : channel.post(reply, transfer)
})

/** Ends with the scope; the transport stays. Calls back for whatever crosses. */
export const behindPort = (
  transport: Transport["Service"],
  crossed: () => void = () => {}
): Effect.Effect<Transport["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const spawn = (): Thread => {
      const [app, host] = channels(crossed)
      const served = Effect.andThen(
        Effect.scoped(serve(transport, uncounted(host), new Vitals())),
        Effect.sync(() => host.post({ _tag: "gone" }))
      )
      const fiber = Effect.runForkWith(context)(served)
      return {
        channel: unwatched(app),
        watch: (ended) => void fiber.addObserver((exit) => Exit.isFailure(exit) && ended("it failed")),
        gone: Effect.asVoid(Fiber.await(fiber))
      }
    }
    return yield* Effect.orDie(Remote.connect({ spawn, maxBlockedMs: Number.POSITIVE_INFINITY, maxRestarts: 0 }))
  })

export const ported = <E, R>(inner: Layer.Layer<Transport, E, R>): Layer.Layer<Transport, E, R> =>
  Layer.effect(Transport, Effect.flatMap(Layer.build(inner), (built) => behindPort(Context.get(built, Transport))))
