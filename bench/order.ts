/** What one measurement is asked for, and what it found. Each runs in a process of its own. */

/** Who reads: the raw client, or ours with the connection in the application's thread or in one of its own. */
export const SIDES = ["raw", "inline", "thread"] as const
export type Side = typeof SIDES[number]

export const WORKLOADS = {
  read: "chunks as they come, one ack for each message, nobody works on them",
  handle: "an empty handler for each message, 64 lanes"
}
export type Workload = keyof typeof WORKLOADS

export interface Order {
  readonly workload: Workload
  readonly side: Side
  readonly url: string
  /** The stream is filled with so many messages already. */
  readonly stream: string
  readonly subject: string
  readonly messages: number
  /** How many messages may be unanswered at once. */
  readonly inFlight: number
}

export interface Figures {
  readonly messagesPerSecond: number
  /** Processor time of the whole process, in microseconds per message. */
  readonly cpuUs: number
  /** How much of the time the main thread's event loop was busy, 0 to 1. */
  readonly mainBusy: number
}
