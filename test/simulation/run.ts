/** One seed: the scenario, the run, the verdict; and for a seed that fails, the fewest faults that still make it fail. */
import * as Effect from "effect/Effect"
import * as Faulty from "../../src/layers/Faulty.ts"
import { checks } from "./checks/all.ts"
import { hashOf, type History } from "./history.ts"
import { make, type Scenario } from "./scenario.ts"
import * as World from "./World.ts"

export interface Result {
  readonly seed: number
  readonly hash: string
  /** What is wrong; nothing if all is well. */
  readonly wrong: ReadonlyArray<string>
  readonly messages: number
  readonly faults: ReadonlyArray<Faulty.Fault>
}

/** Real time for a run, in ms: more than that, and it counts as hung. */
const HANGS_AFTER_MS = 20_000

export const judge = (history: History): ReadonlyArray<string> =>
  Object.values(checks).flatMap((check) => check(history)).slice(0, 20)

export const runSeed = (seed: number, faults?: ReadonlyArray<Faulty.Fault>): Promise<Result> => {
  const scenario = make(seed)
  return runScenario(faults === undefined ? scenario : { ...scenario, plan: Faulty.listed(faults) })
}

const runScenario = async (scenario: Scenario): Promise<Result> => {
  const { seed } = scenario
  const guard = new AbortController()
  const timer = setTimeout(() => guard.abort(), HANGS_AFTER_MS)
  try {
    const history = await Effect.runPromise(World.run(scenario), { signal: guard.signal })
    const { faults, stored } = history
    return { seed, hash: hashOf(history), wrong: judge(history), messages: stored.length, faults }
  } catch (error) {
    const why = guard.signal.aborted ? `hung for ${HANGS_AFTER_MS} ms` : `died: ${String(error)}`
    return { seed, hash: "", wrong: [why], messages: 0, faults: [] }
  } finally {
    clearTimeout(timer)
  }
}

/** Leaves out half of the faults, a quarter, an eighth … as long as the seed still fails; in a bounded number of runs. */
export const shrink = async (
  faults: ReadonlyArray<Faulty.Fault>,
  fails: (faults: ReadonlyArray<Faulty.Fault>) => Promise<boolean>,
  runsMax = 60
): Promise<ReadonlyArray<Faulty.Fault>> => {
  let best = faults
  let runs = 0
  if (!(await fails([...best]))) {
    return best
  }
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.length && runs < runsMax;) {
      const fewer = best.filter((_, index) => index < from || index >= from + size)
      runs++
      if (fewer.length < best.length && await fails(fewer)) {
        best = fewer
      } else {
        from += size
      }
    }
  }
  return best
}
