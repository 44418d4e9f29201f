/** C6: what is acknowledged when it is enqueued is not tried again because its handler failed. */
import { lostLease, strayed, wasAway, wasForgotten, wasReplaced } from "../explanations.ts"
import { type Began, begun, type Check, ends, written } from "../history.ts"
import { comesOnce } from "../replica.ts"

export const atMostOnce: Check = (history) => {
  const wrong: Array<string> = []
  const all = written(history)
  const how = ends(history)
  for (const group of history.scenario.groups) {
    const astray = strayed(history, group)
    const before = new Map<number, Began>()
    for (const call of begun(history, group.name)) {
      const last = before.get(call.sequence)
      before.set(call.sequence, call)
      const subject = all.get(call.sequence)?.subject ?? ""
      if (last === undefined || astray.has(call.sequence) || !comesOnce(group, subject)) {
        continue
      }
      const end = how.get(last.call)
      if (
        !wasReplaced(history, group, last, call) && !wasAway(history, group, last, end, call)
        && !lostLease(history, group, last) && !wasForgotten(history, last, end, call)
      ) {
        wrong.push(
          `C6: ${group.name} ran ${call.sequence} again at ${call.at}, which was acknowledged before ${last.at}`
        )
      }
    }
  }
  return wrong
}
