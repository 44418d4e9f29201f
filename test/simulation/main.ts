/**
 * `npm run simulate -- --seed S --runs N --json`
 *
 * Runs N seeds, beginning with S, on two threads (`--workers`). Exits with 1 if one of them failed.
 */
import { parseArgs } from "node:util"
import { whole } from "../support/whole.ts"
import { inOrder, Pool } from "./pool.ts"
import { type Result, shrink } from "./run.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "100" },
    workers: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
    shrink: { type: "boolean", default: true }
  },
  allowNegative: true
})

/** A run takes some 30 ms; on a machine that is busy, a hundred times that. */
const HANGS_AFTER_MS = 30_000

const from = whole("seed", values.seed, 0)
const runs = whole("runs", values.runs, 1)
const workers = whole("workers", values.workers, 1)
const began = performance.now()
const pool = new Pool({ workers: Math.min(workers, runs), hangsAfterMs: HANGS_AFTER_MS })
const say = (line: string) => void process.stderr.write(`${line}\n`)

const report = async ({ faults, seed, wrong }: Result): Promise<void> => {
  say(`\nseed ${seed} failed; replay it with: npm run simulate -- --seed ${seed} --runs 1`)
  for (const line of wrong) {
    say(`  ${line}`)
  }
  if (!values.shrink) {
    return
  }
  const few = await shrink(faults, async (mishaps) => (await pool.run({ seed, mishaps })).wrong.length > 0)
  say(`  ${few.length} of ${faults.length} faults are enough:`)
  for (const mishap of few.slice(0, 40)) {
    say(`    ${JSON.stringify(mishap)}`)
  }
}

const failed: Array<number> = []
let done = 0
let messages = 0
let faults = 0
await inOrder(pool, { from, runs, ahead: workers * 8 }, async (result) => {
  done++
  messages += result.messages
  faults += result.faults.length
  if (result.wrong.length > 0) {
    failed.push(result.seed)
    await report(result)
  }
  if (process.stderr.isTTY) {
    process.stderr.write(`\r${done} of ${runs} seeds, ${failed.length} failed`)
  }
  if (runs === 1) {
    say(`trace ${result.hash}`)
  }
})
await pool.close()
const ms = Math.round(performance.now() - began)
if (process.stderr.isTTY) {
  say("")
}
process.stdout.write(
  values.json
    ? `${JSON.stringify({ runs, failed: failed.length, seeds: failed, messages, faults, ms })}\n`
    : `${runs} seeds, ${failed.length} failed, ${messages} messages, ${faults} faults, ${ms} ms\n`
)
process.exitCode = failed.length > 0 ? 1 : 0
