/** What one measurement is asked for, and what it found. Each runs in a process of its own. */

/** Who reads: the raw client, or ours with the connection in the application's thread or in one of its own. */
export const SIDES = ["raw", "inline", "thread"] as const
export type Side = typeof SIDES[number]

export interface Kind {
  readonly room: "read" | "publish"
  readonly what: string
  readonly messages: number
  readonly inFlight: number
}

export const WORKLOADS = {
  read: {
    room: "read",
    what: "chunks as they come, one ack for each message, nobody works on them",
    messages: 100_000,
    inFlight: 500
  },
  handle: { room: "read", what: "an empty handler for each message, 64 lanes", messages: 100_000, inFlight: 500 },
  publish: { room: "publish", what: "batches at the seam, each message confirmed", messages: 50_000, inFlight: 256 },
  publishAll: { room: "publish", what: "values through a topic, each confirmed", messages: 50_000, inFlight: 256 },
  single: { room: "publish", what: "one value after the other, each confirmed", messages: 3_000, inFlight: 1 }
} as const satisfies Record<string, Kind>
export type Workload = keyof typeof WORKLOADS

export interface Order {
  readonly workload: Workload
  readonly side: Side
  readonly url: string
  /** For reading, it is filled with so many messages already. */
  readonly stream: string
  readonly subject: string
  readonly messages: number
  /** Bytes of each. */
  readonly size: number
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
