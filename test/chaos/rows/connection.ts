/** One server, and the line to it. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Plan } from "../faults.ts"
import type { FaultKind } from "../kinds.ts"
import {
  always,
  atMost,
  type Context,
  counted,
  drain,
  inWorld,
  isOurs,
  judge,
  type Judged,
  type Outcome,
  plan,
  type Row,
  seen,
  series,
  shown,
  times
} from "./Row.ts"

type Options = Parameters<typeof inWorld>[1]

const one = (
  context: Context,
  plans: ReadonlyArray<Plan>,
  found: (judged: Judged, surfaced: number) => Outcome,
  options: Partial<Options> = {}
): Promise<Outcome> =>
  inWorld(context, { nodes: 1, ...options }, async (world) => {
    const { judged, surfaced } = await series(world, plans)
    const { measured, wrong } = found(judged, surfaced)
    return { measured, wrong: [...wrong, ...always(judged)] }
  })

const recovered = (judged: Judged): string => {
  const { max, p50 } = times(judged.recoveries)
  return judged.recoveries.length === 1 ? shown(max) : `p50 ${shown(p50)}, max ${shown(max)}`
}

const downtimes = ({ isShort = false }: Context): ReadonlyArray<number> =>
  isShort ? [0, 2] : [0, 5, 1, 4, 2, 3, 0, 5, 1, 4]

const kill: Row = {
  id: "T-01",
  fault: "kill -9, back after 0 to 5 s, ten times",
  figure: "0 lost; first message p50 ≤ 250 ms, max ≤ 1 s; repeats ≤ what was in flight",
  run: (context) =>
    one(context, downtimes(context).map((s) => plan("kill", { ms: s * 1_000 })), (judged) => {
      const { max, p50 } = times(judged.recoveries)
      const most = judged.recoveries.length * 100
      return {
        measured: [recovered(judged), counted(judged)],
        wrong: [
          ...atMost("p50", p50, 250),
          ...atMost("max", max, 1_000),
          ...(judged.verdict.duplicateCalls > most
            ? [`${judged.verdict.duplicateCalls} repeats of at most ${most}`]
            : [])
        ]
      }
    })
}

const down: Row = {
  id: "T-02",
  fault: "down for 30 s",
  figure: "never gives up; first message ≤ 2.25 s after the server is ready",
  run: (context) =>
    one(context, [plan("kill", { ms: 30_000 })], (judged) => ({
      measured: [recovered(judged), counted(judged)],
      wrong: atMost("first message", times(judged.recoveries).max, 2_250)
    }))
}

const LONG_MS = 10 * 60_000

const downForLong: Row = {
  id: "T-02b",
  fault: "down for 10 min",
  figure: "never gives up; first message ≤ 2.25 s after the server is ready",
  isOnlyNamed: true,
  run: (context) =>
    inWorld(context, { nodes: 1 }, async (world) => {
      // What is published meanwhile has to fit into the time that anybody waits for its end.
      const { judged } = await series(world, [plan("kill", { ms: LONG_MS })], { perSecond: 50 })
      return {
        measured: [recovered(judged), counted(judged)],
        wrong: [...atMost("first message", times(judged.recoveries).max, 2_250), ...always(judged)]
      }
    })
}

const frozen: Row = {
  id: "T-03",
  fault: "frozen for 10 s and for 40 s",
  figure: "seen in ≤ 3 s; first message ≤ 250 ms after it thaws",
  run: (context) =>
    one(
      context,
      (context.isShort === true ? [4_000] : [10_000, 40_000]).map((ms) => plan("freeze", { ms })),
      (judged) => ({
        measured: [`seen after ${shown(seen(judged))}`, recovered(judged), counted(judged)],
        wrong: [...atMost("seen", seen(judged), 3_100), ...atMost("first message", times(judged.recoveries).max, 250)]
      })
    )
}

const graceful: Row = {
  id: "T-04a",
  fault: "one server: graceful stop, lame duck, each back after 1 s",
  figure: "first message ≤ 1 s after the server is ready; 0 errors surfaced",
  run: (context) =>
    one(context, [plan("stop", { ms: 1_000 }), plan("lameDuck", { ms: 1_000 })], (judged, surfaced) => ({
      measured: [recovered(judged), `${surfaced} surfaced`, counted(judged)],
      wrong: [
        ...atMost("first message", times(judged.recoveries).max, 1_000),
        ...(surfaced > 0 ? [`${surfaced} publishes failed`] : [])
      ]
    }))
}

const ways = ({ isShort = false }: Context): ReadonlyArray<FaultKind> =>
  isShort ? ["halfOpen", "halfOpenUp"] : ["halfOpen", "halfOpenUp", "halfOpenDown"]

const halfOpen: Row = {
  id: "T-05",
  fault: "half-open: both ways, up, down",
  figure: "seen in ≤ 3 s, flowing in ≤ 4 s",
  run: (context) =>
    one(context, ways(context).map((kind) => plan(kind)), (judged) => ({
      measured: [`seen after ${shown(seen(judged))}`, recovered(judged), counted(judged)],
      wrong: [...atMost("seen", seen(judged), 3_100), ...atMost("flowing", times(judged.recoveries).max, 4_000)]
    }), { patienceMs: 30_000 })
}

const MINUTE_MS = 60_000
const CUT_EVERY_MS = 500
const BACKLOG = 30_000

/** A backlog is worked off while the line is cut, and while it is not. */
const cuts: Row = {
  id: "T-06",
  fault: "cut every 500 ms for a minute",
  figure: "0 lost; ≥ 50 % of the throughput without faults; memory ≤ +64 MB",
  run: (context) =>
    inWorld(context, { nodes: 1, publishers: 1, chunk: 256, pauseMs: 0, workMs: 10, lanes: 4 }, async (world) => {
      const publisher = world.publishers[0]!
      publisher.tell({ _tag: "upTo", n: BACKLOG })
      await publisher.hear("reached", ({ n }) => n >= BACKLOG)
      const count = async (ms: number, act: () => Promise<void>): Promise<number> => {
        const from = performance.now()
        const before = world.started()
        while (performance.now() - from < ms) {
          await act()
        }
        return (world.started() - before) / (performance.now() - from) * 1_000
      }
      const calm = await count(10_000, () => sleep(100))
      const cut = world.fault("cut")
      const rough = await count(MINUTE_MS, async () => {
        await sleep(CUT_EVERY_MS)
        await world.lines[0]!.cut()
      })
      await cut()
      // What was stored now waits behind the backlog: that it takes its time proves nothing.
      world.isStuck = false
      await drain(world, BACKLOG, 180_000)
      const judged = await judge(world, 120 * world.options.capacity)
      const share = Math.round(rough / calm * 100)
      return {
        measured: [`${share} % of ${Math.round(calm)}/s`, counted(judged), `+${judged.verdict.rssGrowthMb} MB`],
        wrong: [
          ...(share >= 50 ? [] : [`${share} % of the throughput`]),
          ...(judged.verdict.rssGrowthMb <= 64 ? [] : [`the worker has grown by ${judged.verdict.rssGrowthMb} MB`]),
          ...always(judged)
        ]
      }
    })
}

