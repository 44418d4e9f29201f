/**
 * Kills a worker again and again between its handler's failure and its message's end, and then looks at what there is: each
 * failing message has exactly one letter, every other one was handled, and nothing is left.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as DeadLetter from "../../src/DeadLetter.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as Provisioner from "../../src/Provisioner.ts"
import * as Topology from "../../src/Topology.ts"
import * as NatsServer from "../support/nats-server.ts"
import { message, publish } from "../support/transport.ts"
import { witness } from "../support/witness.ts"
import { type Step, steps } from "./steps.ts"

export interface Found {
  readonly kills: Readonly<Record<Step, number>>
  readonly messages: number
  readonly calls: number
  /** Everything that must not be. */
  readonly wrong: ReadonlyArray<string>
}

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

/** Runs a worker until it dies; the last one until `stop` has ended it. */
const live = (args: ReadonlyArray<string>, stop?: Effect.Effect<void>) =>
  Effect.callback<NodeJS.Signals | number | null>((resume) => {
    const child = spawn(process.execPath, [worker, ...args], { stdio: ["ignore", "ignore", "inherit"] })
    child.on("close", (code, signal) => resume(Effect.succeed(signal ?? code)))
    if (stop !== undefined) {
      Effect.runFork(Effect.andThen(stop, Effect.sync(() => child.kill("SIGTERM"))))
    }
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Every third message fails. More than there are kills, so that each life finds some. */
const countOf = (kills: number): number => 3 * (kills * 2 + 10)

export const run = (kills: number, onKill: (done: number) => void = () => {}) =>
  Effect.gen(function*() {
    const server = yield* NatsServer.scoped({})
    const eyes = yield* witness(server.url)
    const directory = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "sluice-kill-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true }))
    )
    const journal = join(directory, "journal")
    yield* Effect.promise(() => writeFile(journal, ""))
    const here = Effect.provide(Nats.layer({ servers: server.url }))
    const count = countOf(kills)
    const fails = (n: number) => n % 3 === 0
    yield* here(Effect.gen(function*() {
      yield* Provisioner.ensure([Topology.stream("JOBS", { subjects: ["jobs"] }), DeadLetter.stream()])
      yield* publish(
        ...Array.from({ length: count }, (_, n) => message("jobs", JSON.stringify({ n, fails: fails(n) })))
      )
    }))
    const done = Object.fromEntries(steps.map((step) => [step, 0])) as Record<Step, number>
    const wrong: Array<string> = []
    for (let i = 0; i < kills; i++) {
      const step = steps[i % steps.length] as Step
      const end = yield* live([server.url, journal, step, "1"])
      if (end !== "SIGKILL") {
        wrong.push(`life ${i} was to die at ${step}, and ended with ${end}`)
        break
      }
      done[step]++
      onKill(i + 1)
    }
    const isWorkedOff = Effect.promise(async () =>
      await eyes.pending("JOBS", "worker") === 0 && await eyes.ackPending("JOBS", "worker") === 0
    )
    const workedOff = Effect.asVoid(
      Effect.repeat(Effect.andThen(Effect.sleep("100 millis"), isWorkedOff), { until: (so) => so })
    )
    const end = yield* live([server.url, journal, "never", "0"], workedOff)
    if (end !== 0) {
      wrong.push(`the last life ended with ${end}`)
    }
    const calls = (yield* Effect.promise(() => readFile(journal, "utf8"))).trimEnd().split("\n").map(Number)
    const letters = yield* here(DeadLetter.list({ state: "any" }))
    wrong.push(...judge(count, fails, new Set(calls), letters))
    const stored = yield* Effect.promise(() => eyes.messages("DLQ"))
    if (stored !== letters.length) {
      wrong.push(`${stored} letters are stored, and ${letters.length} are known`)
    }
    const found: Found = { kills: done, messages: count, calls: calls.length, wrong }
    return found
  }).pipe(Effect.scoped)

// internals

const judge = (
  count: number,
  fails: (n: number) => boolean,
  called: ReadonlySet<number>,
  letters: ReadonlyArray<DeadLetter.Letter>
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const of = new Map<number, number>()
  for (const { provenance } of letters) {
    const n = provenance.sequence - 1
    of.set(n, (of.get(n) ?? 0) + 1)
  }
  for (let n = 0; n < count; n++) {
    const found = of.get(n) ?? 0
    if (found !== (fails(n) ? 1 : 0)) {
      wrong.push(`message ${n}, which ${fails(n) ? "fails" : "does not fail"}, has ${found} letters`)
    }
    if (!called.has(n)) {
      wrong.push(`message ${n} is settled, and no handler had it`)
    }
  }
  return wrong
}
