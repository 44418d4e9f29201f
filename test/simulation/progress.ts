/** What is not done yet: a run is over when nothing is left. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Memory from "../../src/layers/Memory.ts"
import { STREAM } from "./names.ts"
import type { Recorder } from "./recorder.ts"
import type { Group, Scenario } from "./scenario.ts"
import * as stored from "./stored.ts"

const QUIET_MS = 4_000

export const open = Effect.fnUntraced(function*(
  recorder: Recorder,
  { groups }: Scenario,
  publishers: ReadonlyArray<Fiber.Fiber<unknown>>
) {
  const lines: Array<string> = []
  if (publishers.some((fiber) => fiber.pollUnsafe() === undefined)) {
    lines.push("a publisher is not done")
  }
  for (const group of groups) {
    lines.push(...yield* openOf(recorder, group))
  }
  if (recorder.running > 0) {
    lines.push(`${recorder.running} handlers run`)
  }
  if (lines.length === 0 && recorder.now - recorder.lastAt < QUIET_MS) {
    lines.push("something has just happened")
  }
  return lines
})

/** How many deliveries of a durable the broker waits for, if they are more than one reader may hold. */
export const ackPending = (group: Group): Effect.Effect<number, never, Memory.Broker> =>
  Effect.flatMap(
    info(group),
    (found) =>
      Option.isSome(found) && found.value.ackPending > group.queue.messages ? unansweredOf(group) : Effect.succeed(0)
  )

/** How many leases of a durable run. */
export const leased = (group: Group): Effect.Effect<number, never, Memory.Broker> =>
  Memory.Broker.use((broker) => broker.unanswered(STREAM, group.name)).pipe(
    Effect.map((all) => all.filter(({ state }) => state === "leased").length),
    Effect.catch(() => Effect.succeed(0))
  )

// internals

const openOf = Effect.fnUntraced(function*(recorder: Recorder, group: Group) {
  const lines: Array<string> = []
  if (group.source === "durable") {
    const found = yield* info(group)
    if (Option.isNone(found)) {
      lines.push(`${group.name} has no consumer`)
      return lines
    }
    const unanswered = yield* unansweredOf(group)
    if (found.value.pending > 0 || unanswered > 0) {
      lines.push(`${group.name}: ${found.value.pending} to deliver, ${unanswered} unanswered`)
    }
  } else {
    const done = recorder.done(group)
    const all = yield* Memory.Broker.use(stored.all)
    const left = all.filter(({ sequence }) => !done.has(sequence)).length
    if (left > recorder.displaced(group)) {
      lines.push(`${group.name} has not seen ${left}`)
    }
  }
  const held = recorder.held(group)
  if (held > 0) {
    lines.push(`${group.name} holds ${held}`)
  }
  return lines
})

/** A server goes on counting some that were deleted meanwhile. */
const unansweredOf = Effect.fnUntraced(function*(group: Group) {
  const broker = yield* Memory.Broker
  const unanswered = yield* Effect.orDie(broker.unanswered(STREAM, group.name))
  if (unanswered.length === 0) {
    return 0
  }
  const kept = new Set((yield* stored.all(broker)).map(({ sequence }) => sequence))
  return unanswered.filter(({ sequence }) => kept.has(sequence)).length
})

const info = (group: Group) =>
  Memory.Broker.use((broker) => Effect.orDie(broker.topology.describeConsumer(STREAM, group.name)))
