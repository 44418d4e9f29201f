/**
 * The faults as verbs: each one breaks something, mends it, and writes down both. It is over when it is mended, whether
 * the program has noticed or not.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { now } from "./journal.ts"
import type { FaultKind } from "./kinds.ts"
import type { World } from "./world.ts"

/** Which, for how long, and with the publishers' lines too. */
export interface Plan {
  readonly kind: FaultKind
  readonly ms: number
  readonly node: number
  readonly publishersToo: boolean
}

export const inject = (world: World, plan: Plan): Promise<void> => faults[plan.kind](world, plan)

// internals

type Fault = (world: World, plan: Plan) => Promise<void>

/** A server that goes away and comes back. With others left, it is over when they can do without it. */
const downtime =
  (kind: FaultKind, goAway: (world: World, node: number) => Promise<void>): Fault => async (world, { ms, node }) => {
    const healed = world.fault(kind)
    await goAway(world, node)
    if (world.cluster.size === 1) {
      await sleep(ms)
      await world.cluster.restart(node)
      await healed()
      return
    }
    await healed()
    await sleep(ms)
    await world.cluster.restart(node)
    await world.eye.whole(world.cluster.size)
  }

const freeze: Fault = async (world, { ms, node }) => {
  const healed = world.fault("freeze")
  await world.cluster.freeze(node)
  if (world.cluster.size > 1) {
    await healed()
  }
  await sleep(ms)
  await world.cluster.thaw(node)
  if (world.cluster.size === 1) {
    await healed(now())
  } else {
    await world.eye.whole(world.cluster.size)
  }
}

/** The lines that a fault of the network is on: to every node, or there would be another way. */
const linesOf = (world: World, { publishersToo }: Plan) =>
  publishersToo ? [...world.lines, ...world.publisherLines] : world.lines

type Line = World["lines"][number]

/** Over as soon as it has happened: a new connection works. */
const sudden = (kind: FaultKind, act: (line: Line) => Promise<void>): Fault => async (world, plan) => {
  const healed = world.fault(kind)
  await Promise.all(linesOf(world, plan).map(act))
  await healed(now())
}

const lasting =
  (kind: FaultKind, on: (line: Line) => Promise<void>, off: (line: Line) => Promise<void>): Fault =>
  async (world, plan) => {
    const healed = world.fault(kind)
    await Promise.all(linesOf(world, plan).map(on))
    await sleep(plan.ms)
    await Promise.all(linesOf(world, plan).map(off))
    await healed(now())
  }

const suffering = (kind: "block" | "hold"): Fault => async (world, { ms }) => {
  const healed = world.fault(kind)
  world.worker.tell({ _tag: kind, ms })
  await sleep(ms)
  await healed(now())
}

const workerKill: Fault = async (world) => {
  const healed = world.fault("workerKill")
  await world.dismiss(world.worker, world.epoch, "SIGKILL")
  await world.hire()
  await healed(now())
}

/** A deployment: the next one is there before the last one goes. */
const workerStop: Fault = async (world) => {
  const healed = world.fault("workerStop")
  const [before, epoch] = [world.worker, world.epoch]
  await world.hire()
  await world.dismiss(before, epoch, "SIGTERM")
  await healed(now())
}

const stepDown = (of: "consumer" | "stream"): Fault => async (world) => {
  const healed = world.fault(`${of}StepDown`)
  await world.eye.stepDown(of)
  await healed(now())
}

const faults: Readonly<Record<FaultKind, Fault>> = {
  kill: downtime("kill", (world, node) => world.cluster.kill(node)),
  stop: downtime("stop", (world, node) => world.cluster.stop(node)),
  lameDuck: downtime("lameDuck", (world, node) => world.cluster.lameDuck(node)),
  freeze,
  cut: sudden("cut", (line) => line.cut()),
  garble: sudden("garble", (line) => line.garble("\r\n\0\xffHALLO 1 2 3\r\nMSG\r\n")),
  halfOpen: sudden("halfOpen", (line) => line.blackhole("both")),
  halfOpenUp: sudden("halfOpenUp", (line) => line.blackhole("up")),
  halfOpenDown: sudden("halfOpenDown", (line) => line.blackhole("down")),
  refuse: lasting("refuse", async (line) => {
    await line.refuse(true)
    await line.cut()
  }, (line) => line.refuse(false)),
  slow: lasting(
    "slow",
    (line) => line.shape({ latencyMs: 100, jitterMs: 200, bytesPerSecond: 125_000, sliceBytes: 512 }),
    (line) => line.shape(undefined)
  ),
  block: suffering("block"),
  hold: suffering("hold"),
  workerKill,
  workerStop,
  consumerStepDown: stepDown("consumer"),
  streamStepDown: stepDown("stream"),
  delete: async (world) => {
    const healed = world.fault("delete")
    await world.eye.deleteConsumer()
    await healed(now())
  }
}
