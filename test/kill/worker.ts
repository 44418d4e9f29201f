/**
 * A worker that kills itself with SIGKILL at one step between a handler's failure and the end of its message. Every call of
 * its handler is written down before it ends, by a write that outlives the process.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { openSync, writeSync } from "node:fs"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import { Transport } from "../../src/Transport.ts"
import type { Step } from "./steps.ts"

const [url, journal, step, nth] = process.argv.slice(2) as [string, string, Step | "never", string]

const file = openSync(journal, "a")

let seen = 0

/** The nth time that this step is reached, this is the end. */
const reached = (at: Step): void => {
  if (at === step && ++seen === Number(nth)) {
    process.kill(process.pid, "SIGKILL")
  }
}

/** Soon, while what was begun is under way. */
const reachedSoon = (at: Step): void => {
  setTimeout(() => reached(at), Math.random() * 3)
}

const observed = Layer.effect(
  Transport,
  Effect.map(Transport, (transport) => ({
    ...transport,
    publish: (batch) =>
      Effect.suspend(() => {
        reached("beforePublish")
        reachedSoon("publishing")
        return Effect.tap(transport.publish(batch), () => Effect.sync(() => reached("confirmed")))
      }),
    open: (source, flow) =>
      Effect.map(transport.open(source, flow), (inlet) => ({
        ...inlet,
        settle: (verdicts) =>
          Effect.suspend(() => {
            const ends = verdicts.some(({ settlement }) => settlement._tag === "Term")
            if (ends) {
              reached("settling")
              reachedSoon("settled")
            }
            return inlet.settle(verdicts)
          })
      }))
  }))
).pipe(Layer.provide(Nats.layer({ servers: url })))

const jobs = Topic.make("jobs", { schema: Schema.Struct({ n: Schema.Number, fails: Schema.Boolean }) })

const reader = Reader.handle(jobs, {
  stream: "JOBS",
  consumer: "worker",
  lanes: 4,
  ackWait: "1 second",
  maxAttempts: 2,
  retry: Schedule.spaced("5 millis"),
  queue: Queue.suspend({ messages: 8 }),
  deadLetter: { replays: false },
  onGiveUp: () => Effect.sync(() => reached("givingUp"))
}, ({ fails, n }) =>
  Effect.suspend(() => {
    writeSync(file, `${n}\n`)
    if (fails) {
      reached("handler")
    }
    return fails ? Effect.fail("no") : Effect.void
  }))

const draining = Effect.callback<void>((resume) => {
  process.on("SIGTERM", () => resume(Effect.void))
})

const alive = setInterval(() => {}, 60_000)
await Effect.runPromise(reader.pipe(
  Effect.provideService(Reader.Control, { draining, register: () => {} }),
  Effect.provide(Layer.merge(observed, AckPolicy.onProcess))
))
clearInterval(alive)
