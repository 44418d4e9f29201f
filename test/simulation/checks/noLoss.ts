/** C1: what was confirmed is in the stream, and everything there was done, given up, or dropped as the policy says. */
import { type Check, closingsOf, done } from "../history.ts"
import { isAtLeastOnce } from "../scenario.ts"

export const noLoss: Check = (history) => {
  const wrong: Array<string> = []
  const stored = new Set(history.stored.map((message) => message.id))
  for (const event of history.events) {
    if (event._tag === "sent" && event.outcome === "Confirmed" && !stored.has(event.id)) {
      wrong.push(`C1: ${event.id} was confirmed and is not in the stream`)
    }
  }
  for (const group of history.scenario.groups) {
    const seen = done(history, group.name)
    const missing = history.stored.filter((message) => !seen.has(message.sequence)).map((message) => message.sequence)
    const closings = closingsOf(history, group.name)
    const displaced = closings.reduce((sum, { ledger }) => sum + ledger.displaced, 0)
    // With at most once, what a reader held when it left is gone.
    const mayGo = isAtLeastOnce(group) ? displaced : displaced + closings.length * group.queue.messages * 8
    if (missing.length > mayGo) {
      wrong.push(`C1: ${group.name} never finished ${missing.join(",")}, and only ${mayGo} may be missing`)
    }
  }
  return wrong
}
