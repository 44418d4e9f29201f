/** What one measurement is asked for, and what it found. Each runs in a process of its own. */

/** Who reads: the raw client, or ours with the connection in the application's thread or in one of its own. */
export const SIDES = ["raw", "inline", "thread"] as const
export type Side = typeof SIDES[number]

export interface Kind {
  readonly room: "read" | "publish"
  readonly what: string
  readonly messages: number
  readonly inFlight: number
  /** What is in each message: so many zeros, an order as JSON, or the time at which it was sent. */
  readonly content?: "bytes" | "orders" | "time"
  /** Not measured unless it is named: it takes long. */
  readonly isLong?: boolean
}

/** How many customers there are in `orders`. */
export const KEYS = 1_000
/** How long the handler of `work` takes, and how many of them run at once. */
export const WORK = { millis: 2, atOnce: 256 }
/** How many messages a second are sent in `latency`. */
export const PER_SECOND = 1_000

export const WORKLOADS = {
  read: {
    room: "read",
    what: "chunks as they come, one ack for each message, nobody works on them",
    messages: 100_000,
    inFlight: 500
  },
  publish: { room: "publish", what: "batches at the seam, each message confirmed", messages: 50_000, inFlight: 256 },
  orders: {
    room: "read",
    what: `JSON by a schema, 64 lanes, ${KEYS} keys in order; raw: JSON.parse and a map of promises`,
    messages: 50_000,
    inFlight: 500,
    content: "orders"
  },
  single: { room: "publish", what: "one value after the other, each confirmed", messages: 3_000, inFlight: 1 },
  latency: {
    room: "read",
    what: `from publish to handler, at ${PER_SECOND} messages a second`,
    messages: 4_000,
    inFlight: 500,
    content: "time"
  },
  handle: {
    room: "read",
    what: "an empty handler for each message, 64 lanes",
    messages: 100_000,
    inFlight: 500,
    isLong: true
  },
  upTo: {
    room: "read",
    what: "one ack for a whole prefix; raw: one for each message",
    messages: 100_000,
    inFlight: 500,
    isLong: true
  },
  work: {
    room: "read",
    what: `handlers that wait ${WORK.millis} ms, ${WORK.atOnce} at a time`,
    messages: 50_000,
    inFlight: 1_000,
    isLong: true
  },
  publishAll: {
    room: "publish",
    what: "values through a topic, each confirmed",
    messages: 50_000,
    inFlight: 256,
    isLong: true
  },
  spill: {
    room: "read",
    what: "over the disk, durable before it is acknowledged; raw: without a disk",
    messages: 100_000,
    inFlight: 500,
    isLong: true
  },
  backlog: {
    room: "read",
    what: "an empty handler, with a million messages waiting: memory",
    messages: 1_000_000,
    inFlight: 500,
    isLong: true
  }
} as const satisfies Record<string, Kind>
export type Workload = keyof typeof WORKLOADS

export const kindOf = (workload: Workload): Kind => WORKLOADS[workload]

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
  /** How much memory the process took at most beyond what it had before the first message, in MB. */
  readonly grownMb: number
  /** From publish to handler, in microseconds; 0 where it was not measured. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
}
