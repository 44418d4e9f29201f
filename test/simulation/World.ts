/**
 * Runs a scenario on virtual time: first with everything that the seed has in store, then healed, until everything is
 * done or the time is up.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Memory from "../../src/layers/Memory.ts"
import * as Topology from "../../src/Topology.ts"
import type { Transport } from "../../src/Transport.ts"
import type { History, Stored } from "./history.ts"
import * as publishing from "./publishing.ts"
import { Recorder } from "./recorder.ts"
import { type Handle, make as makeReplica, STREAM } from "./replica.ts"
import type { Group, Scenario } from "./scenario.ts"

const STEP_MS = 250
/** Healed, everything is done within this time, or never. */
const PROGRESS_WITHIN_MS = 240_000
const QUIET_MS = 4_000
const END_WITHIN_MS = 60_000
/** No longer than a publisher tries: one that tries longer is stored twice. */
const settings = { subjects: ["sim.>"], duplicateWindow: publishing.BUDGET_MS } as const

export const run = (scenario: Scenario): Effect.Effect<History> =>
  Effect.scoped(Effect.suspend(() => world(scenario))).pipe(
    Effect.provide(
      Layer.mergeAll(
        Memory.brokerLayer({ absentWithin: "2 seconds" }),
        Faulty.faultsLayer(scenario.plan),
        Logger.layer([])
      )
    ),
    Random.withSeed(`simulation ${scenario.seed}`),
    Effect.provide(TestClock.layer())
  )

/** A reader that may be running, and what it takes to end it. */
interface Running {
  readonly group: Group
  readonly fiber: Fiber.Fiber<void>
  readonly stays: boolean
}

const world = Effect.fnUntraced(function*(scenario: Scenario) {
  const clock = yield* Clock.Clock
  const recorder = new Recorder(() => clock.currentTimeMillisUnsafe())
  const broker = yield* Memory.Broker
  const faults = yield* Faulty.Faults
  const { transport } = yield* broker.connect
  yield* Effect.orDie(admin(transport).createStream(Topology.stream(STREAM, settings)))

  const publishers = yield* Effect.forEach(
    scenario.publishers,
    (sendings) => Effect.forkScoped(publishing.run(recorder, sendings))
  )
  const running = yield* beginAll(recorder, scenario)
  const watch = Effect.forEach(
    scenario.groups,
    (group) => Effect.map(ackPending(transport, group), (count) => recorder.watch(group, count)),
    { discard: true }
  )
  while (recorder.now < scenario.safetyMs) {
    yield* pass(STEP_MS)
    yield* watch
  }
  recorder.healed = true
  recorder.events.push({ _tag: "healed", at: recorder.now })
  yield* faults.heal
  yield* reinforce(recorder, scenario, running)
  const deadline = recorder.now + PROGRESS_WITHIN_MS
  let stuck = yield* open(recorder, scenario, transport, publishers)
  while (stuck.length > 0 && recorder.now < deadline) {
    yield* pass(STEP_MS)
    yield* watch
    stuck = yield* open(recorder, scenario, transport, publishers)
  }
  const left = yield* endAll(recorder, running)
  const history: History = {
    scenario,
    events: recorder.events,
    closings: recorder.closings,
    stored: yield* stored(transport),
    faults: yield* faults.injected,
    stuck: [...stuck, ...left]
  }
  return history
})

/** Time goes on, and everybody does what there is to do. */
const pass = (millis: number) =>
  Effect.andThen(TestClock.adjust(millis), Effect.forEach([1, 2, 3, 4], () => Effect.yieldNow, { discard: true }))

const admin = (transport: Transport["Service"]) => Option.getOrThrow(transport.topology)

const info = (transport: Transport["Service"], group: Group) =>
  Effect.orDie(admin(transport).describeConsumer(STREAM, group.name))

const ackPending = (transport: Transport["Service"], group: Group) =>
  Effect.map(info(transport, group), (found) => Option.isSome(found) ? found.value.ackPending : 0)

// readers

const beginAll = Effect.fnUntraced(function*(recorder: Recorder, { groups, seed }: Scenario) {
  const running: Array<Running> = []
  for (const group of groups) {
    for (const [replica, { fromMs, until }] of group.replicas.entries()) {
      const handle = yield* makeReplica(recorder, seed, { group, replica })
      const fiber = yield* Effect.forkScoped(Effect.andThen(Effect.sleep(fromMs), handle.run))
      running.push({ group, fiber, stays: until === undefined })
      if (until !== undefined) {
        yield* Effect.forkScoped(leave(handle, fiber, until))
      }
    }
  }
  return running
})

