/** What the processes of a run are told, and tell. */

/**
 * `thread` and `inline` are ours. `raw` is the vendor's client, tuned as well as it can be; `raw-default` is as its
 * documentation shows it.
 */
export const MODES = ["thread", "inline", "raw", "raw-default"] as const

export type Mode = typeof MODES[number]

export interface WorkerOrder {
  readonly _tag: "work"
  readonly mode: Mode
  readonly urls: ReadonlyArray<string>
  /** Which worker process of the run it is, from 1. */
  readonly epoch: number
  readonly journal: string
  /** Where it writes down what it says of its own health. */
  readonly health: string
  readonly effects: string
  /** How long a call takes. */
  readonly workMs: number
  /** How long every tenth call takes, if that is longer. */
  readonly slowMs: number
  readonly lanes: number
  /** How many deliveries it may hold. */
  readonly capacity: number
  readonly ackWaitMs: number
  readonly graceMs: number
  readonly healthPort: number
}

export type WorkerAct =
  /** Compute without a pause. */
  | { readonly _tag: "block"; readonly ms: number }
  /** Handlers stop before their effect until they are released. */
  | { readonly _tag: "hold"; readonly ms: number }

export interface PublisherOrder {
  readonly _tag: "publish"
  readonly mode: Mode
  readonly urls: ReadonlyArray<string>
  /** Its id, from 1. */
  readonly pub: number
  readonly journal: string
  readonly bytes: number
  /** How many messages go out together. */
  readonly chunk: number
  /** Between two chunks. */
  readonly pauseMs: number
  /** How many chunks may be under way at once. */
  readonly ahead: number
}

/** Publish up to this number; nothing goes out before. */
export interface Quota {
  readonly _tag: "upTo"
  readonly n: number
}

/** What a process says: it works; it has come so far with its quota. */
export type Said = { readonly _tag: "ready" } | {
  readonly _tag: "reached"
  readonly n: number
  readonly surfaced: number
}
