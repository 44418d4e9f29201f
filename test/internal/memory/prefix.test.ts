import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import { Broker } from "../../../src/internal/memory/broker.ts"
import * as Topology from "../../../src/Topology.ts"

it.effect("a consumer with one ack for a prefix is not set back by an old one", () =>
  Effect.gen(function*() {
    const broker = new Broker({
      clock: yield* Clock.Clock,
      scheduler: yield* Scheduler.Scheduler,
      context: yield* Effect.context<never>(),
      maxPayload: 1_024,
      absentWithinMs: 0
    })
    broker.createStream(Topology.stream("S", { subjects: ["s"] }))
    const consumer = Result.getOrThrow(broker.createConsumer("S", Topology.consumer("C", { ack: "all" })))
    for (let n = 1; n <= 6; n++) {
      broker.publish({
        subject: "s",
        id: `m${n}`,
        headers: new Uint8Array(0),
        payload: new Uint8Array(1),
        expect: undefined
      })
    }
    const ask = { messages: 6, bytes: 1_000_000, expiresAt: Number.POSITIVE_INFINITY }
    consumer.pull({ deliver: () => {}, returned: () => {}, lost: () => {} }, ask)
    consumer.pump(6)
    consumer.ack({ sequence: 3, consumerSequence: 3, deliveries: 1 })
    assert.deepInclude(consumer.info, { ackFloor: 3, ackPending: 3 })
    consumer.ack({ sequence: 1, consumerSequence: 1, deliveries: 1 })
    assert.deepInclude(consumer.info, { ackFloor: 3, ackPending: 3 })
    broker.close()
  }))
