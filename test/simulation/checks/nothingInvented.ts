/** C2: handlers see what was published and nothing else; what was certainly not sent never shows up; an id is stored once. */
import { begun, type Check, type Event, type History, written } from "../history.ts"

type Written = Extract<Event, { readonly _tag: "written" }>

export const nothingInvented: Check = (history) => {
  const wrong: Array<string> = []
  const sent = new Map<string, string>()
  for (const event of history.events) {
    if (event._tag === "sent") {
      sent.set(event.id, event.outcome)
    }
  }
  const all = written(history)
  const last = new Map<string, Written>()
  for (const message of all.values()) {
    const before = last.get(message.id)
    if (before !== undefined && !isForgotten(history, before, message)) {
      wrong.push(`C2: ${message.id} is stored as ${before.sequence}, and again as ${message.sequence}`)
    }
    last.set(message.id, message)
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

/** A server that is restarted learns the ids anew, from the messages that are left: one that is done and gone it forgets. */
const isForgotten = ({ events, stored }: History, before: Written, again: Written): boolean =>
  !stored.some(({ sequence }) => sequence === before.sequence)
  && events.some((event) =>
    event._tag === "happened" && event.what === "restart" && event.at >= before.at && event.at <= again.at
  )