const leave = (
  handle: Handle,
  fiber: Fiber.Fiber<void>,
  { atMs, how }: { readonly atMs: number; readonly how: "drain" | "interrupt" }
) => Effect.andThen(Effect.sleep(atMs), how === "drain" ? handle.drain : Fiber.interrupt(fiber))

/** Healing includes that somebody is there to do the work. It comes when everybody else is gone: `upTo` is for one. */
const reinforce = Effect.fnUntraced(function*(recorder: Recorder, { groups, seed }: Scenario, running: Array<Running>) {
  for (const group of groups) {
    const mine = running.filter((one) => one.group === group)
    if (mine.some((one) => one.stays)) {
      continue
    }
    const handle = yield* makeReplica(recorder, seed, { group, replica: group.replicas.length })
    const before = Effect.forEach(mine, (one) => Fiber.await(one.fiber), { discard: true })
    const fiber = yield* Effect.forkScoped(Effect.andThen(before, handle.run))
    running.push({ group, fiber, stays: true })
  }
})

const endAll = Effect.fnUntraced(function*(recorder: Recorder, running: ReadonlyArray<Running>) {
  yield* Effect.forkScoped(
    Effect.forEach(running, (one) => Fiber.interrupt(one.fiber), { concurrency: "unbounded", discard: true })
  )
  const deadline = recorder.now + END_WITHIN_MS
  const open = () => running.filter((one) => one.fiber.pollUnsafe() === undefined)
  while (open().length > 0 && recorder.now < deadline) {
    yield* pass(STEP_MS)
  }
  return open().map((one) => `a reader of ${one.group.name} does not end`)
})

// progress

/** What is not done yet. */
const open = Effect.fnUntraced(function*(
  recorder: Recorder,
  { groups }: Scenario,
  transport: Transport["Service"],
  publishers: ReadonlyArray<Fiber.Fiber<unknown>>
) {
  const lines: Array<string> = []
  if (publishers.some((fiber) => fiber.pollUnsafe() === undefined)) {
    lines.push("a publisher is not done")
  }
  for (const group of groups) {
    const found = yield* info(transport, group)
    if (Option.isNone(found)) {
      lines.push(`${group.name} has no consumer`)
    } else if (found.value.pending > 0 || found.value.ackPending > 0) {
      lines.push(`${group.name}: ${found.value.pending} to deliver, ${found.value.ackPending} unanswered`)
    }
    const held = recorder.inlets.reduce(
      (sum, one) => one.group === group && one.closedAt > recorder.now ? sum + one.inlet.ledger().held : sum,
      0
    )
    if (held > 0) {
      lines.push(`${group.name} holds ${held}`)
    }
  }
  if (recorder.running > 0) {
    lines.push(`${recorder.running} handlers run`)
  }
  if (lines.length === 0 && recorder.now - recorder.lastAt < QUIET_MS) {
    lines.push("something has just happened")
  }
  return lines
})

/** The whole stream, read by somebody whom nothing goes wrong for. */
const stored = Effect.fnUntraced(function*(transport: Transport["Service"]) {
  const stream = Option.getOrThrow(yield* Effect.orDie(admin(transport).describeStream(STREAM)))
  const found: Array<Stored> = []
  if (stream.messages === 0) {
    return found
  }
  const inlet = yield* Effect.orDie(transport.open(
    { _tag: "ordered", stream: STREAM, filters: [], start: { _tag: "all" } },
    {
      queue: { strategy: "suspend", messages: 10_000, bytes: 1e9, onDrop: { _tag: "Ack" } },
      ack: { _tag: "onProcess" },
      timeBudgetMs: 1e9
    }
  ))
  const decoder = new TextDecoder()
  while (found.length < stream.messages) {
    for (const delivery of yield* Effect.orDie(inlet.take(1_000))) {
      const id = /"id":"([^"]*)"/.exec(decoder.decode(delivery.payload))?.[1] ?? ""
      found.push({ sequence: delivery.streamSequence, id, subject: delivery.subject })
    }
  }
  return found
})
