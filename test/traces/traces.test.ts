/** Memory does what the newest nats-server does: the traces of generated programs are equal. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { compare, compareAll, difference, type Other, type Outcome } from "./compare.ts"
import { make } from "./generate.ts"
import type { Trace } from "./recorder.ts"
import * as Server from "./server.ts"
import { inMemory, type Stage } from "./stage.ts"

/** In memory alone, and on a server. */
const RUNS = 300
const PLAYED = 80
const AT_ONCE = 40
const WITHIN_MS = 8 * 60_000

/** A broker in memory, with something changed. */
const lying = (change: (stage: Stage) => Stage): Other => (_, play) => inMemory((stage) => play(change(stage)))

const sum = (traces: ReadonlyArray<Trace>): ReadonlyMap<string, number> => {
  const all = new Map<string, number>()
  for (const { seen } of traces) {
    for (const [kind, times] of seen) {
      all.set(kind, (all.get(kind) ?? 0) + times)
    }
  }
  return all
}

/** What the programs have to reach, and how often at least. */
const REACHED: Readonly<Record<string, number>> = {
  "delivered": 500,
  "delivered again after a nak": 20,
  "delivered again without a nak": 5,
  "on its last delivery": 50,
  "ledger: displaced": 50,
  "ledger: returned": 50,
  "ledger: swallowed": 10,
  "max ack pending reached": 50,
  "mended with deliveries held": 15,
  "publish: stored": 1_000,
  "publish: stored before": 50,
  "publish: as expected": 50,
  "publish: NotSent WrongLastSequence": 20,
  "publish: NotSent PayloadTooLarge": 10,
  "publish: NotSent Rejected(10060)": 10,
  "publish: NotSent Rejected(10077, transient)": 20,
  "removed by interest": 20,
  "removed by limits, discard old": 10,
  "removed by workqueue": 10,
  "settled: Ack": 150,
  "settled: Nak": 50,
  "settled: Nak with delay": 10,
  "settled: Term": 30,
  "operation: close": 20,
  "operation: deleteConsumer": 10,
  "operation: deleteMessage": 20,
  "operation: purge": 10,
  "policy: confirmed": 20,
  "policy: hybrid": 20,
  "policy: onEnqueue": 20,
  "policy: upTo": 10,
  "queue: dropping": 20,
  "queue: latest": 20,
  "queue: sliding": 20,
  "reads: durable": 100,
  "reads: ephemeral": 30,
  "reads: ordered": 30
}

describe("programs", () => {
  it("are the same for the same seed, and others for another", () => {
    assert.deepStrictEqual(make(7), make(7))
    assert.notDeepEqual(make(7), make(8))
  })

  it("reach every kind of outcome often enough", async () => {
    const programs = Array.from({ length: RUNS }, (_, index) => make(index + 1))
    const outcomes = await Effect.runPromise(
      Effect.forEach(programs, (program) => compare(program, lying((stage) => stage)))
    )
    const seen = sum(outcomes.map(({ memory }) => memory))
    const rare = Object.entries(REACHED).filter(([kind, least]) => (seen.get(kind) ?? 0) < least)
    assert.deepStrictEqual(rare.map(([kind, least]) => `${kind}: ${seen.get(kind) ?? 0} of ${least}`), [])
    // Two brokers in memory agree, of course; whatever is not pinned down by the program shows here.
    assert.isTrue(outcomes.every(({ equal }) => equal))
  }, WITHIN_MS)
})

describe("memory and the newest nats-server", () => {
  it(`leave the same trace of ${PLAYED} programs`, async () => {
    const programs = Array.from({ length: PLAYED }, (_, index) => make(index + 1))
    const outcomes = await Effect.runPromise(Effect.scoped(Effect.flatMap(Server.scoped, ({ stage }) => {
      const other: Other = (program, play) => Effect.scoped(Effect.flatMap(stage(program), play))
      return compareAll(programs, { other, atOnce: AT_ONCE })
    })))
    const different = outcomes.filter(({ equal }) => !equal)
    const told = different.map((one) =>
      [`npm run traces -- --seed ${one.program.seed} --runs 1`, ...difference(one)].join("\n")
    )
    assert.strictEqual(outcomes.length - different.length, PLAYED, told.join("\n\n"))
  }, WITHIN_MS)
})

describe("comparing", () => {
  const finds = async (change: (stage: Stage) => Stage): Promise<ReadonlyArray<Outcome>> => {
    const programs = Array.from({ length: 30 }, (_, index) => make(index + 1))
    const outcomes = await Effect.runPromise(compareAll(programs, { other: lying(change), atOnce: 1, retriesMax: 0 }))
    return outcomes.filter(({ equal }) => !equal)
  }

  it("finds a transport that says of every publish that it was stored for the first time", async () => {
    const found = await finds((stage) => ({
      ...stage,
      client: {
        ...stage.client,
        publish: (batch) =>
          Effect.map(
            stage.client.publish(batch),
            ([first]) => [first._tag === "Confirmed" ? { ...first, duplicate: false } : first]
          )
      }
    }))
    assert.isAbove(found.length, 0)
    assert.match(difference(found[0]!).join("\n"), /- memory: m\d+: stored \d+ before/)
  })

  it("finds a transport that loses every verdict", async () => {
    const found = await finds((stage) => ({
      ...stage,
      client: {
        ...stage.client,
        open: (source, flow) =>
          Effect.map(stage.client.open(source, flow), (inlet) => ({ ...inlet, settle: () => Effect.void }))
      }
    }))
    assert.isAbove(found.length, 0)
  })

  it("finds a connection that is not cut", async () => {
    assert.isAbove((await finds((stage) => ({ ...stage, cut: Effect.void }))).length, 0)
  })
})
