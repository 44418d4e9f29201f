/**
 * `npm run starve -- --block 20s --ack-wait 5s --messages 300 --mode thread|inline|raw --json`
 *
 * Starts a nats-server that pings every 2 s and gives up after two pings, and a worker whose handler computes without a
 * pause for `--block` on its first message. Prints what that did: with `all`, the default, one row for each mode.
 */
import * as Effect from "effect/Effect"
import { fork } from "node:child_process"
import { parseArgs } from "node:util"
import type { Report } from "../../src/Health.ts"
import { start } from "../support/nats-server.ts"
import { freePort } from "../support/nats/port.ts"
import { whole } from "../support/whole.ts"
import { witness } from "../support/witness.ts"
import type { Order, Outcome } from "./worker.ts"

const MODES = ["thread", "inline", "raw"] as const

const { values } = parseArgs({
  options: {
    block: { type: "string", default: "20s" },
    "ack-wait": { type: "string", default: "5s" },
    messages: { type: "string", default: "300" },
    mode: { type: "string", default: "all" },
    json: { type: "boolean", default: false }
  }
})

const refuse = (problem: string): never => {
  process.stderr.write(`${problem}\n`)
  process.exit(2)
}

const millis = (name: string, text: string): number => {
  const [, number, unit] = /^(\d+)(ms|s)$/.exec(text) ?? refuse(`--${name} must be like 20s or 500ms, not ${text}`)
  return Number(number) * (unit === "s" ? 1_000 : 1)
}

const modes = values.mode === "all" ? MODES : MODES.filter((mode) => mode === values.mode)
if (modes.length === 0) {
  refuse(`--mode must be ${MODES.join(", ")} or all, not ${values.mode}`)
}
const messages = whole("messages", values.messages, 1)

interface Row extends Outcome {
  readonly mode: string
  /** How often the server gave the worker's connection up. */
  readonly disconnects: number
  readonly acked: number
  /** How long the application had been blocked when that was first to be seen from outside; null: it never was. */
  readonly healthSeenMs: number | null
}

/** Connections of the worker that the server has closed before the worker said that it is done. */
const closed = async (monitor: string): Promise<number> => {
  const answer = await fetch(`${monitor}/connz?state=closed`)
  const { connections } = await answer.json() as { readonly connections: ReadonlyArray<{ readonly name?: string }> }
  return connections.filter(({ name }) => name === "starve").length
}

/** Asks from outside until it is told that the application is blocked; of one that tells nothing, nothing is known. */
const watch = (port: number) => {
  let seen: number | null = null
  const look = async () => {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/health`)
      const { application } = await answer.json() as Report
      if (seen === null && application.blockedMs > 0) {
        seen = application.blockedMs
      }
    } catch {
      // Not listening: not yet, no more, or never.
    }
  }
  const timer = setInterval(() => void look(), 50)
  return () => {
    clearInterval(timer)
    return seen
  }
}

/** The worker is a process of its own: whoever watches it must not be blocked with it. */
const work = (order: Order): Promise<{ readonly outcome: Outcome; readonly end: () => void }> => {
  const child = fork(new URL("./worker.ts", import.meta.url), { execArgv: process.execArgv })
  const end = () => void child.kill("SIGKILL")
  return new Promise((resolve, reject) => {
    child.once("message", (outcome) => resolve({ outcome: outcome as Outcome, end }))
    child.once("exit", (code) => reject(new Error(`the worker ended with ${code}`)))
    child.send(order)
  })
}

const run = async (mode: Order["mode"]): Promise<Row> => {
  const monitor = await freePort()
  const server = await start({ config: `http: "127.0.0.1:${monitor}"\nping_interval: "2s"\nping_max: 2` })
  try {
    const ackWaitMs = millis("ack-wait", values["ack-wait"])
    const blockMs = millis("block", values.block)
    const healthPort = await freePort()
    const stop = watch(healthPort)
    const { end, outcome } = await work({ mode, url: server.url, messages, blockMs, ackWaitMs, healthPort })
    const healthSeenMs = stop()
    const disconnects = await closed(`http://127.0.0.1:${monitor}`)
    const acked = await Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(
          witness(server.url),
          (eyes) =>
            Effect.promise(async () =>
              messages - await eyes.pending("STARVE", "starve") - await eyes.ackPending("STARVE", "starve")
            )
        )
      )
    )
    end()
    const { extraCalls, maxDeliveryCount, ms } = outcome
    return { mode, disconnects, extraCalls, acked, maxDeliveryCount, healthSeenMs, ms }
  } finally {
    await server.stop()
  }
}

for (const mode of modes) {
  const row = await run(mode)
  process.stdout.write(
    values.json
      ? `${JSON.stringify(row)}\n`
      : `${mode.padEnd(7)} ${row.disconnects} disconnects, ${row.extraCalls} extra calls, ${row.acked} of ${messages} `
        + `acknowledged, delivered ${row.maxDeliveryCount} times at most, `
        + `${
          row.healthSeenMs === null ? "never seen from outside" : `seen after ${row.healthSeenMs} ms`
        }, ${row.ms} ms\n`
  )
}
