/**
 * `node simulate.ts <seeds> [first]…`: runs the seeds from 1 on, after those that are tried first, and stops at the first
 * that fails; one line of JSON each.
 *
 * A process of its own, because a mutant may never give it back.
 */
import { writeSync } from "node:fs"
import { runSeed } from "../simulation/run.ts"

/** Written at once: whoever has to kill this process wants to know how far it came. */
const say = (line: object) => void writeSync(1, `${JSON.stringify(line)}\n`)

const [seeds, ...first] = process.argv.slice(2).map(Number)
const all = [...first, ...Array.from({ length: seeds! }, (_, index) => index + 1)]
say({ _tag: "loaded" })
for (const seed of all) {
  say({ _tag: "began", seed })
  const { wrong } = await runSeed(seed)
  say({ _tag: "ended", seed, wrong })
  if (wrong.length > 0) {
    break
  }
}
process.exit(0)