const refused: Row = {
  id: "T-07",
  fault: "refused for 5 s and for a minute",
  figure: "first message ≤ 2.25 s after it is taken again",
  run: (context) =>
    one(context, [plan("refuse", { ms: 5_000 }), plan("refuse", { ms: MINUTE_MS })], (judged) => ({
      measured: [recovered(judged), counted(judged)],
      wrong: atMost("first message", times(judged.recoveries).max, 2_250)
    }))
}

const thin: Row = {
  id: "T-08",
  fault: "100 to 300 ms late, 1 Mbit/s, in slices of 512 bytes, for 20 s",
  figure: "0 lost; ≤ 1 % repeated",
  run: (context) =>
    one(context, [plan("slow", { ms: 20_000 })], (judged) => {
      const { duplicateCalls, published } = judged.verdict
      const share = duplicateCalls / published * 100
      return {
        measured: [counted(judged), `${share.toFixed(2)} %`],
        wrong: share <= 1 ? [] : [`${share.toFixed(2)} % repeated`]
      }
    })
}

const deleted: Row = {
  id: "T-18",
  fault: "the durable is deleted",
  figure: "made again, first message ≤ 1 s",
  run: (context) =>
    one(context, context.isShort === true ? [plan("delete")] : [plan("delete"), plan("delete")], (judged) => ({
      measured: [recovered(judged), counted(judged)],
      wrong: isOurs(context.mode) ? atMost("first message", times(judged.recoveries).max, 1_000) : []
    }), { patienceMs: 30_000 })
}

export const connection: ReadonlyArray<Row> = [
  kill,
  down,
  downForLong,
  frozen,
  graceful,
  halfOpen,
  cuts,
  refused,
  thin,
  deleted
]
