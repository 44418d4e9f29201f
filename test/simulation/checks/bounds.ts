/** C7: nobody holds more than the declared capacity. The world watches, and writes down where it was passed. */
import type { Check } from "../history.ts"

export const bounds: Check = ({ events }) =>
  events.flatMap((event) => event._tag === "bound" ? [`C7: ${event.group} at ${event.at}: ${event.what}`] : [])
