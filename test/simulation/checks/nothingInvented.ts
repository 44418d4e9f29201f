/** C2: handlers see what was published and nothing else; what was certainly not sent never shows up; an id is stored once. */
import { begun, type Check } from "../history.ts"

export const nothingInvented: Check = (history) => {
  const wrong: Array<string> = []
  const sent = new Map<string, string>()
  for (const event of history.events) {
    if (event._tag === "sent") {
      sent.set(event.id, event.outcome)
    }
  }
  const bySequence = new Map(history.stored.map((message) => [message.sequence, message.id]))
  if (new Set(bySequence.values()).size !== bySequence.size) {
    wrong.push("C2: one id is stored more than once")
  }
  for (const id of bySequence.values()) {
    if (sent.get(id) === undefined || sent.get(id) === "NotSent") {
      wrong.push(`C2: ${id} is stored, and its publish ended as ${sent.get(id) ?? "nothing"}`)
    }
  }
  for (const group of history.scenario.groups) {
    for (const { id, sequence } of begun(history, group.name)) {
      if (bySequence.get(sequence) !== id) {
        wrong.push(
          `C2: ${group.name} saw ${id} at ${sequence}, where ${bySequence.get(sequence) ?? "nothing"} is stored`
        )
      }
    }
  }
  return wrong
}
