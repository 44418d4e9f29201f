import { afterAll } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Nats from "../../src/layers/Nats.ts"
import { TransportTest } from "../../src/testing/index.ts"
import { Transport } from "../../src/Transport.ts"
import { start, wantedVersions } from "../support/nats-server.ts"
import * as Proxy from "../support/proxy.ts"

for (const version of wantedVersions()) {
  const server = await start({ version })
  afterAll(() => server.stop())
  const breakable = Effect.gen(function*() {
    const proxy = yield* Proxy.scoped(server)
    const context = yield* Layer.build(Nats.layer({ servers: proxy.url }))
    return {
      transport: Context.get(context, Transport),
      disconnect: Effect.promise(async () => {
        await proxy.refuse(true)
        await proxy.cut()
      }),
      reconnect: Effect.promise(() => proxy.refuse(false))
    }
  })
  const layer = Nats.layer({ servers: server.url })
  TransportTest.suite(`nats-server ${server.version}`, layer, { clock: "live", breakable })
}
