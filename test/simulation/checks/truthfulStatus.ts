/** C9: a transport says that it is cut off for as long as it is, and that it is connected when it is again. */
import type { Check, Event } from "../history.ts"

export const truthfulStatus: Check = ({ events, scenario }) => {
  const wrong: Array<string> = []
  const upAgain = whenUpAgain(events)
  for (const { name, replicas } of scenario.groups) {
    for (let replica = 0; replica <= replicas.length; replica++) {
      const mine = events.filter((event) => "replica" in event && event.group === name && event.replica === replica)
      mine.forEach((event, index) => {
        if (event._tag !== "cut" && event._tag !== "back") {
          return
        }
        // It is not back before the broker is, and a reader that leaves meanwhile does not learn of that.
        const from = event._tag === "back" ? upAgain(event.at) : event.at
        if (!mine.slice(index).some(({ _tag, at }) => (_tag === "opened" || _tag === "closed") && at >= from)) {
          return
        }
        const next = mine.slice(index + 1).find(({ _tag }) => _tag === "cut" || _tag === "back")
        const until = next?.at ?? Number.POSITIVE_INFINITY
        if (until - from >= 1 && !says(mine, from, event._tag === "back", until)) {
          wrong.push(`C9: replica ${replica} of ${name} is ${event._tag} at ${event.at}, and does not say so`)
        }
      })
    }
  }
  return wrong
}

/** When the broker is there (again): at this moment, or when its restarts are over. */
const whenUpAgain = (events: ReadonlyArray<Event>) => {
  const restarts = events.flatMap((event, index) => {
    if (event._tag !== "happened" || event.what !== "restart") {
      return []
    }
    const over = events.find((later, at) => at > index && later._tag === "over" && later.what === "restart")
    return [[event.at, over?.at ?? event.at] as const]
  })
  return (at: number): number => restarts.reduce((up, [from, to]) => from <= up && up < to ? to : up, at)
}

/** By then, or before it changes again. A transport that is closed meanwhile says that. */
const says = (mine: ReadonlyArray<Event>, from: number, isConnected: boolean, until: number): boolean => {
  const all = mine.filter((event) => event._tag === "status")
  const before = all.findLast((event) => event.at <= from)
  return [...(before === undefined ? [] : [before]), ...all.filter((event) => event.at >= from && event.at <= until)]
    .some(({ status }) => status === "Closed" || (status === "Connected") === isConnected)
}
