/** C10: a reader that leaves while it is connected leaves no lease behind: others get what it held, at once. */
import { type Check, closingsOf, type History, injected, spans } from "../history.ts"
import type { Group } from "../scenario.ts"

export const handedBack: Check = (history) =>
  history.scenario.groups.filter((group) => isAlone(history, group)).flatMap((group) =>
    history.events.flatMap((event) =>
      event._tag === "left" && event.group === group.name && event.leased > 0
        ? [`C10: replica ${event.replica} of ${group.name} left at ${event.at}, and ${event.leased} leases`]
        : []
    )
  )

/** Only where nobody else holds leases, every verdict arrives, and so does every word of it. */
const isAlone = (history: History, group: Group): boolean =>
  group.source === "durable" && group.replicas.length === 1 && closingsOf(history, group.name).length > 0
  && spans(history, group.name).length === 0
  && injected(history, group).every(({ kind, operation }) => operation !== "settle" && kind !== "disconnect")
