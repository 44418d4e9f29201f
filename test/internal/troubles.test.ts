/** How often a broker is asked that does not answer. */
import { assert, describe, it } from "@effect/vitest"
import { Troubles } from "../../src/internal/troubles.ts"

describe("troubles", () => {
  it("make pauses of a tenth of their length, from 100 ms to 2 s, after the first", () => {
    const troubles = new Troubles()
    const pauses: Array<readonly [at: number, ms: number]> = []
    for (let now = 1_000; now < 61_000; now++) {
      if (!troubles.isPausing(now)) {
        troubles.happened(now)
        let ms = 0
        while (troubles.isPausing(now + ms)) {
          ms++
        }
        pauses.push([now - 1_000, ms])
      }
    }
    assert.deepStrictEqual(pauses[0], [0, 0], "at once the first time")
    for (const [at, ms] of pauses.slice(1)) {
      assert.approximately(ms, Math.min(2_000, Math.max(100, at / 10)), 1)
    }
    assert.isAtMost(
      Math.max(...pauses.filter(([at]) => at < 5_000).map(([, ms]) => ms)),
      500,
      "an election takes seconds"
    )
  })

  it("are over with the first good word, and so is their pause", () => {
    const troubles = new Troubles()
    troubles.happened(0)
    troubles.happened(1)
    assert.isTrue(troubles.isOn)
    assert.isTrue(troubles.isPausing(2))
    assert.isTrue(troubles.passed())
    assert.isFalse(troubles.passed(), "told once")
    assert.isFalse(troubles.isOn)
    assert.isFalse(troubles.isPausing(2))
  })
})
