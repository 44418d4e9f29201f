/** All rows, in the order of their numbers, and how they are run. */
import type { Mode } from "../orders.ts"
import { changes } from "./changes.ts"
import { cluster } from "./cluster.ts"
import { connection } from "./connection.ts"
import { hostile } from "./hostile.ts"
import { limitRows } from "./limits.ts"
import { ordered } from "./ordered.ts"
import { processes } from "./process.ts"
import { least } from "./rights.ts"
import { inWords, type Row } from "./Row.ts"

export const rows: ReadonlyArray<Row> = [
  ...connection,
  ...cluster,
  ...processes,
  least,
  ...limitRows,
  ...changes,
  ordered,
  hostile
]
  .toSorted((a, b) => a.id < b.id ? -1 : 1)

export interface Result {
  readonly id: string
  readonly mode: Mode
  readonly fault: string
  readonly figure: string
  readonly measured: ReadonlyArray<string>
  readonly wrong: ReadonlyArray<string>
  readonly ms: number
}

/** By number: `T-15` is all of T-15a, b, c. Those that take very long only by their whole number. */
export const wanted = (ids: ReadonlyArray<string> | undefined): ReadonlyArray<Row> =>
  rows.filter(({ id, isOnlyNamed = false }) =>
    isOnlyNamed ? ids?.includes(id) === true : ids === undefined || ids.some((wanted) => id.startsWith(wanted))
  )

/** Runs rows, one after the other, in each of the modes. */
export const run = async (options: {
  readonly ids: ReadonlyArray<string> | undefined
  readonly modes: ReadonlyArray<Mode>
  readonly version: string | undefined
  readonly say: (line: string) => void
  readonly done: (result: Result) => void
}): Promise<void> => {
  const { done, ids, modes, say, version } = options
  for (const row of wanted(ids)) {
    for (const mode of modes) {
      const began = performance.now()
      const found = await row.run({ mode, version, say }).catch((error: unknown) => ({
        measured: [],
        wrong: [`it could not be run: ${error instanceof Error ? error.message : String(error)}`]
      }))
      const wrong = found.wrong.map(inWords)
      const result = { id: row.id, mode, fault: row.fault, figure: row.figure, measured: found.measured, wrong }
      done({ ...result, ms: Math.round(performance.now() - began) })
    }
  }
}
