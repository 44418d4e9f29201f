/** What can be measured, by name. */

/** What is done; workloads may do the same with other numbers. */
export type Act =
  | "chunks"
  | "upTo"
  | "handle"
  | "orders"
  | "work"
  | "latency"
  | "spill"
  | "readers"
  | "publish"
  | "publishAll"
  | "single"

export interface Kind {
  readonly act: Act
  readonly room: "read" | "publish"
  readonly what: string
  /** What the two sides do not have in common. */
  readonly unlike: string
  readonly messages: number
  /** The raw client has so many of them, where it is so much slower: all warm up, and are measured, for about as long. */
  readonly rawShare?: number
  readonly inFlight: number
  /** Bytes of each message; 128 unless it says otherwise. */
  readonly size?: number
  /** What is in each message: so many zeros, an order as JSON, or the time at which it was sent. */
  readonly content?: "bytes" | "orders" | "time"
  /** How many different keys the orders have. */
  readonly keys?: number
  /** How many readers share the connection, each with a consumer of its own; each reads the whole stream. */
  readonly readers?: number
  /** It is about how much dearer a message is here than there: measured by turns with that one. */
  readonly against?: string
  /** Not measured unless it is named: it takes long, or is there for the sake of another one. */
  readonly isLong?: boolean
}

/** How many customers there are in `orders`. */
export const KEYS = 1_000
/** How long the handler of `work` takes, and how many of them run at once. */
export const WORK = { millis: 2, atOnce: 256 }
/** How many messages a second are sent in `latency`. */
export const PER_SECOND = 1_000

const READ_UNLIKE =
  "the raw loop is handed messages one by one, ours come in chunks at the seam; ours also remembers what it has acknowledged, renews leases, and waits for the broker's word before it asks for more"
const PUBLISH_UNLIKE =
  "raw: so many promises at once, and a quarter of the messages, which takes it as long; ours: eight batches of a quarter of that window each, for which it is open as far as there is room. Both send a message id and wait for each stored message's sequence"
const ORDERS_UNLIKE =
  "ours checks each value against its schema and retries what fails; raw parses it and checks nothing. Both keep the order of a customer"

const read = {
  act: "chunks",
  room: "read",
  what: "chunks as they come, one ack for each message, nobody works on them",
  unlike: READ_UNLIKE,
  messages: 200_000,
  inFlight: 500
} as const
const publish = {
  act: "publish",
  room: "publish",
  what: "batches at the seam, each message confirmed",
  unlike: PUBLISH_UNLIKE,
  messages: 160_000,
  rawShare: 1 / 4,
  inFlight: 256
} as const
const orders = {
  act: "orders",
  room: "read",
  what: `JSON by a schema, 64 lanes, ${KEYS} keys in order; raw: JSON.parse and a map of promises`,
  unlike: ORDERS_UNLIKE,
  messages: 80_000,
  inFlight: 500,
  content: "orders",
  keys: KEYS
} as const
const readers = {
  act: "readers",
  room: "read",
  what: "500 readers of one stream, with a consumer each, on one connection; an empty handler",
  unlike: "ours has a queue, lanes and leases for each reader; raw has a loop for each",
  messages: 100_000,
  inFlight: 500,
  readers: 500,
  isLong: true
} as const

export const WORKLOADS = {
  read,
  publish,
  orders,
  single: {
    act: "single",
    room: "publish",
    what: "one value after the other, each confirmed",
    unlike: "ours encodes a value of a topic, raw is given its bytes",
    messages: 10_000,
    inFlight: 1,
    isLong: true
  },
  latency: {
    act: "latency",
    room: "read",
    what: `from publish to handler, at ${PER_SECOND} messages a second`,
    unlike: "both clocks are this machine's; the publisher is the same raw client for all",
    messages: 2_000,
    inFlight: 500,
    content: "time"
  },
  "read-5000": { ...read, what: "the same with 5,000 in flight", inFlight: 5_000, isLong: true },
  "read-4k": { ...read, what: "the same with 4 KB each", size: 4_096, messages: 60_000, isLong: true },
  "read-4k-5000": {
    ...read,
    what: "the same with 4 KB each, and 5,000 in flight",
    size: 4_096,
    messages: 60_000,
    inFlight: 5_000,
    isLong: true
  },
  handle: {
    act: "handle",
    room: "read",
    what: "an empty handler for each message, 64 lanes",
    unlike: "raw: the loop itself is the handler, one at a time",
    messages: 200_000,
    inFlight: 500,
    isLong: true
  },
  upTo: {
    act: "upTo",
    room: "read",
    what: "one ack for a whole prefix; raw: one for each message",
    unlike: "the raw client can do so by hand, with an ack policy that no two readers can share; here it is a policy",
    messages: 200_000,
    inFlight: 500,
    isLong: true
  },
  work: {
    act: "work",
    room: "read",
    what: `handlers that wait ${WORK.millis} ms, ${WORK.atOnce} at a time`,
    unlike: "raw: as many promises at once, without order, leases or retries",
    messages: 50_000,
    inFlight: 1_000,
    isLong: true
  },
  "publish-1024": { ...publish, what: "the same with 1,024 in flight", inFlight: 1_024, isLong: true },
  publishAll: {
    act: "publishAll",
    room: "publish",
    what: "values through a topic, each confirmed",
    unlike:
      "ours encodes values of a topic, repeats what fails, and keeps their order; raw does neither, and has a quarter of the messages",
    messages: 160_000,
    rawShare: 1 / 4,
    inFlight: 256,
    isLong: true
  },
  spill: {
    act: "spill",
    room: "read",
    what: "over the disk, durable before it is acknowledged; raw: without a disk",
    unlike: "raw stores nothing",
    messages: 100_000,
    inFlight: 500,
    isLong: true
  },
  readers: { ...readers, against: "readers-1" },
  "readers-1": { ...readers, what: "one reader of as many messages", readers: 1 },
  keys: {
    ...orders,
    what: "as orders, with 100,000 keys",
    messages: 200_000,
    keys: 100_000,
    against: "keys-1",
    isLong: true
  },
  "keys-1": { ...orders, what: "as orders, with one key", messages: 200_000, keys: 1, isLong: true },
  memory: {
    act: "handle",
    room: "read",
    what: "an empty handler, with a million messages waiting",
    unlike: "memory is the whole process's, at most, beyond what it had before the first message",
    messages: 1_000_000,
    inFlight: 500,
    isLong: true
  }
} as const satisfies Record<string, Kind>
export type Workload = keyof typeof WORKLOADS

export const kindOf = (workload: Workload): Kind => WORKLOADS[workload]

export const isWorkload = (name: string): name is Workload => Object.hasOwn(WORKLOADS, name)

export const ALL: ReadonlyArray<Workload> = Object.keys(WORKLOADS).filter(isWorkload)
