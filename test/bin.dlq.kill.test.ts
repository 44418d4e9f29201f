/** A replay that is killed halfway, and run again: on a real server, `SIGKILL` and all. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Nats from "../src/layers/Nats.ts"
import * as Reader from "../src/Reader.ts"
import { makeDlq } from "./support/letters.ts"
import * as NatsServer from "./support/nats-server.ts"
import { keyed, options, send, setUp, start } from "./support/reading.ts"
import { sluice } from "./support/sluice.ts"

/** `SLUICE_REPLAY` letters, 300 unless it says otherwise. */
const count = Number(process.env["SLUICE_REPLAY"] ?? 300)

const every = Schedule.spaced("5 millis")

describe("sluice dlq replay", () => {
  it.live("that is killed halfway and run again brings each letter back once", () =>
    Effect.gen(function*() {
      const server = yield* NatsServer.scoped({})
      const env = { NATS_URL: server.url }
      yield* Effect.gen(function*() {
        yield* Effect.all([setUp, makeDlq])
        let mended = false
        const calls: Array<number> = []
        const reader = yield* start(
          Reader.handle(keyed, { ...options, lanes: 64, maxAttempts: 1, deadLetter: true }, (job) =>
            Effect.suspend(() => {
              calls.push(job.n)
              return mended ? Effect.void : Effect.fail("no")
            }))
        )
        const numbers = Array.from({ length: count }, (_, n) =>
          n)
        for (let from = 0; from < count; from += 1_000) {
          yield* send(
            ...numbers.slice(from, from + 1_000).map((n) =>
              [`k${n}`, n] as const
            )
          )
        }
        yield* Effect.repeat(Effect.void, { until: () => reader.ledger().deadLettered === count, schedule: every })
        mended = true
        calls.length = 0
        const rate = ["dlq", "replay", "--rate", String(count / 2)]
        let kill = () => {}
        const first = yield* Effect.forkChild(Effect.promise(() =>
          sluice(rate, { env, started: (signal) => void (kill = () => signal("SIGKILL")) })
        ))
        yield* Effect.repeat(Effect.void, { until: () => calls.length >= count / 2, schedule: every })
        kill()
        const killed = yield* Fiber.join(first)
        assert.strictEqual(killed.code, null, killed.stderr)
        const left = (yield* DeadLetter.list()).length
        assert.isAbove(left, 0)
        assert.isBelow(left, count)
        const again = yield* Effect.promise(() => sluice(["dlq", "replay", "--json"], { env }))
        assert.strictEqual((JSON.parse(again.stdout) as { readonly replayed: number }).replayed, left)
        yield* Effect.repeat(Effect.void, { until: () => calls.length >= count, schedule: every })
        yield* Effect.sleep("200 millis")
        assert.deepStrictEqual(calls.toSorted((a, b) => a - b), numbers)
        yield* reader.interrupt
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(Nats.layer({ servers: server.url }), AckPolicy.onProcess)))
    }).pipe(Effect.scoped), 120_000)
})
