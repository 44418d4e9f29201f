/** A few faults on a real server, in both modes; `npm run chaos` has the many. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { unlessStandstill } from "../support/patience.ts"
import { short } from "./schedule.ts"
import { soak } from "./soak.ts"

const STEPS = {
  inline: short(["kill", "cut", "refuse", "workerKill", "workerStop"]),
  thread: short(["kill", "cut", "freeze", "block", "workerStop"])
}

describe("faults on a real server", () => {
  it.live.each(["inline", "thread"] as const)(
    "%s: nothing lost, nothing acknowledged undone, nothing twice",
    (mode) =>
      Effect.promise(async () => {
        const steps = STEPS[mode]
        const said: Array<string> = []
        const order = { seed: 0, messages: 400, faults: steps.length, nodes: 1, mode, steps, ackWaitMs: 2_000 } as const
        const found = await soak({ ...order, say: (line) => void said.push(line) })
        assert.deepStrictEqual(found.findings, [], said.join("\n"))
        assert.isAtLeast(found.published, 400)
        assert.deepInclude(found, {
          processed: found.published,
          lost: 0,
          ackedUnprocessed: 0,
          duplicateEffects: 0,
          unexplainedDuplicates: 0,
          healthLies: 0
        })
        assert.strictEqual(Object.values(found.recoveryMs).reduce((sum, { count }) => sum + count, 0), steps.length)
        // An ack wait of two seconds, and four to recover: more than a machine that stands still leaves.
      }).pipe(unlessStandstill(500)),
    150_000
  )
})
