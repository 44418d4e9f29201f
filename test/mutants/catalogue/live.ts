/** Slips that only a real server, line or process brings to light: `npm run chaos -- mutants` finds them. */
import type { Mutant } from "../Mutant.ts"

const reading: ReadonlyArray<Mutant> = [
  {
    name: "acknowledged-before-the-handler",
    breaks: "a message is acknowledged when its handler begins",
    against: "I4",
    file: "src/internal/reader/handling.ts",
    find: `    item.startedAt = now
`,
    replace: `    item.startedAt = now
    this.#session.settle(item.delivery, Settlement.ack)
`
  },
  {
    name: "redelivery-acknowledged-unhandled",
    breaks: "whatever the server delivers for the second time counts as done",
    against: "I7",
    file: "src/internal/reader/handling.ts",
    find: `    if (this.#session.isBarred(item)) {
      return Effect.andThen(this.#outcomes.handBack([item], false), next)`,
    replace: `    if (item.delivery.deliveryCount > 1) {
      return Effect.andThen(this.#outcomes.succeeded(item), next)`
  },
  {
    name: "success-sent-back",
    breaks: "one success of fifty goes back to the server twice, as if it had failed",
    against: "I4",
    file: "src/internal/reader/outcome.ts",
    find: `    return this.settle(item, Settlement.ack)`,
    replace:
      `    return this.settle(item, item.delivery.streamSequence % 50 === 0 && item.attempt < 3 ? Settlement.nak() : Settlement.ack)`
  },
  {
    name: "processed-counted-twice",
    breaks: "the ledger counts each success twice",
    against: "I14",
    file: "src/internal/reader/outcome.ts",
    find: `    this.#session.tally.processed++`,
    replace: `    this.#session.tally.processed += 2`
  },
  {
    name: "silent-on-a-new-connection",
    breaks: "a reader whose connection was replaced says nothing on the new one",
    against: "I6",
    file: "src/internal/nats/inlet.ts",
    find: `(raw) => this.#confirmed(raw), true)
    this.intake.connected()`,
    replace: `(raw) => this.#confirmed(raw), true)
    if (this.#generation === 1) {
      this.intake.connected()
    }`
  },
  {
    name: "chunk-cut-short",
    breaks: "of what is taken at once, everything after the twelfth is forgotten, and its lease renewed",
    against: "I4",
    file: "src/internal/reader/handling.ts",
    find: `      lanes.offerUnsafe(items)`,
    replace: `      lanes.offerUnsafe(items.slice(0, 12))`
  }
]

const publishing: ReadonlyArray<Mutant> = [
  {
    name: "doubt-told-as-confirmed",
    breaks: "a publish that was on its way when the connection broke counts as stored",
    against: "I11",
    file: "src/internal/nats/publishes.ts",
    find: `    const receipt: Receipt = { _tag: "Ambiguous", reason }
    for`,
    replace: `    const receipt: Receipt = { _tag: "Confirmed", stream: reason.problem, sequence: 0, duplicate: false }
    for`
  },
  {
    name: "retry-without-its-id",
    breaks: "every message goes out under an id of its own making, so that a retry is stored again",
    against: "I11",
    file: "src/internal/outgoing.ts",
    find: `Nats-Msg-Id: \${id}\\r\\n\\r\\n`,
    replace: `Nats-Msg-Id: \${id}\${Math.random()}\\r\\n\\r\\n`
  },
  {
    name: "sent-told-as-not-sent",
    breaks: "a publish whose answer is lost counts as certainly not sent, and is not tried again",
    against: "I11",
    file: "src/internal/publisher/attempts.ts",
    find: `    return receipt._tag === "Ambiguous" || (receipt`,
    replace: `    if (receipt._tag === "Ambiguous") {
      Object.assign(receipt, { _tag: "NotSent" })
      return false
    }
    return (receipt`
  }
]

const connecting: ReadonlyArray<Mutant> = [
  {
    name: "gives-up-reconnecting",
    breaks: "a connection that is lost is tried three times, and then never again",
    against: "I8",
    file: "src/internal/nats/supervisor.ts",
    find: `  Schedule.min([Schedule.exponential(100, 1.1), Schedule.spaced(2_000)])`,
    replace: `  Schedule.max([Schedule.exponential(100, 1.1), Schedule.recurs(3)])`
  },
  {
    name: "silence-unnoticed",
    breaks: "the server is asked once a minute whether it is still there",
    against: "I8",
    file: "src/internal/nats/pings.ts",
    find: `const PING_EVERY_MS = 500`,
    replace: `const PING_EVERY_MS = 60_000`
  },
  {
    name: "never-connected-again",
    breaks: "the status stays Connecting when the connection is back",
    against: "I13",
    file: "src/internal/nats/supervisor.ts",
    find: `      yield* SubscriptionRef.set(supervisor.status, { _tag: "Connected", server: outcome.success.server })
`,
    replace: ``
  },
  {
    name: "silent-for-ever",
    breaks: "a consumer that was once asked counts as one that does not answer, whatever it says",
    against: "I13",
    file: "src/internal/silence.ts",
    find: `0 : now - this.#since`,
    replace: `0 : now`
  },
  {
    name: "deaf-to-answers",
    breaks: "on a new connection nobody listens for the answers to publishes",
    against: "I8",
    file: "src/internal/nats/publishes.ts",
    find: `    link.subscribe(\`\${this.#inbox}.*\`, (raw) => this.#acked(raw), true)`,
    replace: `    if (this.#downSince === 0) {
      link.subscribe(\`\${this.#inbox}.*\`, (raw) => this.#acked(raw), true)
    }`
  }
]

export const live: ReadonlyArray<Mutant> = [...reading, ...publishing, ...connecting]
