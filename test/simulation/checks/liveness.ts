/** C8: once everything is healed, everything gets done, in bounded time. */
import type { Check } from "../history.ts"

export const liveness: Check = ({ events, stuck }) => {
  const healed = events.some((event) => event._tag === "healed")
  return [...(healed ? [] : ["C8: the safety phase did not end"]), ...stuck.map((line) => `C8: ${line}`)]
}
