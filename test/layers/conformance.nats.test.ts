import { afterAll } from "@effect/vitest"
import * as Nats from "../../src/layers/Nats.ts"
import { TransportTest } from "../../src/testing/index.ts"
import { breakable } from "../support/breakable.ts"
import { start, wantedVersions } from "../support/nats-server.ts"

const layer = (servers: string) => Nats.layer({ servers })

for (const version of wantedVersions()) {
  const server = await start({ version })
  afterAll(() => server.stop())
  TransportTest.suite(`nats-server ${server.version}`, layer(server.url), {
    clock: "live",
    breakable: breakable(server, layer)
  })
}
