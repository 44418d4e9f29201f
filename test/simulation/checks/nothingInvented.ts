/** C2: handlers see what was published and nothing else; what was certainly not sent never shows up; an id is stored once. */
import { begun, type Check, written } from "../history.ts"

export const nothingInvented: Check = (history) => {
  const wrong: Array<string> = []
  const sent = new Map<string, string>()
  for (const event of history.events) {
    if (event._tag === "sent") {
      sent.set(event.id, event.outcome)
    }
  }
  const all = written(history)
  if (new Set([...all.values()].map(({ id }) => id)).size !== all.size) {
    wrong.push("C2: one id is stored more than once")
  }
  for (const { id } of all.values()) {
    if (sent.get(id) === undefined || sent.get(id) === "NotSent") {
      wrong.push(`C2: ${id} is stored, and its publish ended as ${sent.get(id) ?? "nothing"}`)
    }
  }
  const isIt = (sequence: number, id: string) => all.get(sequence)?.id === id
  for (const { id, sequence } of history.stored.filter((message) => !isIt(message.sequence, message.id))) {
    wrong.push(`C2: the stream has ${id} at ${sequence}, where ${all.get(sequence)?.id ?? "nothing"} was stored`)
  }
  for (const group of history.scenario.groups) {
    for (const { id, sequence } of begun(history, group.name).filter((call) => !isIt(call.sequence, call.id))) {
      wrong.push(`C2: ${group.name} saw ${id} at ${sequence}, where ${all.get(sequence)?.id ?? "nothing"} was stored`)
    }
  }
  return wrong
}
