/** C4: a handler runs again only after a failure, an interruption, a verdict that went astray, or a lost lease. */
import { type Began, begun, type Check, closingsOf, type Ended, ends, type History } from "../history.ts"
import type { Group } from "../scenario.ts"

export const repeatsExplained: Check = (history) => {
  const wrong: Array<string> = []
  const how = ends(history)
  for (const group of history.scenario.groups) {
    const astray = strayed(history, group)
    const before = new Map<number, Began>()
    const calls = begun(history, group.name)
    const left = unacknowledged(history, group)
    for (const call of calls) {
      const last = before.get(call.sequence)
      before.set(call.sequence, call)
      if (last === undefined || astray.has(call.sequence)) {
        continue
      }
      const end = how.get(last.call)
      if (failed(group, last, calls, how)) {
        continue
      }
      if (leaves(history, last, call) && (left.get(last.replica) ?? 0) > 0) {
        left.set(last.replica, left.get(last.replica)! - 1)
        continue
      }
      if (!wasAway(history, group, last, end, call)) {
        wrong.push(`C4: ${group.name} ran ${call.sequence} again at ${call.at}, after ${last.at}, for no reason`)
      }
    }
  }
  return wrong
}

/** Whether a call failed, or the batch that it was part of. */
const failed = (group: Group, last: Began, calls: ReadonlyArray<Began>, how: ReadonlyMap<number, Ended>): boolean => {
  const ending = (call: Began) => how.get(call.call)?.outcome ?? "ok"
  return group.batch === 0
    ? ending(last) !== "ok"
    : calls.some((call) => call.at === last.at && call.replica === last.replica && ending(call) !== "ok")
}

/**
 * How many messages each reader had done and could not acknowledge when it left: `upTo` cannot, behind one that is not
 * done. The next reader gets them again.
 */
const unacknowledged = (history: History, group: Group): Map<number, number> =>
  new Map(
    closingsOf(history, group.name).map(({ ledger, replica }) => [
      replica,
      group.policy._tag === "upTo" ? ledger.unconfirmed : 0
    ])
  )

/** Whether the inlet of a call was closed before the next one. */
const leaves = ({ events }: History, { at, group, replica }: Began, next: Began): boolean =>
  events.some((event) =>
    event._tag === "closed" && event.group === group && event.replica === replica && event.at >= at
    && event.at <= next.at
  )

/** Whose verdicts met a fault. A late one may find that its reader is cut off, and gone before it is back. */
const strayed = ({ faults }: History, { name }: Group): ReadonlySet<number> => {
  const sequences = new Set<number>()
  for (const { kind, what } of faults) {
    const [, consumer, sequence] = what.split(" ")
    if (consumer === name && ["loseVerdict", "repeatDelivery", "lateVerdict"].includes(kind)) {
      sequences.add(Number(sequence))
    }
  }
  return sequences
}

/** Whether the reader of a call was cut off at a time at which its lease, or its verdict, may have been lost. */
const wasAway = ({ events }: History, group: Group, last: Began, end: Ended | undefined, next: Began): boolean => {
  let away = false
  for (const event of events) {
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
    if (away && event.at >= last.at - group.ackWaitMs && event.at <= (end?.at ?? next.at) + group.ackWaitMs) {
      return true
    }
  }
  return away
}
