/** What one measurement is asked for, and what it found. Each runs in a process of its own. */
import type { Workload } from "./workloads.ts"

/** Who reads: the raw client, or ours with the connection in the application's thread or in one of its own. */
export const SIDES = ["raw", "inline", "thread"] as const
export type Side = typeof SIDES[number]

export interface Order {
  readonly workload: Workload
  readonly side: Side
  readonly url: string
  /** For reading, it is filled with so many messages already; with several readers, with the share of each. */
  readonly stream: string
  readonly subject: string
  readonly messages: number
  /** Bytes of each. */
  readonly size: number
  /** How many messages may be unanswered at once, of each reader or of all publishers. */
  readonly inFlight: number
}

export interface Figures {
  readonly messagesPerSecond: number
  /** Processor time of the whole process, in microseconds per message. */
  readonly cpuUs: number
  /** How much of the time the main thread's event loop was busy, 0 to 1. */
  readonly mainBusy: number
  /** How much memory the process took at most beyond what it had before the first message, in MB. */
  readonly grownMb: number
  /** From publish to handler, in microseconds; 0 where it was not measured. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** The name of a consumer; where there are several readers, with a number behind it. */
export const consumerOf = (side: Side): string => side === "raw" ? "raw" : "ours"
