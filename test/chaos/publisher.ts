/** A publisher's process: publishes up to its quota, chunk after chunk, and writes down what it intends and what became. */
import { setTimeout as sleep } from "node:timers/promises"
import { hashOf, job } from "./jobs.ts"
import { Journal, type Writing } from "./journal.ts"
import type { PublisherOrder, Quota, Said } from "./orders.ts"
import * as ours from "./ours.ts"
import * as raw from "./raw.ts"

const say = (said: Said): void => void process.send?.(said)

const KINDS = { Confirmed: "confirmed", NotSent: "notSent", Ambiguous: "ambiguous" } as const

let quota = 0
let wake = (): void => {}

const publish = async (order: PublisherOrder): Promise<void> => {
  const journal = new Journal(order.journal)
  const isRaw = order.mode === "raw" || order.mode === "raw-default"
  const send = await (isRaw ? raw : ours).publisher(order)
  let surfaced = 0
  const chunk = async (from: number, to: number): Promise<void> => {
    const all = Array.from({ length: to - from + 1 }, (_, index) => job(order.pub, from + index, order.bytes))
    journal.writeAll(all.map((one): Writing => ({ kind: "intent", pub: one.p, n: one.n, hash: hashOf(one) })))
    const outcomes = await send(all)
    surfaced += outcomes.filter(({ _tag }) => _tag !== "Confirmed").length
    journal.writeAll(outcomes.map((outcome, index): Writing => ({
      kind: KINDS[outcome._tag],
      pub: order.pub,
      n: from + index,
      ...(outcome._tag === "Confirmed" ? { seq: outcome.sequence, flag: outcome.duplicate ? 1 : 0 } : undefined)
    })))
  }
  say({ _tag: "ready" })
  const under = new Set<Promise<void>>()
  for (let n = 0;;) {
    while (n < quota) {
      const to = Math.min(quota, n + order.chunk)
      const sending = chunk(n + 1, to).finally(() => under.delete(sending))
      under.add(sending)
      n = to
      while (under.size >= order.ahead) {
        await Promise.race(under)
      }
      if (order.pauseMs > 0) {
        await sleep(order.pauseMs)
      }
    }
    await Promise.all(under)
    say({ _tag: "reached", n, surfaced })
    if (n >= quota) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
}

process.on("message", (told: PublisherOrder | Quota) => {
  if (told._tag === "upTo") {
    quota = told.n
    wake()
    return
  }
  publish(told).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(1)
  })
})

process.on("disconnect", () => process.exit(0))
