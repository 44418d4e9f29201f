/** A slice of the seeds; that a seed means one run; and that every check can fail. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Ledger } from "../../src/Reader.ts"
import { checks } from "./checks/all.ts"
import type { Event, History } from "./history.ts"
import { runSeed, shrink } from "./run.ts"
import { type Group, make } from "./scenario.ts"

const main = join(dirname(fileURLToPath(import.meta.url)), "main.ts")

describe("the world", () => {
  for (const from of [1, 51, 101]) {
    it(`keeps its promises for the seeds from ${from} to ${from + 49}`, async () => {
      for (let seed = from; seed < from + 50; seed++) {
        const { wrong } = await runSeed(seed)
        assert.isEmpty(wrong, `seed ${seed}: ${wrong.join("\n")}`)
      }
    })
  }

  it("does the same for the same seed, and something else for another", async () => {
    for (const seed of [1, 2, 3, 17, 99]) {
      const [once, again, other] = [await runSeed(seed), await runSeed(seed), await runSeed(seed + 1)]
      assert.strictEqual(once.hash, again.hash)
      assert.notStrictEqual(once.hash, other.hash)
    }
  })

  it("does the same in a process of its own, which says so as JSON", async () => {
    const { hash, messages } = await runSeed(7)
    const { status, stderr, stdout } = spawnSync(process.execPath, [main, "--seed", "7", "--runs", "1", "--json"], {
      encoding: "utf8"
    })
    assert.strictEqual(status, 0)
    assert.include(stderr, `trace ${hash}`)
    const { ms, ...rest } = JSON.parse(stdout.trim().split("\n").at(-1)!)
    assert.isAbove(ms, 0)
    assert.deepStrictEqual({ ...rest, faults: 0 }, { runs: 1, failed: 0, seeds: [], messages, faults: 0 })
  })

  it("meets the same faults when they are played from a list", async () => {
    const { faults } = await runSeed(4)
    const { faults: played } = await runSeed(4, faults)
    assert.isAbove(faults.length, 0)
    assert.deepStrictEqual(played, faults)
  })
})

describe("shrinking", () => {
  it("leaves the faults that matter", async () => {
    const faults = Array.from({ length: 30 }, (_, index) => ({
      operation: "take" as const,
      at: index,
      kind: "slowTake" as const,
      delayMs: 1
    }))
    const few = await shrink(faults, async (some) => [3, 21].every((at) => some.some((fault) => fault.at === at)))
    assert.deepStrictEqual(few.map((fault) => fault.at), [3, 21])
  })
})

const group: Group = {
  ...make(1).groups[0]!,
  name: "g0",
  policy: { _tag: "onProcess" },
  keyed: true,
  batch: 0,
  ackWaitMs: 1_000,
  maxAttempts: 1,
  giveUpFails: 0
}

const ledger: Ledger = {
  delivered: 2,
  finished: 2,
  returned: 0,
  abandoned: 0,
  lost: 0,
  swallowed: 0,
  displaced: 0,
  unconfirmed: 0,
  processed: 2,
  retried: 0,
  rejected: 0,
  failed: 0
}

const who = { group: "g0", replica: 0 }

const call = (at: number, call: number, sequence: number, delivery = 1): ReadonlyArray<Event> => [
  { _tag: "began", at, ...who, call, sequence, delivery, id: `p.${sequence}`, key: "k" },
  { _tag: "ended", at: at + 1, call, outcome: "ok" },
  { _tag: "verdict", at: at + 1, ...who, sequence, verdict: "Ack" }
]

const events: ReadonlyArray<Event> = [
  { _tag: "sent", at: 0, id: "p.1", outcome: "Confirmed" },
  { _tag: "sent", at: 0, id: "p.2", outcome: "Confirmed" },
  { _tag: "opened", at: 0, ...who },
  ...call(1, 1, 1),
  ...call(3, 2, 2),
  { _tag: "healed", at: 9 }
]

/** Two messages of one key, each processed once. */
const good: History = {
  scenario: { ...make(1), groups: [group] },
  events,
  stored: [{ sequence: 1, id: "p.1", subject: "sim.a" }, { sequence: 2, id: "p.2", subject: "sim.a" }],
  closings: [{ ...who, ledger, held: 0 }],
  faults: [],
  stuck: []
}

const broken: Readonly<Record<string, History>> = {
  accounting: { ...good, closings: [{ ...who, ledger: { ...ledger, finished: 1 }, held: 0 }] },
  ackedAfterwards: { ...good, events: events.filter((event) => event._tag !== "ended") },
  attempts: {
    ...good,
    events: events.map((event) => event._tag === "ended" && event.call === 2 ? { ...event, outcome: "failed" } : event)
  },
  bounds: { ...good, events: [...events, { _tag: "bound", at: 5, group: "g0", what: "it holds 3 of 2" }] },
  leases: { ...good, events: [...events, ...call(10, 3, 1, 2), ...call(12, 4, 1, 1)] },
  liveness: { ...good, stuck: ["g0 holds 1"] },
  noLoss: { ...good, events: events.filter((event) => !("call" in event && event.call === 2)) },
  nothingInvented: { ...good, stored: good.stored.slice(0, 1) },
  orderPerKey: { ...good, events: [...events.slice(0, 3), ...call(1, 2, 2), ...call(3, 1, 1), ...events.slice(9)] },
  repeatsExplained: { ...good, events: [...events, ...call(10, 3, 1)] }
}

describe("the checks", () => {
  for (const [name, check] of Object.entries(checks)) {
    it.effect(`${name} passes what is right, and finds what is wrong`, () =>
      Effect.sync(() => {
        assert.isEmpty(check(good))
        assert.isNotEmpty(check(broken[name]!))
      }))
  }
})
