/**
 * `npm run bench:check [-- --write] [-- --json]`
 *
 * Counts what one message costs: messages of the port, pulls, socket writes, bytes, Effects and fibers. Not how long it takes: the
 * counts are the same on any machine. Exits with 1 if one has grown beyond bench/baseline.json; `--write` makes that anew.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { compare, table } from "./compare.ts"
import { COUNTERS } from "./counters.ts"
import { type Counters, inMemory, onWire } from "./measure.ts"

const { values } = parseArgs({
  options: {
    write: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

if (values.help) {
  process.stdout.write(`npm run bench:check [-- --write] [-- --json]

Counts for each message what does not depend on the machine, and compares it with bench/baseline.json.
  --write  what is counted now is right: write it there
  --json   for machines
`)
  process.exit(0)
}

const FILE = new URL("../baseline.json", import.meta.url)
const read = (): Counters => existsSync(FILE) ? JSON.parse(readFileSync(FILE, "utf8")) as Counters : {}
const rounded = (found: Counters): Counters =>
  Object.fromEntries(
    Object.keys(COUNTERS).map((name) => [name, Number((found[name] ?? Number.NaN).toPrecision(5))] as const)
  )

const [memory, wire] = await Promise.all([inMemory(), onWire()])
const found: Counters = { ...memory, ...wire }
if (values.write) {
  writeFileSync(FILE, `${JSON.stringify(rounded(found), undefined, 2)}\n`)
}
const baseline = read()
const { better, wrong } = compare(baseline, found)
process.stdout.write(
  values.json
    ? `${JSON.stringify({ found: rounded(found), baseline, wrong, better })}\n`
    : `for each message            now  (bench/baseline.json)\n${table(baseline, found)}\n`
)
for (const line of [...better, ...wrong.map((problem) => `\n${problem}`)]) {
  process.stderr.write(`${line}\n`)
}
process.exit(wrong.length === 0 ? 0 : 1)
