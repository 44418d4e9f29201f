/** Rows of docs/reliability.md that are over in seconds, with what they promise; `npm run chaos -- rows` has them all. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { unlessStandstill } from "../support/patience.ts"
import type { Mode } from "./orders.ts"
import { rows } from "./rows/all.ts"
import { inWords, type Late } from "./rows/Row.ts"

/** And in which mode: both have faults of the line, of the server and of the consumer. */
const SHORT: ReadonlyArray<readonly [id: string, mode: Mode]> = [
  ["T-01", "inline"],
  ["T-03", "thread"],
  ["T-05", "inline"],
  ["T-18", "thread"],
  ["T-20", "inline"],
  ["T-21", "thread"],
  ["T-24", "inline"],
  ["T-33", "inline"],
  ["T-34", "thread"]
]

/**
 * What was lost, repeated or told wrongly counts as it is. A time is the machine's, too: another file of tests runs beside
 * this one, and a server, a proxy, publishers and a worker have to come to their turn one after the other. What was not
 * mended at all, or only when an ack wait or a later timer is over, misses its limit by more than this; and what has to be over
 * in a moment may take ten.
 */
const MACHINE_MS = 1_500
const MOMENTS = 10

/** A machine that stands still for longer makes everybody late, one after the other. */
const STANDSTILL_MS = 500

const isTooLate = ({ limitMs, ms }: Late): boolean => ms > limitMs + Math.min(MACHINE_MS, MOMENTS * limitMs)

describe("a single sort of fault, shortly", () => {
  it.live.each(SHORT)("%s (%s)", ([id, mode]) =>
    Effect.promise(async () => {
      const said: Array<string> = []
      const row = rows.find((one) => one.id === id)!
      const context = { mode, version: undefined, say: (line: string) => void said.push(line), isShort: true }
      const { measured, wrong } = await row.run(context)
      const broken = wrong.filter((one) => typeof one === "string" || isTooLate(one)).map(inWords)
      assert.deepStrictEqual(broken, [], [...measured, ...said].join("\n"))
      assert.isAbove(measured.length, 0)
    }).pipe(unlessStandstill(STANDSTILL_MS)), 120_000)
})
