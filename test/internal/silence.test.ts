/** For how long nobody has answered. */
import { assert, describe, it } from "@effect/vitest"
import { Silence } from "../../src/internal/silence.ts"

describe("a silence", () => {
  it("begins with the first question, and lasts however often it is asked again", () => {
    const silence = new Silence()
    assert.strictEqual(silence.millis(5_000), 0, "nothing was asked")
    silence.asked(5_000)
    silence.asked(6_000)
    assert.strictEqual(silence.millis(7_500), 2_500)
  })

  it("is broken by a word: another one begins, if more has to come", () => {
    const silence = new Silence()
    silence.asked(0)
    silence.broken(1_000, true)
    assert.strictEqual(silence.millis(1_400), 400)
    silence.broken(2_000, false)
    assert.strictEqual(silence.millis(60_000), 0)
    silence.asked(60_000)
    silence.end()
    assert.strictEqual(silence.millis(70_000), 0)
  })
})
