/** What is counted for each message, how much of it may come and go by itself, and where to look when it has grown. */

export interface Counter {
  /** Grown beyond this share of what it was, and beyond `spare`, is grown. */
  readonly slack: number
  readonly spare: number
  readonly look: string
}

const port: Counter = {
  slack: 0.1,
  spare: 0.001,
  look: "something crosses the port more often, or in smaller batches: internal/thread/remote*.ts and host*.ts"
}
const effects: Counter = {
  slack: 0.02,
  spare: 0.02,
  look:
    "a message costs Effects that it did not: internal/reader, internal/publisher, Lanes; work on chunks, not on messages"
}
const before: Counter = {
  slack: 0.02,
  spare: 0.02,
  look:
    "an Effect, a fiber or a promise for each message before its handler: internal/reader/handling.ts, internal/intake.ts"
}
const writes: Counter = {
  slack: 0.1,
  spare: 0.002,
  look:
    "what goes out in one turn is no longer written in one piece: internal/verdicts.ts, internal/nats/link.ts, publishes.ts"
}
const bytes: Counter = {
  slack: 0.01,
  spare: 0.5,
  look: "the words on the wire are longer: internal/nats/frames.ts, acks.ts, publishes.ts"
}
const pulls: Counter = {
  slack: 0.1,
  spare: 0.001,
  look: "it asks for less at a time: internal/credit.ts, internal/nats/pulls.ts"
}
const allocated: Counter = {
  slack: 0.03,
  spare: 50,
  look: "more objects or copies for each message; `node --heap-prof` shows where: internal/nats, internal/intake.ts"
}

export const COUNTERS: Readonly<Record<string, Counter>> = {
  "publish: port messages": port,
  "publish: Effect steps": effects,
  "publish: fibers": effects,
  "publish: promises": effects,
  "publish: socket writes": writes,
  "publish: bytes written": bytes,
  "publish: bytes allocated": allocated,
  "single publish: Effect steps": effects,
  "single publish: fibers": effects,
  "read: pulls": pulls,
  "before a handler: Effect steps": before,
  "before a handler: fibers": before,
  "before a handler: promises": before,
  "read: port messages": port,
  "read: Effect steps": effects,
  "read: fibers": effects,
  "read: promises": effects,
  "read and ack: bytes allocated": allocated,
  "ack: socket writes": writes,
  "ack: bytes written": bytes
}
