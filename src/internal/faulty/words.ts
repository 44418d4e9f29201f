/** The plain data of faults; `layers/Faulty` publishes it. */

/**
 * What a fault does.
 *
 * | kind | what the program sees | what the broker did |
 * | --- | --- | --- |
 * | `refusePublish` | `NotSent` | nothing |
 * | `losePublish` | `Ambiguous` | nothing |
 * | `loseReceipt` | `Ambiguous` | stored it |
 * | `refuseOpen` | `open` fails with `Disconnected` | nothing |
 * | `slowTake` | `take` answers late | delivered in time |
 * | `lateDelivery` | deliveries arrive late, in order | delivered in time |
 * | `reorder` | a delivery arrives after later ones | delivered in order |
 * | `endTake` | `take` fails with `Disconnected`, for good | is told that the reader left |
 * | `loseVerdict` | a verdict handed over | never hears it, and delivers again after the ack wait |
 * | `repeatDelivery` | a verdict handed over | forgets it, and delivers again within the delay |
 * | `lateVerdict` | a verdict handed over | hears it late |
 * | `disconnect` | the connection breaks, and comes back | sees the client leave |
 *
 * @category models
 * @since 0.1.0
 */
export type Kind =
  | "refusePublish"
  | "losePublish"
  | "loseReceipt"
  | "refuseOpen"
  | "slowTake"
  | "lateDelivery"
  | "reorder"
  | "endTake"
  | "loseVerdict"
  | "repeatDelivery"
  | "lateVerdict"
  | "disconnect"

/**
 * What faults meet: each message of a publish, each `open`, each `take`, each verdict.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = "publish" | "open" | "take" | "settle"

/**
 * One fault at one place: the `at`-th operation of its sort, from 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fault {
  readonly operation: Operation
  readonly at: number
  readonly kind: Kind
  /** For kinds that last: how long, in milliseconds. */
  readonly delayMs: number
}

/**
 * A fault that happened.
 *
 * @category models
 * @since 0.1.0
 */
export interface Injected extends Fault {
  /** When, in milliseconds of the program's clock. */
  readonly atMs: number
  /** What it met: a subject for a publish, else `stream consumer`, and for a verdict the message's sequence. */
  readonly what: string
}

/**
 * When faults happen. Plain data: it can be printed, kept, and played again.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan =
  | {
    readonly _tag: "random"
    readonly seed: number
    /** How likely each kind is at each operation that it can meet, from 0 to 1. What is left out never happens. */
    readonly rates: Partial<Readonly<Record<Kind, number>>>
    /** How long kinds that last may take at most, in milliseconds. */
    readonly delayMs: number
  }
  | { readonly _tag: "nth"; readonly n: number; readonly delayMs: number }
  | { readonly _tag: "listed"; readonly faults: ReadonlyArray<Fault> }
