/** `npm run kill`: 200 kills between a failure and its settlement; `-- --kills N` for another number. */
import * as Effect from "effect/Effect"
import { parseArgs } from "node:util"
import { run } from "./kill.ts"

const { values } = parseArgs({ options: { kills: { type: "string", default: "200" } } })
const kills = Number(values.kills)
if (!Number.isInteger(kills) || kills < 1) {
  process.stderr.write(`--kills takes a whole number from 1, not "${values.kills}"\n`)
  process.exit(2)
}
const show = (done: number) => void (process.stderr.isTTY && process.stderr.write(`\r${done} of ${kills} kills `))
const found = await Effect.runPromise(run(kills, show))
process.stdout.write(`${JSON.stringify(found)}\n`)
process.exit(found.wrong.length === 0 ? 0 : 1)
