import * as Memory from "../../src/layers/Memory.ts"
import { TransportTest } from "../../src/testing/index.ts"

TransportTest.suite("Memory", Memory.layer(), { clock: "virtual" })
