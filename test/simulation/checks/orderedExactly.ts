/** C5: from its beginning an ordered reader sees each message once, in order, and skips nothing that is there. */
import { type Check, type History } from "../history.ts"
import type { Group } from "../scenario.ts"

export const orderedExactly: Check = (history) =>
  history.scenario.groups.filter(({ source }) => source === "ordered").flatMap((group) => wrongIn(history, group))

const wrongIn = (history: History, group: Group): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const kept = history.stored.map(({ sequence }) => sequence)
  const begins = new Map<number, number>()
  const up = new Set(
    history.events.flatMap((event) => event._tag === "givenUp" && event.group === group.name ? [event.sequence] : [])
  )
  for (const event of history.events) {
    if (event._tag === "opened" && event.group === group.name) {
      begins.set(event.replica, 0)
    }
    if (event._tag !== "began" || event.group !== group.name) {
      continue
    }
    const { replica, sequence } = event
    const last = begins.get(replica) ?? 0
    if (sequence <= last) {
      wrong.push(`C5: ${group.name} saw ${sequence} at ${event.at}, after ${last}`)
    }
    const skipped = kept.filter((one) => one > last && one < sequence && !up.has(one))
    if (skipped.length > 0) {
      wrong.push(`C5: ${group.name} skipped ${skipped.join(",")} before ${sequence}`)
    }
    begins.set(replica, sequence)
  }
  return wrong
}
