/** What happened in a run, in order: all that the checks look at, and what its hash is made of. */
import type { Injected } from "../../src/layers/Faulty.ts"
import type { Ledger } from "../../src/Reader.ts"
import { hash } from "./dice.ts"
import type { Scenario } from "./scenario.ts"

export type Outcome = "ok" | "failed" | "interrupted"

export type Event =
  | {
    readonly _tag: "sent"
    readonly at: number
    readonly id: string
    readonly outcome: "Confirmed" | "NotSent" | "Ambiguous"
  }
  | {
    readonly _tag: "began"
    readonly at: number
    readonly group: string
    readonly replica: number
    readonly call: number
    readonly sequence: number
    readonly delivery: number
    readonly id: string
    readonly key: string
  }
  | { readonly _tag: "ended"; readonly at: number; readonly call: number; readonly outcome: Outcome }
  | {
    readonly _tag: "givenUp"
    readonly at: number
    readonly group: string
    readonly replica: number
    readonly sequence: number
    readonly why: string
  }
  | {
    readonly _tag: "verdict"
    readonly at: number
    readonly group: string
    readonly replica: number
    readonly sequence: number
    readonly verdict: "Ack" | "Nak" | "Term"
  }
  | { readonly _tag: "bound"; readonly at: number; readonly group: string; readonly what: string }
  | {
    readonly _tag: "cut" | "back" | "opened" | "closed"
    readonly at: number
    readonly group: string
    readonly replica: number
  }
  | { readonly _tag: "healed"; readonly at: number }

/** A message as the stream has it. */
export interface Stored {
  readonly sequence: number
  readonly id: string
  readonly subject: string
}

/** How a reader ended. */
export interface Closing {
  readonly group: string
  readonly replica: number
  readonly ledger: Ledger
  readonly held: number
}

export interface History {
  readonly scenario: Scenario
  readonly events: ReadonlyArray<Event>
  readonly stored: ReadonlyArray<Stored>
  readonly closings: ReadonlyArray<Closing>
  readonly faults: ReadonlyArray<Injected>
  /** What was not done when the time was up; empty if everything was. */
  readonly stuck: ReadonlyArray<string>
}

/** Says what is wrong, one line each; nothing if all is well. */
export type Check = (history: History) => ReadonlyArray<string>

export const hashOf = ({ closings, events, faults, stored }: History): string => {
  let state: number | undefined
  for (const part of [...events, ...stored, ...closings, ...faults]) {
    state = hash(JSON.stringify(part), state)
  }
  return (state ?? 0).toString(16).padStart(8, "0")
}

export type Began = Extract<Event, { readonly _tag: "began" }>
export type Ended = Extract<Event, { readonly _tag: "ended" }>

export const begun = ({ events }: History, group: string): ReadonlyArray<Began> =>
  events.filter((event): event is Began => event._tag === "began" && event.group === group)

/** How each call ended. */
export const ends = ({ events }: History): ReadonlyMap<number, Ended> =>
  new Map(events.filter((event): event is Ended => event._tag === "ended").map((event) => [event.call, event]))

/** What a group has processed, and given up. */
export const done = (history: History, group: string): ReadonlySet<number> => {
  const how = ends(history)
  const sequences = new Set<number>()
  for (const event of begun(history, group)) {
    if (how.get(event.call)?.outcome === "ok") {
      sequences.add(event.sequence)
    }
  }
  for (const event of history.events) {
    if (event._tag === "givenUp" && event.group === group) {
      sequences.add(event.sequence)
    }
  }
  return sequences
}

export const closingsOf = ({ closings }: History, group: string): ReadonlyArray<Closing> =>
  closings.filter((closing) => closing.group === group)

/** How often a group's consumer was opened. */
export const openings = ({ events }: History, group: string): number =>
  events.filter((event) => event._tag === "opened" && event.group === group).length
