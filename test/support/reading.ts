/** Short words for tests of readers: a stream of jobs in memory, and a look at what the broker thinks. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Memory from "../../src/layers/Memory.ts"
import type { Ledger } from "../../src/Reader.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import * as Topology from "../../src/Topology.ts"
import { Transport } from "../../src/Transport.ts"
import { message, publish } from "./transport.ts"

export const Job = Schema.Struct({ key: Schema.String, n: Schema.Number })
export type Job = typeof Job.Type

/** Jobs whose order matters per key, and the same jobs without a key. */
export const keyed = Topic.make("jobs.work", { schema: Job, key: (job) => job.key })
export const unkeyed = Topic.make("jobs.work", { schema: Job })

export const options = { stream: "JOBS", consumer: "worker" } as const

export const setUp = Transport.use((transport) =>
  Option.getOrThrow(transport.topology).createStream(Topology.stream("JOBS", { subjects: ["jobs.>"] }))
)

export const send = (...jobs: ReadonlyArray<readonly [key: string, n: number]>) =>
  publish(...jobs.map(([key, n]) => message("jobs.work", JSON.stringify({ key, n }))))

export const sendRaw = (text: string) => publish(message("jobs.work", text))

/** What the broker thinks of the reader's consumer. */
export const consumer = (name = "worker") =>
  Transport.use((transport) =>
    Effect.map(Option.getOrThrow(transport.topology).describeConsumer("JOBS", name), Option.getOrThrow)
  )

/** Lets everybody finish what they are at, then `millis` pass, then everybody finish again. */
export const pass = (millis: Duration.Input = 0) =>
  Effect.andThen(settled, Effect.andThen(TestClock.adjust(millis), settled))

/** A message goes through several turns of the event loop between broker and handler, and so does its ack. */
const settled = Effect.forEach(Array.from({ length: 10 }), () => Effect.yieldNow, { discard: true })

export const delivered = (ledger: Ledger): number =>
  ledger.finished + ledger.returned + ledger.abandoned + ledger.lost + ledger.displaced

/** A reader in a fiber, with a hand on its drain and its ledger. */
export const start = Effect.fnUntraced(function*<E, R>(reader: Effect.Effect<void, E, R>) {
  const ledgers: Array<() => Ledger> = []
  let drain = () => {}
  const draining = Effect.callback<void>((resume) => {
    drain = () => resume(Effect.void)
  })
  const fiber = yield* reader.pipe(
    Effect.provideService(Reader.Control, {
      draining,
      register: (registered) => {
        ledgers.push(registered.ledger)
      }
    }),
    Effect.forkChild({ startImmediately: true })
  )
  return {
    fiber,
    ledger: () => ledgers[0]!(),
    /** Of what is replayed for it, if it has dead letters. */
    replays: () => ledgers[1]!(),
    drain: Effect.sync(() => drain()),
    interrupt: Fiber.interrupt(fiber)
  }
})

/** Collects what is logged, as `level message key=value…`. */
export class Logs extends Context.Service<Logs, Array<string>>()("test/Logs") {}

const logs = Layer.unwrap(Effect.sync(() => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(
      `${logLevel} ${[message].flat().map((part) => typeof part === "string" ? part : JSON.stringify(part)).join(" ")}`
    )
  })
  return Layer.merge(Layer.succeed(Logs, lines), Logger.layer([logger]))
}))

export const withMemory = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.provide(Layer.mergeAll(Memory.layer(), logs)))

export const memory = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  policy: Layer.Layer<AckPolicy.AckPolicy | AckPolicy.Retryable | AckPolicy.Concurrent> = AckPolicy.onProcess
) => withMemory(Effect.andThen(setUp, effect).pipe(Effect.provide(policy)))
