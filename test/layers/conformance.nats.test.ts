import { afterAll } from "@effect/vitest"
import * as Nats from "../../src/layers/Nats.ts"
import { TransportTest } from "../../src/testing/index.ts"
import { start, wantedVersions } from "../support/nats-server.ts"

for (const version of wantedVersions()) {
  const server = await start({ version })
  afterAll(() => server.stop())
  TransportTest.suite(`nats-server ${server.version}`, Nats.layer({ servers: server.url }), { clock: "live" })
}
