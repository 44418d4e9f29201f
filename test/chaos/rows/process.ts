/** The process that works: its handlers stop, its memory is bounded, it is told to end. */
import { setTimeout as sleep } from "node:timers/promises"
import { percentiles } from "../check/recovery.ts"
import type { Run } from "../check/Run.ts"
import type { Process } from "../crew.ts"
import { inject } from "../faults.ts"
import {
  always,
  atMost,
  counted,
  drain,
  inWorld,
  isOurs,
  judge,
  Load,
  type Outcome,
  plan,
  type Row,
  shown
} from "./Row.ts"

const HELD_MS = 60_000

const held: Row = {
  id: "T-31",
  fault: "handlers stop for 60 s, ack wait 5 s",
  figure: "unanswered ≤ capacity, memory ≤ +32 MB, 0 repeated",
  run: (context) =>
    inWorld(context, { nodes: 1 }, async (world) => {
      const load = new Load(world, 500)
      await sleep(5_000)
      const before = world.worker.memory()
      const { capacity } = world.options
      let most = 0
      let memory = before
      const suffering = inject(world, plan("hold", { ms: HELD_MS }))
      for (let at = 0; at < HELD_MS - 1_000; at += 250) {
        await sleep(250)
        most = Math.max(most, (await world.eye.info()).num_ack_pending)
        memory = Math.max(memory, world.worker.memory())
      }
      await suffering
      await load.stop(60_000)
      const judged = await judge(world)
      const grownMb = Math.round((memory - before) / 1_024)
      const repeats = judged.verdict.duplicateCalls
      return {
        measured: [`${most} unanswered of ${capacity}`, `+${grownMb} MB`, counted(judged)],
        wrong: [
          ...(most <= capacity ? [] : [`${most} unanswered, more than ${capacity}`]),
          ...(grownMb <= 32 ? [] : [`the worker has grown by ${grownMb} MB`]),
          ...(repeats === 0 ? [] : [`${repeats} repeated`]),
          ...always(judged)
        ]
      }
    })
}

const ACK_WAIT_MS = 1_000
const QUICK_MS = 200
const SLOW_MS = 20_000
/** Of each publisher. */
const JOBS = 80

const slow: Row = {
  id: "T-22",
  fault: "handlers that take 0.2 ack waits, every tenth 20 of them, with 100 prefetched",
  figure: "amplification ≤ 1.01",
  run: (context) =>
    inWorld(
      context,
      { nodes: 1, ackWaitMs: ACK_WAIT_MS, workMs: QUICK_MS, slowMs: SLOW_MS, lanes: 64, patienceMs: 120_000 },
      async (world): Promise<Outcome> => {
        await drain(world, JOBS, 120_000)
        const judged = await judge(world)
        const { duplicateCalls, processed, published } = judged.verdict
        const amplification = (processed + duplicateCalls) / processed
        return {
          measured: [`${amplification.toFixed(2)} calls for each message`, `${processed} of ${published} done`],
          wrong: [
            ...(amplification <= 1.01 ? [] : [`${amplification.toFixed(2)} calls for each message`]),
            ...(processed === published ? [] : [`${processed} of ${published} done`]),
            ...always(judged)
          ]
        }
      }
    )
}

const PAYLOAD = 64 * 1_024
const GIGABYTE = 16_384
/** So many before that, so that a heap has found its size. */
const CALM = 8_192
const FROZEN_MS = 20_000

/** The most that a process holds while something goes on, in MB, beyond what it held before. */
const growth = async (process: Process, during: Promise<unknown>): Promise<number> => {
  const before = process.memory()
  let most = before
  let isOver = false
  void during.finally(() => {
    isOver = true
  })
  while (!isOver) {
    await sleep(50)
    most = Math.max(most, process.memory())
  }
  return Math.round((most - before) / 1_024)
}

