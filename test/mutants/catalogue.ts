/** All mutants, in the order of a message's way. */
import { ends } from "./catalogue/ends.ts"
import { intake } from "./catalogue/intake.ts"
import { memory } from "./catalogue/memory.ts"
import type { Mutant } from "./Mutant.ts"

export const mutants: ReadonlyArray<Mutant> = [...intake, ...ends, ...memory]
