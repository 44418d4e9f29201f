/** What happened in a run, in order: all that the checks look at, and what its hash is made of. */
import type { Injected } from "../../src/layers/Faulty.ts"
import type { Ledger } from "../../src/Reader.ts"
import type { ConnectionStatus } from "../../src/Transport.ts"
import { hash } from "./dice.ts"
import type { Happening } from "./happenings.ts"
import type { Group, Scenario } from "./scenario.ts"
import type { Kept } from "./stored.ts"

export type Outcome = "ok" | "failed" | "interrupted"

export type Event =
  | {
    readonly _tag: "sent"
    readonly at: number
    readonly id: string
    readonly outcome: "Confirmed" | "NotSent" | "Ambiguous"
  }
  /** The broker has stored it, whatever its publisher heard. */
  | ({ readonly _tag: "written"; readonly at: number } & Kept)
  /** It was removed on purpose. */
  | { readonly _tag: "removed"; readonly at: number; readonly sequence: number; readonly id: string }
  /** It was removed while it was unanswered; so the server takes it, and under `ack_policy: all` all before it, for done. */
  | { readonly _tag: "covered"; readonly at: number; readonly group: string; readonly upTo: number }
  | { readonly _tag: "happened"; readonly at: number; readonly what: string; readonly group: string | undefined }
  | { readonly _tag: "over"; readonly at: number; readonly what: string }
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
    /** When the layer gave it away, and when the reader got it. */
    readonly givenAt: number
    readonly takenAt: number
    /** How many repeats the reader's layers had swallowed by then. */
    readonly swallowed: number
  }
  | { readonly _tag: "ended"; readonly at: number; readonly call: number; readonly outcome: Outcome }
  | {
    readonly _tag: "givenUp"
    readonly at: number
    readonly group: string
    readonly replica: number
    readonly sequence: number
    readonly attempts: number
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
    readonly _tag: "cut"
    readonly at: number
    readonly group: string
    readonly replica: number
    readonly swallowed: number
  }
  /** An inlet begins to close; that may take its time. */
  | {
    readonly _tag: "back" | "opened" | "closing" | "closed"
    readonly at: number
    readonly group: string
    readonly replica: number
  }
  | {
    readonly _tag: "status"
    readonly at: number
    readonly group: string
    readonly replica: number
    readonly status: ConnectionStatus["_tag"]
  }
  /** A reader has left, and the broker keeps so many leases for its group. */
  | {
    readonly _tag: "left"
    readonly at: number
    readonly group: string
    readonly replica: number
    readonly leased: number
  }
  | { readonly _tag: "healed"; readonly at: number }

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
  /** What the stream has in the end. */
  readonly stored: ReadonlyArray<Kept>
  readonly closings: ReadonlyArray<Closing>
  /** What went wrong, of both sorts. */
  readonly faults: ReadonlyArray<Injected | Happening>
  /** What was not done when the time was up; empty if everything was. */
  readonly stuck: ReadonlyArray<string>
}

/** Says what is wrong, one line each; nothing if all is well. */
export type Check = (history: History) => ReadonlyArray<string>

/** Two runs with one hash did the same: what was done and when, how readers ended, what is stored, what went wrong. */
export const hashOf = ({ closings, events, faults, stored, stuck }: History): string => {
  let state: number | undefined
  for (const [name, parts] of Object.entries({ events, stored, closings, faults, stuck })) {
    state = hash(`${name} ${parts.length}`, state)
    for (const part of parts) {
      state = hash(JSON.stringify(part), state)
    }
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

/** The faults that a group's readers met. Two groups without a durable go by the same name. */
export const injected = ({ faults }: History, { name, source }: Group): ReadonlyArray<Injected> =>
  faults.filter((fault): fault is Injected =>
    "operation" in fault && fault.what.split(" ")[1] === (source === "durable" ? name : source)
  )

/** Everything that was ever stored, by its sequence. */
export const written = ({ events }: History): ReadonlyMap<number, Extract<Event, { readonly _tag: "written" }>> =>
  new Map(events.flatMap((event) => event._tag === "written" ? [[event.sequence, event]] : []))

/** What was removed on purpose. */
export const removed = ({ events }: History): ReadonlySet<number> =>
  new Set(events.flatMap((event) => event._tag === "removed" ? [event.sequence] : []))

/** When this happened to everybody, or to this group, as spans of time. */
export const spans = ({ events }: History, group: string): ReadonlyArray<readonly [from: number, to: number]> =>
  events.flatMap((event, index) => {
    if (event._tag !== "happened" || (event.group !== undefined && event.group !== group)) {
      return []
    }
    const over = events.find((later, at) => at > index && later._tag === "over" && later.what === event.what)
    return [[event.at, over?.at ?? event.at] as const]
  })
