/** Three servers, of which one leads the stream and one the consumer. */
import { setTimeout as sleep } from "node:timers/promises"
import { percentiles } from "../check/recovery.ts"
import { inject } from "../faults.ts"
import type { FaultKind } from "../kinds.ts"
import type { World } from "../world.ts"
import {
  always,
  atMost,
  type Context,
  counted,
  inWorld,
  judge,
  type Judged,
  Load,
  type Outcome,
  plan,
  type Row,
  shown,
  times
} from "./Row.ts"

const under = (
  context: Context,
  suffer: (world: World) => Promise<void>,
  found: (judged: Judged, surfaced: number) => Outcome
): Promise<Outcome> =>
  inWorld(context, { nodes: 3, patienceMs: 60_000 }, async (world) => {
    const load = new Load(world, 300)
    await world.eye.whole(3)
    await sleep(2_000)
    await suffer(world).catch(() => {
      world.isStuck = true
    })
    await sleep(1_000)
    const surfaced = await load.stop()
    const judged = await judge(world)
    const { measured, wrong } = found(judged, surfaced)
    // That nobody leads is told, too.
    const lies = judged.verdict.findings.filter((finding) => finding.startsWith("C9"))
    return { measured, wrong: [...wrong, ...lies, ...always(judged)] }
  })

/** The pauses in handling that faults of this kind made. */
const gaps = (judged: Judged, kind: FaultKind) =>
  percentiles(judged.recoveries.filter(({ fault }) => fault.kind === kind).map(({ gapMs }) => gapMs))

const repeated = (kind: FaultKind, count: number, pauseMs: number) => async (world: World): Promise<void> => {
  for (let index = 0; index < count; index++) {
    await inject(world, plan(kind))
    await sleep(pauseMs)
  }
}

const stepDowns: Row = {
  id: "T-15a",
  fault: "the consumer's leader steps down, 50 times",
  figure: "gap ≤ 1 s at p99",
  run: (context) =>
    under(context, repeated("consumerStepDown", 50, 300), (judged) => {
      const { p50, p99 } = gaps(judged, "consumerStepDown")
      return {
        measured: [`gap p50 ${shown(p50)}, p99 ${shown(p99)}`, counted(judged)],
        wrong: atMost("gap", p99, 1_000)
      }
    })
}

/** The election is over when the server answers for the consumer again. */
const leaderGone = (id: string, kind: "kill" | "freeze", fault: string): Row => ({
  id,
  fault,
  figure: "first message ≤ 500 ms after the election",
  run: (context) =>
    under(context, async (world) => {
      for (let index = 0; index < 3; index++) {
        const node = world.cluster.nodeOf(await world.eye.leader("consumer"))
        await inject(world, plan(kind, { node, ms: kind === "kill" ? 1_000 : 10_000 }))
        await sleep(2_000)
      }
    }, (judged) => {
      const { max, p50 } = times(judged.recoveries)
      return {
        measured: [`p50 ${shown(p50)}, max ${shown(max)}`, counted(judged)],
        wrong: atMost("first message", max, 500)
      }
    })
})

const publishing: Row = {
  id: "T-16",
  fault: "the stream's leader steps down 20 times, is killed, is frozen for 10 s",
  figure: "0 publishes surfaced, 0 stored twice",
  run: (context) =>
    under(context, async (world) => {
      await repeated("streamStepDown", 20, 300)(world)
      for (const kind of ["kill", "freeze"] as const) {
        const node = world.cluster.nodeOf(await world.eye.leader("stream"))
        await inject(world, plan(kind, { node, ms: kind === "kill" ? 1_000 : 10_000 }))
        await sleep(1_000)
      }
    }, (judged, surfaced) => ({
      measured: [`${surfaced} surfaced`, counted(judged)],
      wrong: surfaced > 0 ? [`${surfaced} publishes failed`] : []
    }))
}

const rolling: Row = {
  id: "T-04b",
  fault: "three servers: rolling restart by lame duck",
  figure: "gap ≤ 1 s; 0 errors surfaced",
  run: (context) =>
    under(context, async (world) => {
      for (let node = 0; node < 3; node++) {
        await inject(world, plan("lameDuck", { node, ms: 3_000 }))
        await sleep(1_000)
      }
    }, (judged, surfaced) => {
      const { max } = gaps(judged, "lameDuck")
      return {
        measured: [`gap max ${shown(max)}`, `${surfaced} surfaced`, counted(judged)],
        wrong: [...atMost("gap", max, 1_000), ...(surfaced > 0 ? [`${surfaced} publishes failed`] : [])]
      }
    })
}

export const cluster: ReadonlyArray<Row> = [
  rolling,
  stepDowns,
  leaderGone("T-15b", "kill", "the consumer's leader is killed, 3 times"),
  leaderGone("T-15c", "freeze", "the consumer's leader is frozen for 10 s, 3 times"),
  publishing
]
