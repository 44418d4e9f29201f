/** C12: the ledgers add up, and they say what happened. */
import { begun, type Check, closingsOf, ends } from "../history.ts"
import { isAtLeastOnce } from "../scenario.ts"

export const accounting: Check = (history) => {
  const wrong: Array<string> = []
  const how = ends(history)
  for (const group of history.scenario.groups) {
    for (const { held, ledger, replica } of closingsOf(history, group.name)) {
      const sum = ledger.finished + ledger.returned + ledger.abandoned + ledger.lost + ledger.displaced
      if (sum !== ledger.delivered || held !== 0) {
        wrong.push(`C12: ${group.name}/${replica} was given ${ledger.delivered}, and accounts for ${sum}; ${held} held`)
      }
      const mine = begun(history, group.name).filter((call) => call.replica === replica)
      const ok = mine.filter((call) => how.get(call.call)?.outcome === "ok").length
      // The last batch of an interrupted reader may be done and not counted; a handler of its own cannot.
      // What a stream gives and nobody has to settle counts as soon as it is given.
      const isGiven = group.how === "stream" && !isAtLeastOnce(group)
      if ((ledger.processed > ok && !isGiven) || (group.how === "each" && ledger.processed < ok)) {
        wrong.push(`C12: ${group.name}/${replica} counts ${ledger.processed} processed, and ${ok} were`)
      }
      const up = history.events.filter((event) =>
        event._tag === "givenUp" && event.group === group.name && event.replica === replica
      ).length
      // What a stream's user settles too late, or under a policy that has settled it before, does not count.
      if (group.how === "stream" ? ledger.rejected > up : ledger.rejected + ledger.failed !== up) {
        wrong.push(`C12: ${group.name}/${replica} counts ${ledger.rejected + ledger.failed} given up, and ${up} were`)
      }
      const settled = ledger.processed + ledger.rejected + ledger.failed
      if (isAtLeastOnce(group) && ledger.finished > settled + ledger.retried) {
        wrong.push(`C12: ${group.name}/${replica} finished ${ledger.finished}, more than had an outcome`)
      }
    }
  }
  return wrong
}
