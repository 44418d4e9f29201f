/** C5: one reader, keys, retries in place: of a key, the next message begins when the one before is done. */
import { begun, type Check, closingsOf, ends, type History, injected, spans } from "../history.ts"
import { type Group, retries } from "../scenario.ts"

export const orderPerKey: Check = (history) => {
  const wrong: Array<string> = []
  for (const group of history.scenario.groups.filter((group) => isPromised(history, group))) {
    const first = new Map<string, number>()
    const running = new Map<string, number>()
    const how = ends(history)
    const seen = new Set<number>()
    for (const call of begun(history, group.name)) {
      const end = how.get(call.call)
      const before = running.get(call.key) ?? 0
      if (before > call.at) {
        wrong.push(`C5: ${group.name} ran two of ${call.key} at once, the second is ${call.sequence}`)
      }
      running.set(call.key, end?.at ?? Number.POSITIVE_INFINITY)
      if (!seen.has(call.sequence) && call.sequence < (first.get(call.key) ?? 0)) {
        wrong.push(`C5: ${group.name} ran ${call.sequence} of ${call.key} after ${first.get(call.key)}`)
      }
      seen.add(call.sequence)
      first.set(call.key, Math.max(call.sequence, first.get(call.key) ?? 0))
    }
  }
  return wrong
}

/** Where order is promised: nothing on the way may turn it round, and nobody else takes part. */
const isPromised = (history: History, group: Group): boolean =>
  group.keyed && group.how === "each" && closingsOf(history, group.name).length === 1
  && retries(group)
  && spans(history, group.name).length === 0
  && !history.faults.some((fault) => "kind" in fault && fault.kind === "disconnect")
  && !injected(history, group).some(({ kind }) => kind === "reorder" || kind === "endTake")
