/** I5: a handler never starts on a lease that is lost: nobody begins a delivery when a later one of it has begun. */
import { lostLease } from "../explanations.ts"
import { begun, type Check, type History } from "../history.ts"
import type { Group } from "../scenario.ts"

export const leases: Check = (history) => {
  const wrong: Array<string> = []
  for (const group of history.scenario.groups) {
    const latest = new Map<number, number>()
    const countsAnew = whenCountsBegin(history, group)
    for (const call of begun(history, group.name)) {
      const { at, delivery, replica, sequence } = call
      const last = latest.get(sequence) ?? 0
      if (delivery < last && at < countsAnew && !lostLease(history, group, call)) {
        wrong.push(`I5: ${group.name}/${replica} began delivery ${delivery} of ${sequence} at ${at}, after ${last}`)
      }
      latest.set(sequence, Math.max(delivery, last))
    }
  }
  return wrong
}

/** From when on there is another consumer, which counts from one, while a reader may yet have what the old one gave. */
const whenCountsBegin = ({ events }: History, { name, source }: Group): number => {
  const isIts = (group: string | undefined) => group === name
  const anew = events.filter((event) =>
    (event._tag === "happened" && event.what === "deleteConsumer" && isIts(event.group))
    || (source !== "durable" && event._tag === "happened" && event.what === "restart")
  )
  const opened = events.filter((event) => event._tag === "opened" && isIts(event.group))
  // A source of one's own is another one with each opening.
  const again = source === "durable" ? undefined : opened[1]
  return Math.min(...[...anew, ...(again === undefined ? [] : [again])].map(({ at }) => at))
}
