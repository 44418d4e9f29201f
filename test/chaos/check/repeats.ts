/** C4: a handler runs again only because of a fault, or because it held on to a message for longer than the ack wait. */
import type { FaultKind } from "../kinds.ts"
import { type Call, type Fault, nameOf, type Run } from "./Run.ts"

export interface Bounds {
  /** How many deliveries may be unanswered at once: so many a fault may repeat. */
  readonly inFlight: number
  readonly ackWaitMs: number
}

export interface Repeats {
  readonly calls: number
  /** Effects beyond one for each message. */
  readonly effects: number
  readonly unexplained: ReadonlyArray<string>
  readonly perFault: ReadonlyMap<Fault, number>
}

/** An ack that was written is with the server, and what it knows of it in the hands of its system, after so long. */
const SETTLED_MS = 500
/** A connection that went without a word swallows what is written into it until that is found out. */
const FOUND_OUT_MS = 3_500
const WITHOUT_A_WORD: ReadonlySet<FaultKind> = new Set<FaultKind>(["halfOpen", "halfOpenUp", "halfOpenDown", "garble"])
/** A fault that lets everything through, and stops nobody. */
const HARMLESS: ReadonlySet<FaultKind> = new Set<FaultKind>(["hold"])

export const repeats = (run: Run, bounds: Bounds): Repeats => {
  const perFault = new Map<Fault, number>()
  const unexplained: Array<string> = []
  let calls = 0
  let effects = 0
  for (const message of run.messages.values()) {
    effects += Math.max(0, message.made - 1)
    const sorted = message.calls.toSorted((a, b) => a.from - b.from)
    for (let index = 1; index < sorted.length; index++) {
      calls++
      const [before, again] = [sorted[index - 1]!, sorted[index]!]
      const fault = run.faults.find((fault) => explains(fault, before, again))
      if (fault !== undefined) {
        perFault.set(fault, (perFault.get(fault) ?? 0) + 1)
      } else if (!diedWith(run, before, again) && !wasSlow(before, bounds)) {
        unexplained.push(
          `C4: ${nameOf(message)} (${before.seq}) was handled again `
            + `${
              (again.from - (before.until ?? before.from)).toFixed(0)
            } ms after it was done, and no fault explains it`
        )
      }
    }
  }
  for (const [fault, count] of perFault) {
    if (count > bounds.inFlight) {
      unexplained.push(
        `C4: fault ${fault.no} (${fault.kind}) cannot have repeated ${count}: ${bounds.inFlight} were on their way`
      )
    }
  }
  return { calls, effects, unexplained, perFault }
}

/** Whether the verdict on a call may have been on its way when the fault began, or until it was over. */
const explains = (fault: Fault, before: Call, again: Call): boolean =>
  !HARMLESS.has(fault.kind)
  && fault.from <= (before.until ?? again.from) + SETTLED_MS
  && fault.from <= again.from
  && (fault.healed ?? Number.POSITIVE_INFINITY) + (WITHOUT_A_WORD.has(fault.kind) ? FOUND_OUT_MS : SETTLED_MS)
    >= before.from

const diedWith = (run: Run, before: Call, again: Call): boolean => {
  const gone = run.workers.get(before.worker)?.gone?.at ?? Number.POSITIVE_INFINITY
  return gone <= again.from && gone <= (before.until ?? gone) + SETTLED_MS
}

const wasSlow = (before: Call, { ackWaitMs }: Bounds): boolean =>
  before.until !== undefined && before.until - before.from >= ackWaitMs
