/** One reader of a group: it comes, works, is cut off, leaves. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Memory from "../../src/layers/Memory.ts"
import type { Delivery } from "../../src/Message.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import { Transport } from "../../src/Transport.ts"
import { Dice, hash } from "./dice.ts"
import type { Recorder, Who } from "./recorder.ts"
import { retries } from "./scenario.ts"

const Job = Schema.Struct({ id: Schema.String, key: Schema.String, n: Schema.Number })
type Job = typeof Job.Type

export const keyed = Topic.make("sim.{place}", { schema: Job, key: (job) => job.key, id: (job) => job.id })
export const unkeyed = Topic.make("sim.{place}", { schema: Job })

export const STREAM = "SIM"

export interface Handle {
  readonly drain: Effect.Effect<void>
  readonly run: Effect.Effect<void, never, Memory.Broker | Faulty.Faults>
}

export const make = (recorder: Recorder, seed: number, who: Who): Effect.Effect<Handle> =>
  Effect.map(Deferred.make<void>(), (drain) => ({
    drain: Effect.asVoid(Deferred.succeed(drain, undefined)),
    run: run(recorder, seed, who, Deferred.await(drain))
  }))

const run = (recorder: Recorder, seed: number, who: Who, draining: Effect.Effect<void>) =>
  Effect.scoped(Effect.gen(function*() {
    const broker = yield* Memory.Broker
    const faults = yield* Faulty.Faults
    const connection = recorder.connection(who, yield* broker.connect)
    const transport = recorder.transport(who, yield* faults.wrap(connection.transport, connection))
    let ledger: (() => Reader.Ledger) | undefined
    const first = recorder.inlets.length
    const close = Effect.sync(() => {
      if (ledger !== undefined) {
        const mine = recorder.inlets.slice(first).filter((open) =>
          open.group === who.group && open.replica === who.replica
        )
        const held = mine.reduce((sum, { inlet }) => sum + inlet.ledger().held, 0)
        recorder.closings.push({ group: who.group.name, replica: who.replica, ledger: ledger(), held })
      }
    })
    const register = (registered: { readonly ledger: () => Reader.Ledger }) => {
      ledger = registered.ledger
    }
    yield* reader(recorder, seed, who).pipe(
      Effect.orDie,
      Effect.provideService(Transport, transport),
      Effect.provideService(Reader.Control, { draining, register }),
      Effect.provideService(AckPolicy.AckPolicy, who.group.policy),
      Effect.provideService(AckPolicy.Retryable, true),
      Effect.provideService(AckPolicy.Concurrent, true),
      Effect.ensuring(close)
    )
  }))

const reader = (recorder: Recorder, seed: number, who: Who) => {
  const { group } = who
  const topic = group.keyed ? keyed : unkeyed
  const options = {
    stream: STREAM,
    consumer: group.name,
    queue: group.queue,
    ackWait: group.ackWaitMs,
    timeBudget: group.timeBudgetMs,
    onError: "wait",
    maxAttempts: group.maxAttempts,
    onGiveUp: (failure: Reader.Failure, message: Delivery) =>
      Effect.suspend(() => {
        const dice = new Dice(hash(`${seed} ${group.name} ${message.streamSequence} ${message.deliveryCount} up`))
        if (!recorder.healed && dice.chance(group.giveUpFails)) {
          if (AckPolicy.acksOnEnqueue(group.policy)(message.subject)) {
            // Nobody can bring it back: it is given up all the same.
            recorder.givenUp(who, message, "NotKept")
          }
          return Effect.fail("nowhere to keep it")
        }
        recorder.givenUp(who, message, failure._tag)
        return Effect.void
      }),
    ...(retries(group) ? { retry: Schedule.spaced(group.retryMs) } : {})
  } as const
  const call = (job: Job, message: Delivery, attempt: number) => handler(recorder, seed, who, job, message, attempt)
  return group.batch > 0
    ? Reader.handleBatch(
      topic,
      { ...options, size: group.batch, within: 500 },
      (batch) =>
        Effect.forEach(batch, ({ message, value }) => call(value, message, message.deliveryCount), {
          concurrency: "unbounded",
          discard: true
        })
    )
    : Reader.handle(topic, { ...options, lanes: group.lanes }, call)
}

/** It does what the seed says about this attempt at this message. After the healing, it succeeds. */
const handler = (recorder: Recorder, seed: number, who: Who, job: Job, message: Delivery, attempt: number) =>
  Effect.suspend(() => {
    const { group } = who
    const call = recorder.began(who, message, job)
    const place = `${seed} ${group.name} ${message.streamSequence} ${message.deliveryCount} ${attempt}`
    const dice = new Dice(hash(place))
    const millis = Math.min(dice.int(0, group.slowMs), recorder.healed ? 100 : Number.POSITIVE_INFINITY)
    const hangs = dice.chance(group.hangRate) && !recorder.healed
    const fails = dice.chance(group.failRate) && !recorder.healed
    const wait = hangs ? Effect.never : millis === 0 ? Effect.void : Effect.sleep(millis)
    const end = fails ? (dice.chance(0.2) ? Effect.die("a defect") : Effect.fail("a failure")) : Effect.void
    return Effect.onExit(Effect.andThen(wait, end), (exit) =>
      Effect.sync(() => {
        const interrupted = Exit.isFailure(exit) && exit.cause.reasons.some((reason) => reason._tag === "Interrupt")
        recorder.ended(call, Exit.isSuccess(exit) ? "ok" : interrupted ? "interrupted" : "failed")
      }))
  })
