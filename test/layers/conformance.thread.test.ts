import { afterAll } from "@effect/vitest"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import { TransportTest } from "../../src/testing/index.ts"
import { breakable } from "../support/breakable.ts"
import { start } from "../support/nats-server.ts"

const layer = (servers: string) => NatsThread.layer({ servers })

const server = await start()
afterAll(() => server.stop())
TransportTest.suite(`a thread with nats-server ${server.version}`, layer(server.url), {
  clock: "live",
  breakable: breakable(server, layer)
})
