/**
 * `npm run traces -- --seed S --runs N --json`
 *
 * Compares the traces of N programs, beginning with seed S, on the broker in memory and on the newest nats-server. Exits
 * with 1 if one of them differs.
 */
import * as Effect from "effect/Effect"
import { parseArgs } from "node:util"
import { whole } from "../support/whole.ts"
import { compareAll, difference, type Other, type Outcome } from "./compare.ts"
import { make } from "./generate.ts"
import * as Server from "./server.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "300" },
    "at-once": { type: "string", default: "60" },
    retries: { type: "string", default: "2" },
    json: { type: "boolean", default: false }
  }
})

const from = whole("seed", values.seed, 0)
const runs = whole("runs", values.runs, 1)
const atOnce = whole("at-once", values["at-once"], 1)
const began = performance.now()
const say = (line: string) => void process.stderr.write(`${line}\n`)

const report = (outcome: Outcome): void => {
  if (!outcome.equal) {
    const { seed } = outcome.program
    say(`\nseed ${seed} differs; replay it with: npm run traces -- --seed ${seed} --runs 1`)
    for (const line of difference(outcome)) {
      say(`  ${line}`)
    }
  }
}

const outcomes = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const server = yield* Server.scoped
  const other: Other = (program, play) => Effect.scoped(Effect.flatMap(server.stage(program), play))
  const programs = Array.from({ length: runs }, (_, index) => make(from + index))
  return yield* compareAll(programs, { other, atOnce, retriesMax: whole("retries", values.retries, 0), onDone: report })
})))

const summary = {
  runs,
  equal: outcomes.filter(({ equal }) => equal).length,
  differ: outcomes.filter(({ equal }) => !equal).length,
  retried: outcomes.filter(({ equal, retried }) => equal && retried > 0).length,
  operations: outcomes.reduce((sum, { program }) => sum + program.steps.length, 0),
  ms: Math.round(performance.now() - began)
}
process.stdout.write(
  values.json
    ? `${JSON.stringify(summary)}\n`
    : `${Object.entries(summary).map(([name, value]) => `${value} ${name}`).join(", ")}\n`
)
process.exitCode = summary.differ > 0 ? 1 : 0
