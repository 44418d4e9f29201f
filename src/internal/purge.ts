/** Refuses a purge that the server would take for another one. */
import * as Effect from "effect/Effect"
import type { Purge } from "../Transport.ts"
import { invalid, type TransportError } from "../TransportError.ts"

/** A server takes a sequence of 0 for none, and would purge everything. */
export const checkPurge = (purge: Purge | undefined): Effect.Effect<void, TransportError> => {
  for (const [what, least] of [["upTo", 1], ["keep", 0]] as const) {
    const value = purge?.[what]
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) {
      return Effect.fail(
        invalid(what, `it must be a whole number from ${least}, not ${value}`, "Leave it out, or mend it.")
      )
    }
  }
  return Effect.void
}
