/** Slips that break no promise and make each message dearer: `npm run bench:check` counts them. */
import type { Mutant } from "../Mutant.ts"

/** The counter of bench/check/counters.ts that has to grow. */
export type Costly = Mutant & { readonly counter: string }

export const costs: ReadonlyArray<Costly> = [
  {
    name: "a-port-message-per-ack",
    breaks: "each verdict crosses the port alone",
    against: "I1",
    counter: "read: port messages",
    file: "src/internal/thread/remoteInlet.ts",
    find: `    this.#posted.add(delivery, settlement)
  }`,
    replace: `    this.#posted.add(delivery, settlement)
    this.flush()
  }`
  },
  {
    name: "an-effect-per-message",
    breaks: "the reader takes a step of its own for each message that it deals out",
    against: "I1",
    counter: "before a handler: Effect steps",
    file: "src/internal/reader/handling.ts",
    find: `      for (const delivery of chunk) {
`,
    replace: `      for (const delivery of chunk) {
        yield* Effect.sync(() => {})
`
  },
  {
    name: "a-fiber-per-message",
    breaks: "each message gets a fiber before its handler",
    against: "I1",
    counter: "before a handler: fibers",
    file: "src/internal/reader/handling.ts",
    find: `      for (const delivery of chunk) {
`,
    replace: `      for (const delivery of chunk) {
        Effect.runForkWith(yield* Effect.context<never>())(Effect.void)
`
  },
  {
    name: "a-promise-per-message",
    breaks: "each message gets a promise before its handler",
    against: "I1",
    counter: "before a handler: promises",
    file: "src/internal/reader/handling.ts",
    find: `      for (const delivery of chunk) {
`,
    replace: `      for (const delivery of chunk) {
        void Promise.resolve()
`
  },
  {
    name: "a-pull-per-message",
    breaks: "each place that gets free is asked for at once",
    against: "I3",
    counter: "read: pulls",
    file: "src/internal/nats/inlet.ts",
    find: `  readonly pull = (messages: number, bytes: number): void => {
`,
    replace: `  readonly pull = (messages: number, bytes: number): void => {
    if (messages > 1) {
      for (let i = 0; i < messages; i++) {
        this.pull(1, Math.floor(bytes / messages))
      }
      return
    }
`
  },
  {
    name: "acks-not-collected",
    breaks: "each ack is written, and confirmed, alone",
    against: "I4",
    counter: "ack: bytes written",
    file: "src/internal/verdicts.ts",
    find: `    this.#outbox.push(entry)
`,
    replace: `    this.#outbox.push(entry)
    this.flush()
`
  },
  {
    name: "small-writes",
    breaks: "what goes out in one turn is written in small pieces",
    against: "I1",
    counter: "ack: socket writes",
    file: "src/internal/nats/link.ts",
    find: `    protocol.sendCommand(typeof frames === "string" ? Buffer.from(frames) : frames)
`,
    replace: `    const bytes = typeof frames === "string" ? Buffer.from(frames) : frames
    if (bytes.length < 10_000) {
      protocol.sendCommand(bytes)
      return
    }
    const { transport } = protocol as unknown as { transport: { send: (bytes: Uint8Array) => void } }
    for (let at = 0; at < bytes.length; at += 100) {
      transport.send(bytes.subarray(at, at + 100))
    }
`
  },
  {
    name: "payloads-copied-twice",
    breaks: "what a message carries is copied once more",
    against: "I10",
    counter: "read and ack: bytes allocated",
    file: "src/internal/nats/acks.ts",
    find: `keep(raw.bytes, raw.from, raw.to)`,
    replace: `new Uint8Array(keep(raw.bytes, raw.from, raw.to))`
  }
]
