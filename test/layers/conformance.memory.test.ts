import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Memory from "../../src/layers/Memory.ts"
import { TransportTest } from "../../src/testing/index.ts"

const breakable = Effect.flatMap(
  Layer.build(Memory.brokerLayer()),
  (context) => Context.get(context, Memory.Broker).connect
)

TransportTest.suite("Memory", Memory.layer(), { clock: "virtual", breakable, timeoutMs: 10_000 })
