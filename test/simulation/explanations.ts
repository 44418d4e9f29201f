/** Why the broker may have delivered a message again although its reader did its part. */
import { type Began, type Ended, type History, injected, spans, written } from "./history.ts"
import type { Group } from "./scenario.ts"

/** Whose verdicts met a fault. A late one may find that its reader is cut off, and gone before it is back. */
export const strayed = (history: History, group: Group): ReadonlySet<number> =>
  new Set(
    injected(history, group)
      .filter(({ kind }) => ["loseVerdict", "repeatDelivery", "lateVerdict"].includes(kind))
      .map(({ what }) => Number(what.split(" ")[2]))
  )

/** Whether the reader of a call was cut off at a time at which its lease, or its verdict, may have been lost. */
export const wasAway = (
  history: History,
  group: Group,
  last: Began,
  end: Ended | undefined,
  next: Began
): boolean => {
  const [from, to] = [last.at - group.ackWaitMs, (end?.at ?? next.at) + group.ackWaitMs]
  let away = false
  for (const event of history.events) {
    if (event.at > next.at) {
      break
    }
    const isIts = "replica" in event && event.replica === last.replica && event.group === group.name
    if (isIts && event._tag === "cut") {
      away = true
    }
    if (isIts && event._tag === "back") {
      away = false
    }
    if (away && event.at >= from && event.at <= to) {
      return true
    }
  }
  return away || spans(history, group.name).some(([began, over]) => began <= to && over >= from && began <= next.at)
}

/** Whether the consumer was another one by then: a new one delivers what the old one knew to be done. */
export const wasReplaced = ({ events }: History, group: Group, last: Began, next: Began): boolean =>
  events.some((event) =>
    event.at >= Math.min(last.takenAt, next.takenAt) && event.at <= next.at && (
      (event._tag === "happened" && event.what === "deleteConsumer" && event.group === group.name)
      || (event._tag === "happened" && event.what === "restart" && group.source !== "durable")
      || (event._tag === "opened" && event.group === group.name && group.source !== "durable")
    )
  )

/**
 * Whether the broker was away for so long, before this call, that a lease that was renewed before must have run out.
 * Renewals have no answer, so a reader cannot know.
 */
export const lostLease = (history: History, group: Group, { at, sequence }: Began): boolean => {
  const stored = written(history).get(sequence)?.at ?? 0
  return spans(history, group.name).some(([from, to]) =>
    from >= stored && from <= at && to - from >= (group.ackWaitMs * 2) / 3
  )
}
