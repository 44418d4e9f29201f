/** C6: what fails is given up with its last attempt, neither sooner nor later. */
import { type Began, begun, type Check, ends, type History } from "../history.ts"
import { type Group, retries } from "../scenario.ts"

export const attempts: Check = (history) => {
  const wrong: Array<string> = []
  const how = ends(history)
  for (const group of history.scenario.groups.filter(isCounted)) {
    const most = retries(group) ? group.maxAttempts : 1
    const [givenUp, tried] = [whenGivenUp(history, group.name), new Map<string, number>()]
    for (const call of begun(history, group.name)) {
      // One delivery is tried again in place, and the next one goes on counting.
      const delivery = `${call.replica} ${call.sequence} ${call.delivery} ${call.takenAt}`
      const attempt = call.delivery + (tried.get(delivery) ?? 0)
      tried.set(delivery, attempt - call.delivery + 1)
      const end = how.get(call.call)
      if (end?.outcome !== "failed") {
        continue
      }
      const isOver = givenUp.has(nameOf(call, end.at))
      if (isOver !== attempt >= most) {
        wrong.push(
          `C6: ${group.name} ${isOver ? "gave up" : "kept"} ${call.sequence} after ${attempt} of ${most} attempts`
        )
      }
    }
  }
  return wrong
}

/** Where giving up can fail, a message is kept; a batch fails as a whole, and a stream's user counts. */
const isCounted = ({ giveUpFails, how }: Group): boolean => how === "each" && giveUpFails === 0

const nameOf = ({ replica, sequence }: Pick<Began, "replica" | "sequence">, at: number) =>
  `${replica} ${sequence} ${at}`

const whenGivenUp = ({ events }: History, group: string): ReadonlySet<string> =>
  new Set(
    events.flatMap((event) => event._tag === "givenUp" && event.group === group ? [nameOf(event, event.at)] : [])
  )
