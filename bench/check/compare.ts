/** What was counted, against what it was when somebody last said that it is right. */
import { COUNTERS } from "./counters.ts"
import type { Counters } from "./measure.ts"

export interface Comparison {
  /** What is wrong, each with what to do. */
  readonly wrong: ReadonlyArray<string>
  /** What is cheaper than it was: worth keeping. */
  readonly better: ReadonlyArray<string>
}

const WRITE = "npm run bench:check -- --write"

export const compare = (baseline: Counters, found: Counters): Comparison => {
  const wrong: Array<string> = []
  const better: Array<string> = []
  for (const [name, { look, slack, spare }] of Object.entries(COUNTERS)) {
    const [was, is] = [baseline[name], found[name]]
    if (is === undefined || !Number.isFinite(is)) {
      wrong.push(`${name}: was not counted; bench/check/inMemory.ts and onWire.ts count`)
    } else if (was === undefined) {
      wrong.push(`${name}: ${short(is)} a message, and bench/baseline.json does not know it; ${WRITE}`)
    } else if (is - was > Math.max(was * slack, spare)) {
      wrong.push(
        `${name}: grew from ${short(was)} to ${
          short(is)
        } a message.\n  ${look}.\n  If it is worth that: ${WRITE}, and say why in the commit`
      )
    } else if (was - is > Math.max(was * slack, spare)) {
      better.push(`${name}: ${short(was)} before, now ${short(is)} a message; ${WRITE} keeps it`)
    }
  }
  const unknown = [...new Set([...Object.keys(baseline), ...Object.keys(found)])].filter((name) => !(name in COUNTERS))
  return { wrong: [...wrong, ...unknown.map((name) => `${name}: not in bench/check/counters.ts`)], better }
}

export const table = (baseline: Counters, found: Counters): string => {
  const width = Math.max(...Object.keys(COUNTERS).map((name) => name.length))
  return Object.keys(COUNTERS).map((name) =>
    `${name.padEnd(width)}  ${short(found[name]).padStart(9)}  (${short(baseline[name])})`
  ).join("\n")
}

// internals

const short = (count: number | undefined): string => count === undefined ? "–" : String(Number(count.toPrecision(4)))
