/** Memory does what the newest nats-server does: the traces of generated programs are equal. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { compare, compareAll, difference, type Other, type Outcome } from "./compare.ts"
import { make } from "./generate.ts"
import type { Trace } from "./recorder.ts"
import * as Server from "./server.ts"
import { inMemory, type Stage } from "./stage.ts"

const RUNS = 300
const AT_ONCE = 100
/** As many programs may be played again, because a busy machine was late. */
const AGAIN_MAX = 30
/** With two brokers in memory. */
const TWICE = 40
const LIED_TO = 30
const WITHIN_MS = 8 * 60_000

const programs = (count: number) => Array.from({ length: count }, (_, index) => make(index + 1))

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
  "consumer: ack all": 10,
  "consumer: ack explicit": 300,
  "consumer: start all": 150,
  "consumer: start last": 50,
  "consumer: start lastPerSubject": 8,
  "consumer: start new": 20,
  "consumer: start sequence": 30,
  "consumer: with filters": 150,
  "delivered": 800,
  "delivered again after a nak": 40,
  "delivered again without a nak": 5,
  "ledger: displaced": 150,
  "ledger: returned": 400,
  "ledger: swallowed": 20,
  "ledger: unconfirmed": 20,
  "max ack pending reached": 150,
  "mended with deliveries held": 20,
  "on its last delivery": 120,
  "open: Conflict": 3,
  "open: ConsumerNotFound": 5,
  "operation: check": 60,
  "operation: close": 50,
  "operation: createConsumer": 200,
  "operation: cut": 100,
  "operation: deleteConsumer": 15,
  "operation: deleteMessage": 40,
  "operation: deleteStream": 10,
  "operation: look": 50,
  "operation: mend": 80,
  "operation: open": 400,
  "operation: publish": 1_000,
  "operation: purge": 15,
  "operation: settle": 600,
  "operation: stop": 20,
  "operation: take": 800,
  "policy: confirmed": 60,
  "policy: hybrid": 40,
  "policy: onEnqueue": 50,
  "policy: onProcess": 150,
  "policy: upTo": 15,
  "program: ages": 20,
  "program: delays": 50,
  "program: leases": 50,
  "program: still": 60,
  "publish: NotSent NoResponders": 20,
  "publish: NotSent PayloadTooLarge": 30,
  "publish: NotSent Rejected(10060)": 15,
  "publish: NotSent Rejected(10077, transient)": 80,
  "publish: NotSent WrongLastSequence": 40,
  "publish: as expected": 120,
  "publish: stored": 1_500,
  "publish: stored before": 150,
  "queue: dropping": 50,
  "queue: latest": 50,
  "queue: sliding": 50,
  "queue: suspend": 150,
  "reads: durable": 200,
  "reads: ephemeral": 70,
  "reads: ordered": 70,
  "removed by age or limits": 15,
  "removed by interest": 50,
  "removed by limits, discard old": 40,
  "removed by workqueue": 25,
  "settled: Ack": 250,
  "settled: Ack, once more": 8,
  "settled: Nak": 100,
  "settled: Nak with delay": 15,
  "settled: Term": 60,
  "stream: discard new": 40,
  "stream: discard old": 120,
  "stream: file": 50,
  "stream: interest": 30,
  "stream: limits": 100,
  "stream: memory": 100,
  "stream: workqueue": 30,
  "take: StreamNotFound": 8,
  "take: the end": 15
}

const told = (outcomes: ReadonlyArray<Outcome>): string =>
  outcomes.map((one) => [`npm run traces -- --seed ${one.program.seed} --runs 1`, ...difference(one)].join("\n"))
    .join("\n\n")

let outcomes: ReadonlyArray<Outcome> = []

/** Played once for all the tests. */
beforeAll(async () => {
  outcomes = await Effect.runPromise(Effect.scoped(Effect.flatMap(Server.scoped, ({ stage }) => {
    const other: Other = (program, play) => Effect.scoped(Effect.flatMap(stage(program), play))
    return compareAll(programs(RUNS), { other, atOnce: AT_ONCE })
  })))
}, WITHIN_MS)

describe("memory and the newest nats-server", () => {
  it(`leave the same trace of ${RUNS} programs`, () => {
    const different = outcomes.filter(({ equal }) => !equal)
    assert.strictEqual(outcomes.length - different.length, RUNS, told(different))
    assert.isAtMost(outcomes.filter(({ retried }) => retried > 0).length, AGAIN_MAX)
  })

  it("reach every kind of operation, topology and outcome often enough", () => {
    const seen = sum(outcomes.map(({ memory }) => memory))
    const rare = Object.entries(REACHED).filter(([kind, least]) => (seen.get(kind) ?? 0) < least)
    assert.deepStrictEqual(rare.map(([kind, least]) => `${kind}: ${seen.get(kind) ?? 0} of ${least}`), [])
  })
})

describe("programs", () => {
  it("are the same for the same seed, and others for another", () => {
    assert.deepStrictEqual(make(7), make(7))
    assert.notDeepEqual(make(7), make(8))
  })

  it("leave nothing open that two brokers in memory could do differently", async () => {
    const twice = await Effect.runPromise(
      Effect.forEach(programs(TWICE), (program) => compare(program, lying((stage) => stage)))
    )
    assert.deepStrictEqual(twice.filter(({ equal }) => !equal).map(({ program }) => program.seed), [])
  }, WITHIN_MS)
})

describe("comparing", () => {
  const finds = async (change: (stage: Stage) => Stage, retriesMax = 0): Promise<ReadonlyArray<Outcome>> => {
    const compared = await Effect.runPromise(
      compareAll(programs(LIED_TO), { other: lying(change), atOnce: 1, retriesMax })
    )
    return compared.filter(({ equal }) => !equal)
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

  it("finds one line that is not as it was written down", async () => {
    const forged: Other = (_, play) =>
      inMemory((stage) =>
        Effect.map(play(stage), (trace) => {
          const lines = [...trace.lines]
          const last = lines.findLastIndex(({ text }) => text.includes("pending "))
          lines[last] = { ...lines[last]!, text: lines[last]!.text.replace("pending ", "pending 1") }
          return { ...trace, lines }
        })
      )
    const program = programs(LIED_TO).find(({ consumers, steps }) =>
      consumers.length > 0 && steps.some(({ operation }) => operation._tag === "createConsumer")
    )!
    const outcome = await Effect.runPromise(compare(program, forged))
    assert.isFalse(outcome.equal)
    assert.match(difference(outcome).join("\n"), /\+ server: c\d: pending 1/)
  })

  it("plays a tenth of what differs again, twice at most, and still finds it", async () => {
    const found = await finds((stage) => ({ ...stage, cut: Effect.void }), 2)
    assert.isAbove(found.length, LIED_TO / 10)
    assert.deepStrictEqual(found.map(({ retried }) => retried).toSorted().slice(-4), [0, 2, 2, 2])
  })
})
