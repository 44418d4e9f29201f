/**
 * What a program of operations is: a stream, its consumers, and steps, as plain data.
 *
 * Every step has its place on the program's time line. Between a step and the look at what it did everything becomes
 * quiet; what the broker does by itself later (a lease that ends, a delayed return, an age) is kept away from both.
 */
import type { Policy } from "../../src/AckPolicy.ts"
import type { Settings } from "../../src/Queue.ts"
import type { Settlement } from "../../src/Settlement.ts"
import type * as Topology from "../../src/Topology.ts"

/** A message to publish. Its subject is below the stream's name. */
export interface Sent {
  readonly rest: string
  readonly id: string
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
  readonly expect: Expected | undefined
  /** Larger than the server takes. */
  readonly oversized: boolean
}

/** `lastSequence` and `lastSubjectSequence` are so far away from what is true at that moment. */
export type Expected =
  | { readonly _tag: "stream"; readonly right: boolean }
  | { readonly _tag: "lastSequence"; readonly off: number }
  | { readonly _tag: "lastSubjectSequence"; readonly off: number }

export type Reads =
  | { readonly _tag: "durable"; readonly consumer: number; readonly create: "no" | "yes" | "other" }
  | { readonly _tag: "ephemeral" | "ordered"; readonly filters: ReadonlyArray<string>; readonly start: Start }

/** As `ConsumerStart`; a time is counted from the program's beginning. */
export type Start = Topology.ConsumerStart

export type Operation =
  /** `away`: somebody else publishes, over a connection that is never cut. */
  | { readonly _tag: "publish"; readonly messages: ReadonlyArray<Sent>; readonly away: boolean }
  | {
    readonly _tag: "open"
    readonly reader: number
    readonly reads: Reads
    readonly policy: Policy
    readonly queue: Settings
    readonly timeBudgetMs: number
  }
  | { readonly _tag: "take"; readonly reader: number; readonly max: number }
  /** From the `pick`-th delivery that the reader holds, or has settled before, so many. */
  | {
    readonly _tag: "settle"
    readonly reader: number
    readonly pick: number
    readonly count: number
    readonly settlement: Settlement
    readonly stale: boolean
  }
  /** Asks for each held delivery whether its lease holds. */
  | { readonly _tag: "check"; readonly reader: number }
  | { readonly _tag: "stop"; readonly reader: number }
  | { readonly _tag: "close"; readonly reader: number }
  | { readonly _tag: "look" }
  | { readonly _tag: "cut" }
  | { readonly _tag: "mend" }
  | { readonly _tag: "createConsumer"; readonly consumer: number }
  | { readonly _tag: "deleteConsumer"; readonly consumer: number }
  | { readonly _tag: "purge" }
  /** `back` counts from the last sequence. */
  | { readonly _tag: "deleteMessage"; readonly back: number }
  | { readonly _tag: "deleteStream" }
  | { readonly _tag: "createStream" }

export interface Step {
  readonly atMs: number
  readonly operation: Operation
}

export interface Program {
  readonly seed: number
  readonly kind: Kind
  /** The stream's name and subjects are filled in by the recorder. */
  readonly stream: Topology.Stream
  readonly consumers: ReadonlyArray<Topology.Consumer>
  readonly steps: ReadonlyArray<Step>
  /** When everything is looked at for the last time: a quiet moment, too, if there is one. */
  readonly endMs: number | undefined
}

/** What time does in a program: nothing, end leases, bring back what was given back with a delay, or let things age. */
export type Kind = "still" | "leases" | "delays" | "ages"

/** From one step to the next at least; and from a step to the look at what it did. */
export const SLOT_MS = 200
export const QUIET_MS = 150
