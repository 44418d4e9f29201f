/** A deliberate breakage of the product, as data: one small slip in one file. */
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

export interface Mutant {
  readonly name: string
  /** What goes wrong, in one sentence. */
  readonly breaks: string
  /** What promises that it does not: an invariant of the design, or a server that does otherwise. */
  readonly against: `I${number}` | "server"
  /** From the project's root. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** Where a rare one shows: a seed of the simulation that is tried before all others. */
  readonly seed?: number
}

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** The broken source. A mutant whose text is not there any more, or not only once, has to be written anew. */
export const mutate = ({ file, find, name, replace }: Mutant, source: string): string => {
  const found = source.split(find).length - 1
  if (found !== 1) {
    throw new Error(`mutant ${name}: its text occurs ${found} times in ${file}, not once; write it anew`)
  }
  if (find === replace) {
    throw new Error(`mutant ${name}: it changes nothing`)
  }
  // A function, because a text may contain `$&` and its like.
  return source.replace(find, () => replace)
}

export const sourceOf = (mutant: Mutant): string => readFileSync(join(root, mutant.file), "utf8")
