/**
 * What crosses between the application's thread and the I/O thread, and what carries it.
 *
 * All of it is plain data. Whatever comes by the message (deliveries, verdicts, publishes, receipts) is packed, one buffer
 * a batch; the rest is rare, and is cloned as it is.
 */
import type { Flow } from "../../Transport.ts"
import type { PackedDeliveries, PackedOutgoing, PackedReceipts, PackedVerdicts } from "./packing.ts"
import type { PlainReason, PlainSource, PlainStatus } from "./plain.ts"
import type { SharedMemory } from "./shared.ts"
import type { Counted, Logged } from "./telling.ts"

/** One end of a port. Messages arrive in the order in which they were sent, each in a turn of its own. */
export interface Channel<In, Out> {
  readonly post: (message: Out, transfer?: ReadonlyArray<ArrayBuffer>) => void
  /** Calls back for each message from now on, until the returned function is called. */
  readonly listen: (heard: (message: In) => void) => () => void
}

/** What the application asks of the I/O thread. `call` names what is answered by `Answered` or `Refused`. */
export type Request =
  /** Where the application's pulse is, and how long without one before it counts as dead. */
  | { readonly _tag: "watch"; readonly pulse: SharedArrayBuffer; readonly maxBlockedMs: number }
  | { readonly _tag: "publish"; readonly call: number; readonly batch: PackedOutgoing }
  | {
    readonly _tag: "open"
    readonly call: number
    readonly inlet: number
    readonly source: PlainSource
    readonly flow: Flow
    readonly memory: SharedMemory
    /** The deliveries get numbers beyond this one. */
    readonly numbersFrom: number
  }
  /** Wants up to so many deliveries, as soon as there is one; and has settled others meanwhile. */
  | {
    readonly _tag: "take"
    readonly inlet: number
    readonly max: number
    readonly verdicts: PackedVerdicts | undefined
  }
  /** No longer wants what it asked for last. What is on its way is kept for the next `take`. */
  | { readonly _tag: "untake"; readonly inlet: number }
  /** `call` is 0 where nobody waits for the broker's word. */
  | { readonly _tag: "settle"; readonly call: number; readonly inlet: number; readonly verdicts: PackedVerdicts }
  | { readonly _tag: "stop"; readonly call: number; readonly inlet: number }
  | { readonly _tag: "close"; readonly call: number; readonly inlet: number }
  | { readonly _tag: "capabilities"; readonly call: number }
  | { readonly _tag: "topology"; readonly call: number; readonly method: string; readonly args: ReadonlyArray<unknown> }
  /** What the application counts, in Prometheus' words, for whoever asks when it cannot answer. */
  | { readonly _tag: "metrics"; readonly text: string }
  /** Nobody waits any more for the answer to an earlier call. */
  | { readonly _tag: "cancel"; readonly call: number }
  | { readonly _tag: "end" }

/** What the I/O thread says. */
export type Reply = Answer | Word

/** What it says to something that was asked. */
export type Answer =
  | { readonly _tag: "ready"; readonly hasTopology: boolean }
  /** The transport could not be made. */
  | { readonly _tag: "failed"; readonly reason: PlainReason }
  | { readonly _tag: "answered"; readonly call: number; readonly value: unknown }
  | { readonly _tag: "receipts"; readonly call: number; readonly receipts: PackedReceipts }
  | { readonly _tag: "refused"; readonly call: number; readonly reason: PlainReason }
  /** A defect: a bug of ours, and no reason. */
  | { readonly _tag: "died"; readonly call: number; readonly detail: string }
  | { readonly _tag: "gone" }

/** What it says unasked, or some time after it was asked. */
export type Word =
  | { readonly _tag: "deliveries"; readonly inlet: number; readonly batch: PackedDeliveries }
  /** `take` is done, or has failed for a reason. */
  | { readonly _tag: "ended"; readonly inlet: number; readonly reason: PlainReason | undefined }
  | { readonly _tag: "status"; readonly status: PlainStatus }
  | { readonly _tag: "logged"; readonly line: Logged }
  | { readonly _tag: "counted"; readonly grown: ReadonlyArray<Counted> }
  /** The application's thread was blocked for so long, and is back. */
  | { readonly _tag: "wasBlocked"; readonly millis: number }
  /** It was blocked for longer than it may: its readers are closed, and it has to open them again. */
  | { readonly _tag: "gaveBack" }
