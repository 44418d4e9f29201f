/** A worker's process: told once what to do, and then how it is to suffer. SIGTERM asks it to stop. */
import { setTimeout as sleep } from "node:timers/promises"
import * as Worker from "../../src/Worker.ts"
import { Effects } from "./effects.ts"
import { hashOf } from "./jobs.ts"
import { Journal } from "./journal.ts"
import type { Said, WorkerAct, WorkerOrder } from "./orders.ts"
import * as ours from "./ours.ts"
import * as raw from "./raw.ts"

const say = (said: Said): void => void process.send?.(said)

let heldUntil = 0

const suffer = (act: WorkerAct): void => {
  if (act._tag === "hold") {
    heldUntil = performance.now() + act.ms
    return
  }
  const until = performance.now() + act.ms
  while (performance.now() < until) {
    // Computing.
  }
}

const handlerOf = (order: WorkerOrder): raw.Handler & { readonly journal: Journal } => {
  const journal = new Journal(order.journal)
  const health = new Journal(order.health)
  const effects = new Effects(order.effects)
  return {
    journal,
    healthy: (isHealthy) => health.write({ kind: isHealthy ? "healthy" : "unhealthy" }),
    call: async (job, seq, count, interrupted) => {
      const about = { pub: job.p, n: job.n, seq, count }
      journal.write({ kind: "start", ...about, hash: hashOf(job) })
      const now = performance.now()
      if (heldUntil > now) {
        await sleep(heldUntil - now)
      }
      const takesMs = job.n % 10 === 0 ? Math.max(order.slowMs, order.workMs) : order.workMs
      if (takesMs > 0) {
        await sleep(takesMs)
      }
      if (interrupted?.aborted === true) {
        return
      }
      journal.write({ kind: "effect", ...about })
      effects.make(job.p, job.n)
      journal.write({ kind: "end", ...about })
    }
  }
}

const work = async (order: WorkerOrder): Promise<void> => {
  const stop = new Promise<void>((resolve) => {
    process.once("SIGTERM", () => resolve())
  })
  const handler = handlerOf(order)
  handler.journal.write({ kind: "began", n: order.epoch })
  say({ _tag: "ready" })
  if (order.mode === "raw" || order.mode === "raw-default") {
    await raw.work(order, handler, stop)
  } else {
    const ledger = await ours.work(order, handler, stop)
    const addsUp = Worker.addsUp(ledger)
    handler.journal.write({ kind: "ledger", seq: ledger.total.processed, flag: addsUp ? 1 : 0 })
  }
}

process.on("message", (told: WorkerOrder | WorkerAct) => {
  if (told._tag !== "work") {
    suffer(told)
    return
  }
  work(told).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      process.exit(1)
    }
  )
})

// Nobody is there any more to journal for.
process.on("disconnect", () => process.exit(0))
