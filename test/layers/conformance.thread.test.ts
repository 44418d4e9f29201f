import { afterAll } from "@effect/vitest"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import { TransportTest } from "../../src/testing/index.ts"
import { start } from "../support/nats-server.ts"

const server = await start()
afterAll(() => server.stop())
TransportTest.suite(`a thread with nats-server ${server.version}`, NatsThread.layer({ servers: server.url }), {
  clock: "live"
})
