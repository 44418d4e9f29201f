/** C6: what cannot be decoded is given up and never handled; what fails is given up after its attempts, not before. */
import { coveredByRemoval } from "../explanations.ts"
import { begun, type Check } from "../history.ts"
import { comesOnce } from "../replica.ts"
import { isAtLeastOnce, retries } from "../scenario.ts"

export const poison: Check = (history) => {
  const wrong: Array<string> = []
  const { groups, publishers } = history.scenario
  const messages = publishers.flatMap((sendings) => sendings.flatMap((sending) => sending.messages))
  const broken = new Set(messages.flatMap(({ decodable, id }) => decodable ? [] : [id]))
  const subjects = new Map(history.events.flatMap((event) => event._tag === "written" ? [[event.sequence, event]] : []))
  for (const group of groups) {
    const least = retries(group) || (group.how === "stream" && isAtLeastOnce(group)) ? group.maxAttempts : 1
    const up = new Map<number, string>()
    for (const event of history.events) {
      if (event._tag !== "givenUp" || event.group !== group.name) {
        continue
      }
      up.set(event.sequence, event.why)
      const isOnce = comesOnce(group, subjects.get(event.sequence)?.subject ?? "")
      if (event.why !== "Undecodable" && !isOnce && event.attempts < least) {
        wrong.push(`C6: ${group.name} gave up ${event.sequence} after ${event.attempts} attempts of ${least}`)
      }
    }
    for (const { id, sequence } of begun(history, group.name)) {
      if (broken.has(id)) {
        wrong.push(`C6: ${group.name} handled ${sequence}, which cannot be decoded`)
      }
    }
    const covered = coveredByRemoval(history, group)
    for (const { id, sequence } of isAtLeastOnce(group) && group.queue.strategy === "suspend" ? history.stored : []) {
      if (broken.has(id) && !covered.has(sequence) && up.get(sequence) !== "Undecodable") {
        wrong.push(`C6: ${group.name} never gave up ${sequence}, which cannot be decoded`)
      }
    }
  }
  return wrong
}
