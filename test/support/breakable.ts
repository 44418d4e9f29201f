/** A transport whose connection a test can cut: with a proxy in front of its server. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Transport } from "../../src/Transport.ts"
import * as Proxy from "./proxy.ts"

export const breakable = <E>(
  server: { readonly host: string; readonly port: number },
  layer: (url: string) => Layer.Layer<Transport, E>
) =>
  Effect.gen(function*() {
    const proxy = yield* Proxy.scoped(server)
    const context = yield* Layer.build(layer(proxy.url))
    return {
      transport: Context.get(context, Transport),
      disconnect: Effect.promise(async () => {
        await proxy.refuse(true)
        await proxy.cut()
      }),
      reconnect: Effect.promise(() => proxy.refuse(false))
    }
  })
