/**
 * Runs a scenario on virtual time: first with everything that the seed has in store, then healed, until everything is
 * done or the time is up.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import * as Faulty from "../../src/layers/Faulty.ts"
import * as Memory from "../../src/layers/Memory.ts"
import * as Topology from "../../src/Topology.ts"
import { happen } from "./happenings.ts"
import type { History } from "./history.ts"
import { STREAM } from "./names.ts"
import * as progress from "./progress.ts"
import * as publishing from "./publishing.ts"
import { Recorder } from "./recorder.ts"
import { type Handle, make as makeReplica } from "./replica.ts"
import { BUDGET_MS, type Group, type Scenario } from "./scenario.ts"
import * as stored from "./stored.ts"

const STEP_MS = 250
/** Healed, everything is done within this time, or never. */
const PROGRESS_WITHIN_MS = 240_000
const END_WITHIN_MS = 60_000
/** No longer than a publisher tries: one that tries longer is stored twice. */
const settings = { subjects: ["sim.>"], duplicateWindow: BUDGET_MS } as const

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
  yield* Effect.forkScoped(recorder.listen(broker, scenario.groups), { startImmediately: true })
  yield* Effect.orDie(broker.topology.createStream(Topology.stream(STREAM, { ...settings, ...scenario.limits })))

  const publishers = yield* Effect.forEach(
    scenario.publishers,
    (sendings) => Effect.forkScoped(publishing.run(recorder, scenario.seed, sendings))
  )
  const running = yield* beginAll(recorder, scenario)
  for (const happening of scenario.happenings) {
    yield* Effect.forkScoped(Effect.andThen(Effect.sleep(happening.atMs), happen(recorder, happening)))
  }
  const watch = Effect.forEach(
    scenario.groups,
    (group) => Effect.map(progress.ackPending(group), (count) => recorder.watch(group, count)),
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
  let stuck = yield* progress.open(recorder, scenario, publishers)
  while (stuck.length > 0 && recorder.now < deadline) {
    yield* pass(STEP_MS)
    yield* watch
    stuck = yield* progress.open(recorder, scenario, publishers)
  }
  const left = yield* endAll(recorder, running)
  const died = deaths([...publishers, ...running.map(({ fiber }) => fiber)])
  const history: History = {
    scenario,
    events: recorder.events,
    closings: recorder.closings,
    stored: yield* stored.all(broker),
    faults: [...yield* faults.injected, ...scenario.happenings],
    stuck: [...stuck, ...left, ...died]
  }
  return history
})

/** Time goes on, and everybody does what there is to do. */
const pass = (millis: number) =>
  Effect.andThen(TestClock.adjust(millis), Effect.forEach([1, 2, 3, 4], () => Effect.yieldNow, { discard: true }))

// readers

const beginAll = Effect.fnUntraced(function*(recorder: Recorder, { groups, seed }: Scenario) {
  const running: Array<Running> = []
  for (const group of groups) {
    for (const [replica, { fromMs, until }] of group.replicas.entries()) {
      const handle = yield* makeReplica(recorder, seed, { group, replica })
      const fiber = yield* Effect.forkScoped(Effect.andThen(Effect.sleep(fromMs), handle.run))
      running.push({ group, fiber, stays: until === undefined })
      if (until !== undefined) {
        const left = Effect.map(progress.leased(group), (count) => recorder.left({ group, replica }, count))
        yield* Effect.forkScoped(Effect.andThen(leave(handle, fiber, until), Effect.andThen(Fiber.await(fiber), left)))
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

/** Whoever died of a defect did nothing wrong any more, nor anything else: that must not look as if all were well. */
const deaths = (fibers: ReadonlyArray<Fiber.Fiber<unknown, unknown>>): ReadonlyArray<string> =>
  fibers.flatMap((fiber) => {
    const exit = fiber.pollUnsafe()
    return exit !== undefined && Exit.isFailure(exit) && Cause.hasDies(exit.cause)
      ? [`somebody died: ${Cause.pretty(exit.cause)}`]
      : []
  })
