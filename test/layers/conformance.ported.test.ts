import * as Memory from "../../src/layers/Memory.ts"
import { TransportTest } from "../../src/testing/index.ts"
import { ported } from "../support/ported.ts"

TransportTest.suite("Memory behind a port", ported(Memory.layer()), { clock: "virtual", timeoutMs: 10_000 })
