/** How often something crosses between the threads: a message of the port costs what a hundred deliveries in it do. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as AckPolicy from "../../../src/AckPolicy.ts"
import * as Memory from "../../../src/layers/Memory.ts"
import * as Publisher from "../../../src/Publisher.ts"
import * as Queue from "../../../src/Queue.ts"
import * as Reader from "../../../src/Reader.ts"
import * as Topic from "../../../src/Topic.ts"
import { Transport } from "../../../src/Transport.ts"
import { behindPort } from "../../support/ported.ts"
import { createStream } from "../../support/transport.ts"

const MESSAGES = 20_000
const MOST = 0.02
const jobs = Topic.make("jobs", { schema: Schema.Number })

describe("a message at full load", () => {
  it.effect("crosses as one of fifty at least, published and read, with an ack of its own", () =>
    Effect.gen(function*() {
      let crossings = 0
      const transport = yield* behindPort(yield* Transport, () => crossings++)
      yield* Effect.gen(function*() {
        yield* createStream("JOBS", ["jobs"])
        crossings = 0
        yield* Publisher.publishAll(jobs, Array.from({ length: MESSAGES }, (_, value) => ({ value })))
        const publishing = crossings / MESSAGES
        assert.isBelow(publishing, MOST, "publishing")
        crossings = 0
        let read = 0
        yield* Effect.raceFirst(
          Reader.handle(
            jobs,
            { stream: "JOBS", consumer: "C", queue: Queue.suspend({ messages: 500 }) },
            () => Effect.sync(() => void read++)
          ),
          Effect.gen(function*() {
            while (read < MESSAGES) {
              yield* Effect.yieldNow
            }
          })
        )
        const reading = crossings / MESSAGES
        assert.isBelow(reading, MOST, "reading")
      }).pipe(Effect.provide(Layer.merge(Layer.succeed(Transport, transport), AckPolicy.onProcess)))
    }).pipe(Effect.provide(Memory.layer())))
})
