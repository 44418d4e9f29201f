/** C1: what was confirmed was stored, nothing vanished from the stream, and readers finished everything that is there. */
import { coveredByRemoval } from "../explanations.ts"
import { type Check, closingsOf, done, type History, removed, written } from "../history.ts"
import { isAtLeastOnce } from "../scenario.ts"
import type { Kept } from "../stored.ts"

export const noLoss: Check = (history) => {
  const wrong: Array<string> = []
  const all = written(history)
  const ids = new Set([...all.values()].map(({ id }) => id))
  for (const event of history.events) {
    if (event._tag === "sent" && event.outcome === "Confirmed" && !ids.has(event.id)) {
      wrong.push(`C1: ${event.id} was confirmed and never stored`)
    }
  }
  const { retention } = history.scenario.limits
  const gone = removed(history)
  const kept = new Set(history.stored.map(({ sequence }) => sequence))
  for (const message of all.values()) {
    const { id, sequence } = message
    if (!kept.has(sequence) && !gone.has(sequence) && retention !== "workqueue" && !isDiscarded(history, message)) {
      wrong.push(`C1: ${id} was stored as ${sequence}, and is not there any more`)
    }
  }
  // Of a work queue, what was acknowledged is gone.
  const due = [...all.keys()].filter((sequence) =>
    kept.has(sequence) || (retention === "workqueue" && !gone.has(sequence))
  )
  for (const group of history.scenario.groups) {
    const seen = done(history, group.name)
    const covered = coveredByRemoval(history, group)
    const missing = due.filter((sequence) => !seen.has(sequence) && !covered.has(sequence))
    const closings = closingsOf(history, group.name)
    const displaced = closings.reduce((sum, { ledger }) => sum + ledger.displaced, 0)
    // With at most once, what a reader held when it left is gone.
    const mayGo = isAtLeastOnce(group) || group.source === "ordered"
      ? displaced
      : displaced + closings.length * group.queue.messages * 8
    if (missing.length > mayGo) {
      wrong.push(`C1: ${group.name} never finished ${missing.join(",")}, and only ${mayGo} may be missing`)
    }
  }
  return wrong
}

/** Whether the stream's limits have made way for newer ones. */
const isDiscarded = (history: History, { sequence, subject }: Kept): boolean => {
  const { discard, maxMessages, maxPerSubject } = history.scenario.limits
  const newer = [...written(history).values()].filter((other) => other.sequence > sequence)
  // A limit per subject discards what is old, whatever the stream does about the others.
  return (discard === "old" && maxMessages !== undefined && newer.length >= maxMessages)
    || (maxPerSubject !== undefined && newer.filter((other) => other.subject === subject).length >= maxPerSubject)
}
