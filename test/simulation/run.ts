/** One seed: the scenario, the run, the verdict; and for a seed that fails, the fewest faults that still make it fail. */
import * as Effect from "effect/Effect"
import { checks } from "./checks/all.ts"
import { hashOf, type History, written } from "./history.ts"
import { make, type Mishap, only, type Scenario } from "./scenario.ts"
import * as World from "./World.ts"

export interface Result {
  readonly seed: number
  readonly hash: string
  /** What is wrong; nothing if all is well. */
  readonly wrong: ReadonlyArray<string>
  readonly messages: number
  readonly faults: ReadonlyArray<Mishap>
}

export const judge = (history: History): ReadonlyArray<string> =>
  Object.values(checks).flatMap((check) => check(history)).slice(0, 20)

export const runSeed = (seed: number, faults?: ReadonlyArray<Mishap>): Promise<Result> => {
  const scenario = make(seed)
  return runScenario(faults === undefined ? scenario : only(scenario, faults))
}

const runScenario = async (scenario: Scenario): Promise<Result> => {
  const { seed } = scenario
  try {
    const history = await Effect.runPromise(World.run(scenario))
    const { faults } = history
    return { seed, hash: hashOf(history), wrong: judge(history), messages: written(history).size, faults }
  } catch (error) {
    return { seed, hash: "", wrong: [`died: ${String(error)}`], messages: 0, faults: [] }
  }
}

/** Leaves out half of the faults, a quarter, an eighth … as long as the seed still fails; in a bounded number of runs. */
export const shrink = async <A>(
  faults: ReadonlyArray<A>,
  fails: (faults: ReadonlyArray<A>) => Promise<boolean>,
  runsMax = 60
): Promise<ReadonlyArray<A>> => {
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
