/** C3: a reader acknowledges what it has processed, and terminates what it has given up; nothing before that. */
import type { Check } from "../history.ts"

export const ackedAfterwards: Check = ({ events, scenario }) => {
  // An ordered source knows no acks.
  const ordered = new Set(scenario.groups.flatMap(({ name, source }) => source === "ordered" ? [name] : []))
  const wrong: Array<string> = []
  const calls = new Map<number, string>()
  const processed = new Set<string>()
  const givenUp = new Set<string>()
  for (const event of events) {
    switch (event._tag) {
      case "began":
        calls.set(event.call, `${event.group} ${event.sequence}`)
        break
      case "ended":
        if (event.outcome === "ok") {
          processed.add(calls.get(event.call) ?? "")
        }
        break
      case "givenUp":
        givenUp.add(`${event.group} ${event.sequence}`)
        break
      case "verdict": {
        const what = `${event.group} ${event.sequence}`
        const cause = event.verdict === "Ack" ? processed : event.verdict === "Term" ? givenUp : undefined
        if (cause !== undefined && !cause.has(what) && !ordered.has(event.group)) {
          wrong.push(`C3: ${event.verdict} for ${what} at ${event.at} before its end`)
        }
        break
      }
      default:
    }
  }
  return wrong
}
