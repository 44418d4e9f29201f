/** One reader of a group: it comes, works, is cut off, leaves. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Memory from "../../src/layers/Memory.ts"
import type { Delivery } from "../../src/Message.ts"
import * as Reader from "../../src/Reader.ts"
import { Transport } from "../../src/Transport.ts"
import { behindPort } from "../support/ported.ts"
import { Dice, hash } from "./dice.ts"
import { type Job, keyed, unkeyed } from "./jobs.ts"
import { STREAM } from "./names.ts"
import type { Recorder, Who } from "./recorder.ts"
import { type Group, isPorted, retries } from "./scenario.ts"

export interface Handle {
  readonly drain: Effect.Effect<void>
  readonly run: Effect.Effect<void, never, Memory.Broker | Faulty.Faults>
}

/** What a reader needs to know of the run. */
interface Place {
  readonly recorder: Recorder
  readonly seed: number
  readonly who: Who
}

export const make = (recorder: Recorder, seed: number, who: Who): Effect.Effect<Handle> =>
  Effect.map(Deferred.make<void>(), (drain) => ({
    drain: Effect.asVoid(Deferred.succeed(drain, undefined)),
    run: run({ recorder, seed, who }, Deferred.await(drain))
  }))

const run = (place: Place, draining: Effect.Effect<void>) =>
  Effect.scoped(Effect.gen(function*() {
    const { recorder, who } = place
    const broker = yield* Memory.Broker
    const faults = yield* Faulty.Faults
    const connection = recorder.connection(who, yield* broker.connect)
    const faulty = yield* faults.wrap(connection.transport, connection)
    const transport = recorder.transport(who, isPorted(place.seed) ? yield* behindPort(faulty) : faulty)
    yield* Effect.forkScoped(
      Stream.runForEach(transport.status, (status) => Effect.sync(() => recorder.status(who, status._tag))),
      { startImmediately: true }
    )
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
    yield* reader(place).pipe(
      Effect.orDie,
      Effect.provideService(Transport, transport),
      Effect.provideService(Reader.Control, { draining, register }),
      Effect.provideService(AckPolicy.AckPolicy, who.group.policy),
      Effect.provideService(AckPolicy.Retryable, true),
      Effect.provideService(AckPolicy.Concurrent, true),
      Effect.ensuring(close)
    )
  }))

const reader = (place: Place) => {
  const { group } = place.who
  const topic = group.keyed ? keyed : unkeyed
  const options = {
    stream: STREAM,
    consumer: consumer(group),
    queue: group.queue,
    ackWait: group.ackWaitMs,
    timeBudget: group.timeBudgetMs,
    onError: "wait"
  } as const
  if (group.how === "stream") {
    const settled = Stream.mapEffect(Reader.stream(topic, options), (delivery) => byHand(place, delivery), {
      concurrency: group.lanes,
      unordered: true
    })
    return Stream.runDrain(settled)
  }
  const handling = {
    ...options,
    maxAttempts: group.maxAttempts,
    onGiveUp: (failure: Reader.Failure, message: Delivery) => giveUp(place, failure, message),
    ...(retries(group) ? { retry: Schedule.spaced(group.retryMs) } : {})
  } as const
  return group.how === "batch"
    ? Reader.handleBatch(
      topic,
      { ...handling, size: group.batch, within: 500 },
      (batch) =>
        Effect.forEach(batch, ({ message, value }) => work(place, value, message, message.deliveryCount), {
          concurrency: "unbounded",
          discard: true
        })
    )
    : Reader.handle(
      topic,
      { ...handling, lanes: group.lanes },
      (job, message, attempt) => work(place, job, message, attempt)
    )
}

const consumer = ({ name, source }: Group) => {
  switch (source) {
    case "durable":
      return name
    case "ephemeral":
      return Reader.ephemeral()
    case "ordered":
      return Reader.ordered()
  }
}

const giveUp = ({ recorder, seed, who }: Place, failure: Reader.Failure, message: Delivery) =>
  Effect.suspend(() => {
    const { group } = who
    const dice = new Dice(hash(`${seed} ${group.name} ${message.streamSequence} ${message.deliveryCount} up`))
    if (!recorder.healed && dice.chance(group.giveUpFails)) {
      if (comesOnce(group, message.subject)) {
        // Nobody can bring it back: it is given up all the same.
        recorder.givenUp(who, message, "NotKept", failure.attempts)
      }
      return Effect.fail("nowhere to keep it")
    }
    recorder.givenUp(who, message, failure._tag, failure.attempts)
    return Effect.void
  })

/** Whether a message is acknowledged, or needs no ack, before its handler begins. */
export const comesOnce = ({ policy, source }: Group, subject: string): boolean =>
  source === "ordered" || AckPolicy.acksOnEnqueue(policy)(subject)

/** What a stream's user does: works, then acknowledges, sends back, or gives up. */
const byHand = (place: Place, delivery: Reader.Delivery<Job>): Effect.Effect<void> => {
  const { message, value } = delivery
  const { recorder, who } = place
  if (!delivery.isHeld) {
    return Effect.void
  }
  const up = (why: string) =>
    Effect.andThen(
      Effect.sync(() => recorder.givenUp(who, message, why, message.deliveryCount)),
      delivery.term(why)
    )
  if (Result.isFailure(value)) {
    return up("Undecodable")
  }
  return Effect.matchCauseEffect(work(place, value.success, message, message.deliveryCount), {
    onSuccess: () => delivery.ack,
    onFailure: () =>
      message.deliveryCount >= who.group.maxAttempts || comesOnce(who.group, message.subject)
        ? up("Failed")
        : delivery.nak(who.group.retryMs)
  })
}

/** It does what the seed says about this attempt at this message. After the healing, it succeeds. */
const work = ({ recorder, seed, who }: Place, job: Job, message: Delivery, attempt: number) =>
  Effect.suspend(() => {
    const { group } = who
    const call = recorder.began(who, message, job)
    const dice = new Dice(hash(`${seed} ${group.name} ${message.streamSequence} ${message.deliveryCount} ${attempt}`))
    const millis = Math.min(dice.int(0, group.slowMs), recorder.healed ? 100 : Number.POSITIVE_INFINITY)
    const hangs = dice.chance(group.hangRate) && !recorder.healed
    const fails = dice.chance(group.failRate) && !recorder.healed
    // Nobody ends what hangs in a stream of deliveries, except itself.
    const hang = group.how === "stream" ? Effect.sleep(group.timeBudgetMs + group.ackWaitMs + 1_000) : Effect.never
    const wait = hangs ? hang : millis === 0 ? Effect.void : Effect.sleep(millis)
    const end = fails ? (dice.chance(0.2) ? Effect.die("a defect") : Effect.fail("a failure")) : Effect.void
    return Effect.onExit(Effect.andThen(wait, end), (exit) =>
      Effect.sync(() => {
        const interrupted = Exit.isFailure(exit) && exit.cause.reasons.some((reason) => reason._tag === "Interrupt")
        recorder.ended(call, Exit.isSuccess(exit) ? "ok" : interrupted ? "interrupted" : "failed")
      }))
  })
