/** I5: a handler never starts on a lease that is lost: nobody begins a delivery when a later one of it has begun. */
import { type Began, begun, type Check, type History } from "../history.ts"
import { type Group, isPorted } from "../scenario.ts"

export const leases: Check = (history) => {
  const wrong: Array<string> = []
  for (const group of history.scenario.groups) {
    const latest = new Map<number, Began>()
    const countsAnew = whenCountsBegin(history, group)
    for (const call of begun(history, group.name)) {
      const { at, delivery, replica, sequence } = call
      const last = latest.get(sequence)
      if (last === undefined || delivery >= last.delivery) {
        latest.set(sequence, call)
      } else if (at < countsAnew && !hasAnother(history, group, call) && !isToldLate(history, group, call, last)) {
        const before = last.delivery
        wrong.push(`I5: ${group.name}/${replica} began delivery ${delivery} of ${sequence} at ${at}, after ${before}`)
      }
    }
  }
  return wrong
}

/** Behind a port, what has run out is told every 50 ms. */
const TOLD_EVERY_MS = 50

/** Whether it ran out just now, or on the way to the port, and was not told yet. */
const isToldLate = ({ scenario }: History, group: Group, { at, givenAt, takenAt }: Began, last: Began): boolean =>
  isPorted(scenario.seed)
  && (at - last.givenAt <= TOLD_EVERY_MS
    || (at - takenAt <= TOLD_EVERY_MS && takenAt - givenAt >= group.ackWaitMs / 3))

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

/**
 * Whether the reader was cut off so long that its lease may have run out, and was given something again since. What it still
 * holds then stays the delivery that it was, with the lease of the new one.
 */
const hasAnother = ({ events }: History, { ackWaitMs, name }: Group, { at, replica, swallowed }: Began): boolean => {
  const mine = events.filter((event) =>
    (event._tag === "cut" || event._tag === "back") && event.group === name && event.replica === replica
    && event.at <= at
  )
  return mine.some((cut, index) =>
    cut._tag === "cut" && cut.swallowed < swallowed && (mine[index + 1]?.at ?? cut.at) - cut.at >= ackWaitMs / 3
  )
}
