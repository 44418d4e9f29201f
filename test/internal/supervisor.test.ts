/** How long a connection that is lost waits between attempts to connect again. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { backoff } from "../../src/internal/nats/supervisor.ts"
import { because, Disconnected } from "../../src/TransportError.ts"

const JITTER = 1.2
const error = because(new Disconnected({ detail: "lost" }))

/** Each pause of an outage of this length, and when it begins. */
const pauses = (outageMs: number) =>
  Effect.gen(function*() {
    const step = yield* Schedule.toStep(backoff)
    const all: Array<{ readonly at: number; readonly ms: number }> = []
    for (let at = 0; at < outageMs;) {
      const [, delay] = yield* Effect.orDie(step(at, error))
      const ms = Duration.toMillis(delay)
      all.push({ at, ms })
      at += ms
    }
    return all
  })

describe("the pauses between attempts to connect again", () => {
  it.effect("are a tenth of the outage so far, from 100 ms to 2 s, and never end", () =>
    Effect.gen(function*() {
      const all = yield* pauses(600_000)
      for (const { at, ms } of all) {
        const wanted = Math.min(2_000, Math.max(100, at / 10 + 100))
        assert.isAtMost(ms, wanted * JITTER * 1.15, `at ${at}`)
        assert.isAtLeast(ms, 100 / JITTER - 4, `at ${at}`)
      }
      assert.isAbove(all.at(-1)!.ms, 1_500, "in the end it is patient")
    }))

  it.effect("after an outage of 5 s, none is longer than a second", () =>
    Effect.gen(function*() {
      assert.isAtMost((yield* pauses(5_000)).at(-1)!.ms, 750)
    }))
})
