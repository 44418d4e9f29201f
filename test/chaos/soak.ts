/** A seed's faults over a stream of messages; then everything is healed, and what is left has to be done in time. */
import { setTimeout as sleep } from "node:timers/promises"
import { type Limits, type Verdict, verdict } from "./check/verdict.ts"
import { inject } from "./faults.ts"
import type { Mode } from "./orders.ts"
import { make, type Step } from "./schedule.ts"
import { DEFAULTS, type Options, World } from "./world.ts"

export interface Order {
  readonly seed: number
  readonly messages: number
  readonly faults: number
  readonly nodes: 1 | 3
  readonly mode: Mode
  readonly version?: string | undefined
  /** These faults instead of the seed's. */
  readonly steps?: ReadonlyArray<Step> | undefined
  /** How long the server waits for an answer, in ms: what a fault swallows comes again after that. */
  readonly ackWaitMs?: number | undefined
  /** How long anybody waits for a recovery, or for the end, before it counts as one that never comes. */
  readonly patienceMs?: number | undefined
  readonly say: (line: string) => void
}

/** After the last healing, so long until everything is done. */
const DRAINS_WITHIN_MS = 60_000
/** Longer than a publisher tries: so long nothing may be stored before all of it is. */
const PUBLISHES_WITHIN_MS = 35_000
const PACE_MS = 1_000
/** Longer than the acks and their last answers take. */
const QUIET_MS = 1_500

export const limitsOf = (options: Pick<Options, "mode"> & Partial<Options>): Limits => {
  const { ackWaitMs, capacity, graceMs } = { ...DEFAULTS, ...options }
  return {
    // What a fault finds under way, and what the one that took over had been given by then.
    inFlight: 2 * capacity,
    ackWaitMs,
    graceMs,
    recoveryMs: 4_000,
    maxRssGrowthMb: 64,
    health: options.mode === "thread" ? "all" : options.mode === "inline" ? "connection" : "none"
  }
}

export const soak = async (order: Order): Promise<Verdict & { readonly drainedMs: number }> => {
  const {
    ackWaitMs = DEFAULTS.ackWaitMs,
    patienceMs = DEFAULTS.patienceMs,
    messages,
    mode,
    nodes,
    say,
    seed,
    version
  } = order
  const steps = order.steps ?? make(seed, order.faults, nodes)
  const faults = steps.length
  const pauseMs = 20
  const perFault = Math.ceil(messages / (faults + 1))
  // So that a share takes some three seconds; what a fault holds up comes later.
  const chunk = Math.max(1, Math.min(256, Math.ceil(perFault / DEFAULTS.publishers / (3_000 / pauseMs))))
  const world = await World.start({ mode, nodes, version, chunk, pauseMs, ackWaitMs, patienceMs })
  let isClean = false
  try {
    say(`nats-server ${world.cluster.version}, ${nodes} node(s), mode ${mode}, journals in ${world.directory}`)
    await suffer(world, order, steps)
    const drainsWithinMs = world.isStuck ? 0 : Math.min(DRAINS_WITHIN_MS, 4 * patienceMs)
    const late = await publishAll(world, messages, world.isStuck ? 0 : Math.min(PUBLISHES_WITHIN_MS, 4 * patienceMs))
    const began = performance.now()
    await world.handledSince(await world.eye.ready(), drainsWithinMs)
    late.push(...await settled(world, drainsWithinMs))
    const drainedMs = Math.round(performance.now() - began)
    await world.dismiss(world.worker, world.epoch, "SIGTERM")
    const found = verdict(await world.journals(), limitsOf({ mode, ackWaitMs }))
    isClean = found.findings.length === 0 && late.length === 0
    return { ...found, findings: [...found.findings, ...late], drainedMs }
  } finally {
    await world.end(!isClean)
  }
}

/** The first one has what is left over. */
const share = (messages: number, index: number, of: number): number =>
  index === 0 ? messages - Math.floor(messages / of) * (of - 1) : Math.floor(messages / of)

/** A share of the messages for each fault, and one for the time after the last. */
const quota = (world: World, messages: number, shares: number, of: number): void => {
  for (const [index, publisher] of world.publishers.entries()) {
    const mine = share(messages, index, world.publishers.length)
    publisher.tell({ _tag: "upTo", n: Math.floor(mine * shares / of) })
  }
}

const suffer = async (world: World, { messages, say }: Order, steps: ReadonlyArray<Step>): Promise<void> => {
  let under: Promise<void> = Promise.resolve()
  for (const [index, step] of steps.entries()) {
    if (world.isStuck) {
      break
    }
    quota(world, messages, index + 1, steps.length + 1)
    if (step.overlaps) {
      await sleep(Math.min(step.afterMs, 300))
    } else {
      await under
      await sleep(step.afterMs)
    }
    say(
      `${index + 1}/${steps.length} ${step.kind} ${step.ms > 0 ? `${step.ms} ms` : ""}${
        step.overlaps ? " (overlapping)" : ""
      }`
    )
    const mine = inject(world, step)
    under = Promise.all([under, mine]).then(() => {})
    under.catch(() => {})
  }
  await under
}

/** What is wrong with that: nothing, if all publishers reach their end. With many messages they lag behind the faults. */
const publishAll = async (world: World, messages: number, withinMs: number): Promise<Array<string>> => {
  const given = world.publishers.length
  const all = Promise.all(world.publishers.map((publisher, index) => {
    const mine = share(messages, index, given)
    const reached = publisher.hear("reached", ({ n }) => n >= mine)
    publisher.tell({ _tag: "upTo", n: mine })
    return reached
  }))
  const isDone = all.then(() => true)
  let stored = -1
  let movedAt = performance.now()
  while (!await Promise.race([isDone, sleep(PACE_MS, false)])) {
    const { delivered, num_pending } = await world.eye.info()
    const now = performance.now()
    if (delivered.stream_seq + num_pending > stored) {
      stored = delivered.stream_seq + num_pending
      movedAt = now
    } else if (now - movedAt >= withinMs) {
      return [`C8: the publishers are not done, and have got no further for ${withinMs} ms`]
    }
  }
  return []
}

/** Nothing is unanswered any more. */
const settled = async (world: World, withinMs: number): Promise<ReadonlyArray<string>> => {
  const deadline = performance.now() + withinMs
  while (performance.now() < deadline) {
    const { num_ack_pending, num_pending } = await world.eye.info()
    if (num_ack_pending === 0 && num_pending === 0) {
      await sleep(QUIET_MS)
      return []
    }
    await sleep(100)
  }
  return [`C8: not everything is done ${withinMs} ms after the last fault was healed`]
}
