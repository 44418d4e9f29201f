/** Reading in order, without acks. */
import { setTimeout as sleep } from "node:timers/promises"
import { compare } from "../check/suffix.ts"
import { atDesk, type Case, series } from "./desk.ts"
import { STREAM } from "./readers.ts"
import { atMost, type Row, shown } from "./Row.ts"

/** It begins in the middle. */
const FROM = 100

const lose = (count: number): Case => ({
  name: `${count} lost`,
  act: ({ line }) => line.edit({ what: "lose", count })
})

const repeat: Case = { name: "repeated", act: ({ line }) => line.edit({ what: "repeat", count: 3 }) }

const cut: Case = { name: "cut", act: ({ line }) => line.cut() }

const reset: Case = {
  name: "consumer deleted",
  act: async (desk) => {
    const name = await desk.consumer()
    await desk.ask((jsm) => jsm.consumers.delete(STREAM, name))
  }
}

const kill = (downMs: number): Case => ({
  name: "server killed",
  isAway: true,
  act: async ({ server }) => {
    await server.kill()
    await sleep(downMs)
    await server.restart()
  }
})

/** Nothing that comes after it shows that it is missing. */
const loseTheLast: Case = {
  name: "last one lost",
  act: async (desk) => {
    await desk.rest()
    await desk.comes(() => desk.seen.some(({ n }) => n === desk.last))
    const lost = desk.line.edit({ what: "lose", count: 1 })
    await desk.store(1)
    await lost
    await desk.comes(() => desk.seen.some(({ n }) => n === desk.last))
    desk.publish()
  }
}

const SHORT = [lose(1), repeat, reset, loseTheLast, cut, kill(0)]
const CASES = [...SHORT, lose(20), reset, repeat, lose(1), loseTheLast, cut, kill(2_000), lose(5), reset, loseTheLast]

export const ordered: Row = {
  id: "T-21",
  fault: "reading in order: deliveries lost and repeated, consumer deleted, connection cut, server killed",
  figure: "exactly what is stored from there on, in order, once; gap ≤ 1 s",
  run: (context) =>
    atDesk(context, { consumer: "ordered", from: FROM }, async (desk) => {
      const all = await series(desk, context.isShort === true ? SHORT : CASES, context)
      const stored = await desk.stored(FROM)
      const { disordered, invented, missing, repeated } = compare(desk.seen, stored)
      const counted = `${missing} of ${stored.length} missing, ${repeated} repeated, ${disordered} out of order`
      const gap = Math.max(...all.map(({ gapMs }) => gapMs))
      return {
        measured: [`gap max ${shown(gap)}`, counted],
        wrong: [
          ...atMost("gap", gap, 1_000),
          ...(missing + repeated + disordered === 0 ? [] : [counted]),
          ...(invented === 0 ? [] : [`${invented} that nobody stored`])
        ]
      }
    })
}
