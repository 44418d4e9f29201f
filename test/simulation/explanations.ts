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

/**
 * Whether the consumer was another one by then: a new one delivers what the old one knew to be done, and what others still
 * hold of the old one.
 */
export const wasReplaced = (history: History, group: Group, { sequence, at }: Began, next: Began): boolean => {
  const stored = written(history).get(sequence)?.at ?? 0
  return history.events.some((event) => {
    if (event.at < stored || event.at > next.at) {
      return false
    }
    return (event._tag === "happened" && event.what === "deleteConsumer" && event.group === group.name)
      || (event._tag === "happened" && event.what === "restart" && group.source !== "durable")
      || (event._tag === "opened" && event.group === group.name && group.source !== "durable" && event.at >= at)
  })
}

/**
 * Whether the server has forgotten the ack: a purge raises the floor above what is delivered by then, acks below it are
 * not written down, and whoever takes over knows only what is.
 */
export const wasForgotten = (history: History, { sequence }: Began, end: Ended | undefined, next: Began): boolean => {
  const stored = written(history).get(sequence)?.at ?? 0
  const acked = end?.at ?? next.at
  const happened = history.events.flatMap((event) => event._tag === "happened" ? [event] : [])
  return happened.some(({ at, what }) => what === "purge" && at >= stored && at <= acked)
    && happened.some(({ at, what }) => (what === "restart" || what === "stepDown") && at >= acked && at <= next.at)
}

/**
 * Whether the broker was away for so long, before this call, that a lease must have run out: it was last renewed up to a
 * third of it before, and next a third of it after.
 */
export const lostLease = (history: History, group: Group, { at, sequence }: Began): boolean => {
  const stored = written(history).get(sequence)?.at ?? 0
  const third = group.ackWaitMs / 3
  const merged: Array<[number, number]> = []
  for (const [from, to] of spans(history, group.name).filter(([from, to]) => to > from)) {
    const last = merged.at(-1)
    if (last !== undefined && from - last[1] <= third) {
      last[1] = Math.max(last[1], to)
    } else {
      merged.push([from, to])
    }
  }
  return merged.some(([from, to]) => to >= stored && from <= at && to - from >= third)
}

/**
 * What the server took for done under `ack_policy: all`, because a later message was removed while that was unanswered.
 * Whoever had it in his hands may have gone before it was done, and it does not come again.
 */
export const coveredByRemoval = (history: History, { name }: Group): ReadonlySet<number> => {
  const covered = new Set<number>()
  for (const event of history.events) {
    if (event._tag === "covered" && event.group === name) {
      for (const [sequence, { at }] of written(history)) {
        if (sequence < event.upTo && at <= event.at) {
          covered.add(sequence)
        }
      }
    }
  }
  return covered
}

/** What the user of a stream began when its time budget was over already: nobody asks again whether its lease holds. */
export const cameLate = (group: Group, { at, givenAt }: Began): boolean =>
  group.how === "stream" && at - givenAt >= group.timeBudgetMs
