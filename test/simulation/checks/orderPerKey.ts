/** C5: one reader, keys, retries in place: of a key, the next message begins when the one before is done. */
import { begun, type Check, closingsOf, ends, type History, injected, spans } from "../history.ts"
import { type Group, retries } from "../scenario.ts"

export const orderPerKey: Check = (history) => {
  const wrong: Array<string> = []
  for (const group of history.scenario.groups.filter((group) => isPromised(history, group))) {
    const first = new Map<string, number>()
    const running = new Map<string, number>()
    const failed = new Map<string, number>()
    const givenUp = givenUpBy(history, group.name)
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
      const waits = failed.get(call.key) ?? call.sequence
      if (waits < call.sequence) {
        wrong.push(`C5: ${group.name} ran ${call.sequence} of ${call.key} before ${waits}, which had failed`)
      }
      failed.delete(call.key)
      if (waitsForRetries(group) && end?.outcome === "failed" && !givenUp.has(call.sequence)) {
        failed.set(call.key, call.sequence)
      }
      seen.add(call.sequence)
      first.set(call.key, Math.max(call.sequence, first.get(call.key) ?? 0))
    }
  }
  return wrong
}

/** Where giving up fails, a message is kept and its key goes on; and what was handed back may be displaced. */
const waitsForRetries = ({ giveUpFails, queue }: Group): boolean => giveUpFails === 0 && queue.strategy === "suspend"

const givenUpBy = ({ events }: History, group: string): ReadonlySet<number> =>
  new Set(events.flatMap((event) => event._tag === "givenUp" && event.group === group ? [event.sequence] : []))

/** Where order is promised: nothing on the way may turn it round, and nobody else takes part. */
const isPromised = (history: History, group: Group): boolean =>
  group.keyed && group.how === "each" && closingsOf(history, group.name).length === 1
  && retries(group)
  && spans(history, group.name).length === 0
  && !history.events.some((event) => event._tag === "cut" && event.group === group.name)
  && !injected(history, group).some(({ kind }) => kind === "reorder" || kind === "endTake")
