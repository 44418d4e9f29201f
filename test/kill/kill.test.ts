/** A short slice of `npm run kill`: one kill at each step. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run } from "./kill.ts"
import { steps } from "./steps.ts"

describe("a worker that is killed between a failure and its settlement", () => {
  it.live(
    "leaves one letter of each message that fails, loses nothing, and settles nothing unhandled",
    () =>
      Effect.gen(function*() {
        const { calls, kills, messages, wrong } = yield* run(steps.length)
        assert.deepStrictEqual(wrong, [])
        assert.deepStrictEqual(Object.values(kills), steps.map(() => 1))
        assert.isAtLeast(calls, messages)
      }),
    90_000
  )
})
