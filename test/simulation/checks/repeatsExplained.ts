/** C4: a handler runs again only after a failure, an interruption, a verdict that went astray, or a lost lease. */
import { cameLate, lostLease, strayed, wasAway, wasForgotten, wasReplaced } from "../explanations.ts"
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
      if (
        failed(group, last, calls, how) || wasTaken(history, group, last, end) || cameLate(group, call)
        || wasReplaced(history, group, last, call)
        || wasForgotten(history, last, end, call)
      ) {
        continue
      }
      if (leaves(history, last, call) && (left.get(last.replica) ?? 0) > 0) {
        left.set(last.replica, left.get(last.replica)! - 1)
        continue
      }
      if (!wasAway(history, group, last, end, call) && !lostLease(history, group, last)) {
        wrong.push(`C4: ${group.name} ran ${call.sequence} again at ${call.at}, after ${last.at}, for no reason`)
      }
    }
  }
  return wrong
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

/** Whether a call failed, or the batch that it was part of. */
const failed = (group: Group, last: Began, calls: ReadonlyArray<Began>, how: ReadonlyMap<number, Ended>): boolean => {
  const ending = (call: Began) => how.get(call.call)?.outcome ?? "ok"
  return group.how === "batch"
    ? calls.some((call) => call.at === last.at && call.replica === last.replica && ending(call) !== "ok")
    : ending(last) !== "ok"
}

/** What is settled by hand is lost to the broker when its time budget is over, or when its source begins to end. */
const wasTaken = (
  { events }: History,
  { how, name, timeBudgetMs }: Group,
  last: Began,
  end: Ended | undefined
): boolean =>
  how === "stream" && (
    end === undefined || end.at - last.givenAt >= timeBudgetMs
    || events.some((event) =>
      event._tag === "closing" && event.group === name && event.replica === last.replica && event.at >= last.takenAt
      && event.at <= end.at
    )
  )