const gigabyte: Row = {
  id: "T-32",
  fault: "1 GB published, the server frozen for 20 s meanwhile",
  figure: "memory ≤ +64 MB beyond a calm gigabyte's, callers wait, 0 lost",
  run: (context) => {
    const options = { nodes: 1, publishers: 1, bytes: PAYLOAD, chunk: 1, ahead: 256, pauseMs: 0, workMs: 0 } as const
    return inWorld(context, options, async (world): Promise<Outcome> => {
      const publisher = world.publishers[0]!
      const publish = async (n: number): Promise<number> => {
        const reached = publisher.hear("reached", (said) => said.n >= n)
        publisher.tell({ _tag: "upTo", n })
        return (await reached).surfaced
      }
      const calmMb = await growth(publisher, publish(CALM))
      const frozen = inject(world, plan("freeze", { ms: FROZEN_MS }))
      const publishing = publish(CALM + GIGABYTE)
      const grownMb = await growth(publisher, Promise.all([frozen, publishing]))
      const surfaced = await publishing
      await drain(world, CALM + GIGABYTE, 60_000)
      const judged = await judge(world)
      return {
        measured: [`+${calmMb} MB calm, +${grownMb} MB more frozen`, `${surfaced} surfaced`, counted(judged)],
        wrong: [
          ...(grownMb <= 64 ? [] : [`the publisher has grown by ${grownMb} MB`]),
          ...(surfaced === 0 ? [] : [`${surfaced} publishes failed`]),
          ...always(judged)
        ]
      }
    })
  }
}

const STOPS = 50
const GRACE_MS = 1_200
/**
 * Hardly two keys of which one takes long share a lane. In a lane that another key keeps busy, a peer has what came back and
 * does not begin with it; that says how many lanes there are, and nothing of the one who gave it back.
 */
const LANES = 8_192

/** From the end of a worker to the beginning of what it had begun and not done, with its peer. */
const leftovers = (run: Run): ReadonlyArray<number> => {
  const times: Array<number> = []
  for (const { calls } of run.messages.values()) {
    for (const call of calls) {
      const gone = run.workers.get(call.worker)?.gone
      const next = calls.find((other) => other.worker !== call.worker && other.from > call.from)
      if (call.until === undefined && gone !== undefined && next !== undefined) {
        times.push(Math.max(0, next.from - gone.at))
      }
    }
  }
  return times
}

const stopped: Row = {
  id: "T-36",
  fault: `SIGTERM under load, ${STOPS} times, every tenth call longer than the grace`,
  figure: "exit 0 within the grace; 0 acknowledged and not done; a peer has the leftovers in ≤ 1 s",
  run: (context) =>
    inWorld(context, { nodes: 1, workMs: 20, slowMs: 2_000, graceMs: GRACE_MS, lanes: LANES }, async (world) => {
      const load = new Load(world, 20)
      for (let index = 0; index < STOPS; index++) {
        await sleep(300)
        await inject(world, plan("workerStop"))
      }
      await load.stop()
      const judged = await judge(world, 50 * world.options.capacity)
      const left = leftovers(judged.run)
      const { max, p50 } = percentiles(left)
      const ends = [...judged.run.workers.values()].flatMap(({ gone }) => gone === undefined ? [] : [gone])
      const ill = ends.filter(({ code, tookMs }) => code !== 0 || tookMs > GRACE_MS + 500)
      const well = ends.length - ill.length
      return {
        measured: [
          `${well} of ${ends.length} ended well`,
          left.length === 0 ? "no leftovers" : `${left.length} leftovers: p50 ${shown(p50)}, max ${shown(max)}`,
          counted(judged)
        ],
        wrong: [
          ...ill.map(({ code, tookMs }) => `one ended with ${code} after ${tookMs} ms`),
          ...(left.length > 0 || !isOurs(context.mode)
            ? atMost("leftovers", max, 1_000)
            : ["no leftovers: nothing shown"]),
          ...always(judged).filter((finding) => !finding.startsWith("C10"))
        ]
      }
    })
}

export const processes: ReadonlyArray<Row> = [slow, held, gigabyte, stopped]
