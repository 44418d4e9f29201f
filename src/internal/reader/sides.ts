/**
 * What a reader reads beside its stream: what is replayed for its handler, and what has waited for a retry.
 */
import * as Option from "effect/Option"
import * as Queue from "../../Queue.ts"
import * as Topology from "../../Topology.ts"
import type * as Transport from "../../Transport.ts"
import * as Letters from "./letters.ts"
import type { Plan } from "./plan.ts"

/** What waits for its retry takes up a place and no memory; this is how many can. */
const WAITING_MAX = 20_000

export const sidesOf = (plan: Plan): ReadonlyArray<Plan> =>
  [replays(plan), retries(plan)].filter((side) => side !== undefined)

// internals

const replays = (plan: Plan): Plan | undefined => {
  const { burial } = plan
  return burial === undefined || burial.options.replays === false ? undefined : sideOf(
    plan,
    "replays",
    burial.options.stream ?? Letters.STREAM,
    Letters.replayConsumer(burial.stream, burial.consumer),
    `${burial.subject}.${Letters.events.replay}`
  )
}

const retries = (plan: Plan): Plan | undefined => {
  const { postponing } = plan
  if (postponing === undefined) {
    return undefined
  }
  const name = Letters.retryConsumer(postponing.stream, postponing.consumer)
  const side = sideOf(plan, "retries", postponing.into, name, postponing.subject)
  return {
    ...side,
    flow: { ...side.flow, queue: Queue.suspend({ messages: WAITING_MAX }) },
    capacity: WAITING_MAX
  }
}

const sideOf = (plan: Plan, what: string, stream: string, name: string, filter: string): Plan => {
  const { source } = plan
  const own = source._tag === "durable" ? Option.getOrUndefined(source.create) : undefined
  const consumer = Topology.consumer(name, {
    filters: [filter],
    ...(own === undefined ? {} : { ackWait: own.ackWaitMs })
  })
  return {
    ...plan,
    name: `${plan.name} (${what})`,
    labels: { stream, consumer: name },
    source: { _tag: "durable", stream, consumer: name, create: Option.some(consumer) },
    flow: unspilled(plan.flow),
    // Whether there is such a stream, and whether it may be read, must not decide about the reader itself.
    onError: "wait"
  }
}

/** The disk has room for one reader. */
const unspilled = (flow: Transport.Flow): Transport.Flow =>
  flow.queue.strategy === "spill"
    ? { ...flow, queue: Queue.suspend(flow.queue), ack: { _tag: "onProcess" } }
    : flow
