/**
 * The mutant that this process runs with, told by the environment, and the proof that it did: a file that is written when
 * the broken source is loaded.
 */
import { appendFileSync } from "node:fs"
import { join } from "node:path"
import { mutants } from "./catalogue.ts"
import { costs } from "./catalogue/costs.ts"
import { live } from "./catalogue/live.ts"
import { type Mutant, mutate, root } from "./Mutant.ts"

export const NAME = "SLUICE_MUTANT"
export const HITS = "SLUICE_MUTANT_HITS"

export interface Active {
  /** The absolute path of the file that is broken. */
  readonly path: string
  /** What is loaded in its place. */
  readonly broken: (source: string) => string
}

/** Nothing if the program runs as it is. */
export const active = (): Active | undefined => {
  const name = process.env[NAME]
  if (name === undefined) {
    return undefined
  }
  const mutant: Mutant | undefined = [...mutants, ...live, ...costs].find((one) => one.name === name)
  const hits = process.env[HITS]
  if (mutant === undefined || hits === undefined) {
    throw new Error(`${NAME} is ${name}: there is no such mutant, or ${HITS} is missing`)
  }
  return {
    path: join(root, mutant.file),
    broken: (source) => {
      const broken = mutate(mutant, source)
      appendFileSync(hits, `${mutant.name}\n`)
      return broken
    }
  }
}
