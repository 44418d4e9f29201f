/** Every check passes what is right, and finds what is wrong. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Ledger } from "../../src/Reader.ts"
import { checks } from "./checks/all.ts"
import type { Event, History } from "./history.ts"
import { type Group, make, type Scenario } from "./scenario.ts"

const group: Group = {
  ...make(1).groups[0]!,
  name: "g0",
  source: "durable",
  how: "each",
  policy: { _tag: "onProcess" },
  keyed: true,
  ackWaitMs: 1_000,
  maxAttempts: 2,
  giveUpFails: 0,
  replicas: [{ fromMs: 0, until: undefined }]
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
  failed: 0,
  deadLettered: 0,
  dropped: 0
}

const who = { group: "g0", replica: 0 }

const call = (at: number, call: number, sequence: number, delivery = 1): ReadonlyArray<Event> => [
  {
    _tag: "began",
    at,
    ...who,
    call,
    sequence,
    delivery,
    id: `p.${sequence}`,
    key: "k",
    givenAt: at,
    takenAt: at,
    swallowed: 0
  },
  { _tag: "ended", at: at + 1, call, outcome: "ok" },
  { _tag: "verdict", at: at + 1, ...who, sequence, verdict: "Ack" }
]

const kept = (sequence: number) => ({ sequence, id: `p.${sequence}`, subject: "sim.a" })

const events: ReadonlyArray<Event> = [
  { _tag: "written", at: 0, ...kept(1) },
  { _tag: "written", at: 0, ...kept(2) },
  { _tag: "sent", at: 0, id: "p.1", outcome: "Confirmed" },
  { _tag: "sent", at: 0, id: "p.2", outcome: "Confirmed" },
  { _tag: "status", at: 0, ...who, status: "Connected" },
  { _tag: "opened", at: 0, ...who },
  ...call(1, 1, 1),
  ...call(3, 2, 2),
  { _tag: "healed", at: 9 },
  { _tag: "closed", at: 10, ...who },
  { _tag: "left", at: 10, ...who, leased: 0 }
]

const sent = (n: number, decodable: boolean) => ({ id: `p.${n}`, place: "a", key: "k", n, decodable })

const of = (change: Partial<Group>, messages = [sent(1, true), sent(2, true)]): Scenario => ({
  ...make(1),
  groups: [{ ...group, ...change }],
  limits: {},
  publishers: [[{ afterMs: 0, way: "raw", chunk: 1, budgetMs: 1, retryMs: undefined, messages }]]
})

/** Two messages of one key, each processed once. */
const good: History = {
  scenario: of({}),
  events,
  stored: [kept(1), kept(2)],
  closings: [{ ...who, ledger, held: 0 }],
  faults: [],
  stuck: []
}

const without = (isIt: (event: Event) => boolean) => events.filter((event) => !isIt(event))

/** The first message is given up instead of handled. */
const givenUp = (why: string, attempts: number): ReadonlyArray<Event> => [
  ...without((event) => "call" in event && event.call === 1),
  { _tag: "givenUp", at: 5, ...who, sequence: 1, attempts, why }
]

/** The first message is delivered twice, and then a reader that was cut off for long begins what it had been given before. */
const overtaken = (swallowed: number): ReadonlyArray<Event> => [
  ...events,
  ...call(12, 3, 1, 2),
  { _tag: "cut", at: 13, ...who, swallowed: 0 },
  { _tag: "back", at: 13 + group.ackWaitMs, ...who },
  ...call(14 + group.ackWaitMs, 4, 1, 1).map((event): Event => event._tag === "began" ? { ...event, swallowed } : event)
]

/** The first message is processed late, and again when its lease would long be over. */
const repeated = (...what: ReadonlyArray<readonly [at: number, what: string]>): History => ({
  ...good,
  events: [
    ...without((event) => "call" in event && event.call === 1),
    ...what.map(([at, what]): Event => ({ _tag: "happened", at, what, group: undefined })),
    ...call(3_000, 1, 1),
    ...call(9_000, 3, 1)
  ]
})

/** A reader is cut off no more while the broker restarts, and leaves then, or after that. */
const backWhileDown = (leavesAt: number): ReadonlyArray<Event> => [
  ...events.slice(0, -1),
  { _tag: "status", at: 11, ...who, status: "Connecting" },
  { _tag: "happened", at: 12, what: "restart", group: undefined },
  { _tag: "back", at: 13, ...who },
  { _tag: "over", at: 15, what: "restart" },
  { _tag: "closed", at: leavesAt, ...who }
]

/** A message is settled by hand while its source begins to end, at this time, and comes again. */
const settledLate = (closingAt: number): History => ({
  ...good,
  scenario: of({ how: "stream" }),
  events: [
    ...without((event) => "call" in event && event.call === 1),
    ...call(20, 1, 1).map((event): Event => event._tag === "ended" ? { ...event, at: 30 } : event),
    { _tag: "closing", at: closingAt, ...who },
    { _tag: "closed", at: 35, ...who },
    ...call(40, 3, 1, 2)
  ]
})

/** The second message fails, and is neither tried again nor given up. */
const failing = events.map((event): Event =>
  event._tag === "ended" && event.call === 2 ? { ...event, outcome: "failed" } : event
)

const turned = [...without((event) => "call" in event), ...call(1, 2, 2), ...call(3, 1, 1)]

const broken: Readonly<Record<string, ReadonlyArray<History>>> = {
  accounting: [{ ...good, closings: [{ ...who, ledger: { ...ledger, finished: 1 }, held: 0 }] }],
  ackedAfterwards: [{ ...good, events: without((event) => event._tag === "ended") }],
  atMostOnce: [{ ...good, scenario: of({ policy: { _tag: "onEnqueue" } }), events: [...events, ...call(12, 3, 1)] }],
  attempts: [
    { ...good, scenario: of({ maxAttempts: 1 }), events: failing },
    { ...good, events: [...failing, { _tag: "givenUp", at: 4, ...who, sequence: 2, attempts: 1, why: "Failed" }] }
  ],
  bounds: [{ ...good, events: [...events, { _tag: "bound", at: 5, group: "g0", what: "it holds 3 of 2" }] }],
  handedBack: [{ ...good, events: [...events, { _tag: "left", at: 11, ...who, leased: 1 }] }],
  leases: [
    { ...good, events: [...events, ...call(12, 3, 1, 2), ...call(14, 4, 1, 1)] },
    { ...good, events: overtaken(0) }
  ],
  liveness: [{ ...good, stuck: ["g0 holds 1"] }, { ...good, events: without((event) => event._tag === "healed") }],
  noLoss: [
    { ...good, events: without((event) => "call" in event && event.call === 2) },
    { ...good, events: without((event) => event._tag === "written" && event.sequence === 2) },
    { ...good, stored: [kept(1)] },
    {
      ...good,
      events: [
        ...without((event) => "call" in event && event.call === 2),
        { _tag: "covered", at: 4, group: "g0", upTo: 2 }
      ]
    }
  ],
  nothingInvented: [
    { ...good, events: [...events, { _tag: "written", at: 4, ...kept(2), sequence: 3 }] },
    { ...good, events: without((event) => event._tag === "sent" && event.id === "p.2") },
    { ...good, stored: [kept(1), { ...kept(2), id: "p.9" }] },
    { ...good, events: [...events, ...call(12, 3, 4)] }
  ],
  orderedExactly: [
    { ...good, scenario: of({ source: "ordered" }), events: turned },
    { ...good, scenario: of({ source: "ordered" }), events: without((event) => "call" in event && event.call === 1) }
  ],
  orderPerKey: [{ ...good, events: turned }],
  poison: [
    { ...good, events: givenUp("Failed", 1) },
    { ...good, scenario: of({}, [sent(1, false), sent(2, true)]) }
  ],
  repeatsExplained: [
    { ...good, events: [...events, ...call(12, 3, 1)] },
    repeated([1_000, "purge"]),
    repeated([6_000, "stepDown"]),
    settledLate(31),
    {
      ...good,
      // Both may have been done and not acknowledged, and only one was.
      scenario: of({ policy: { _tag: "upTo" } }),
      closings: [{ ...who, ledger: { ...ledger, unconfirmed: 1 }, held: 0 }],
      events: [...events, ...call(12, 3, 1), ...call(12, 4, 2)]
    }
  ],
  truthfulStatus: [
    { ...good, events: [...events, { _tag: "cut", at: 2, ...who, swallowed: 0 }, { _tag: "closed", at: 9, ...who }] },
    {
      ...good,
      events: [
        ...events,
        { _tag: "status", at: 4, ...who, status: "Connecting" },
        { _tag: "back", at: 5, ...who },
        { _tag: "closed", at: 9, ...who }
      ]
    },
    { ...good, events: backWhileDown(19) }
  ]
}

describe("the checks", () => {
  for (const [name, check] of Object.entries(checks)) {
    it.effect(`${name} passes what is right, and finds what is wrong`, () =>
      Effect.sync(() => {
        assert.isEmpty(check(good))
        assert.isAbove(broken[name]!.length, 0)
        for (const history of broken[name]!) {
          assert.isNotEmpty(check(history))
        }
      }))
  }

  it.effect("explain what a fault explains", () =>
    Effect.sync(() => {
      const again = [...events, ...call(12, 3, 1)]
      const removed: Event = { _tag: "removed", at: 4, sequence: 2, id: "p.2" }
      const deleted: Event = { _tag: "happened", at: 11, what: "deleteConsumer", group: "g0" }
      const good2 = { ...good, events: [...events.slice(0, -1), deleted, ...again.slice(events.length)] }
      assert.isEmpty(checks["repeatsExplained"]!(good2))
      assert.isEmpty(checks["noLoss"]!({ ...good, stored: [kept(1)], events: [...events, removed] }))
      const twice: ReadonlyArray<Event> = [
        ...events,
        { _tag: "happened", at: 5, what: "restart", group: undefined },
        { _tag: "written", at: 6, ...kept(2), sequence: 3 }
      ]
      assert.isNotEmpty(checks["nothingInvented"]!({ ...good, events: twice }))
      assert.isEmpty(
        checks["nothingInvented"]!({ ...good, events: twice, stored: [kept(1), { ...kept(2), sequence: 3 }] })
      )
      assert.isEmpty(checks["leases"]!({ ...good, events: overtaken(1) }))
      assert.isEmpty(checks["repeatsExplained"]!(settledLate(25)))
      assert.isEmpty(checks["truthfulStatus"]!({ ...good, events: backWhileDown(14) }))
      assert.isEmpty(checks["repeatsExplained"]!(repeated([1_000, "purge"], [6_000, "stepDown"])))
      const covered: Event = { _tag: "covered", at: 4, group: "g0", upTo: 2 }
      const lost = [...without((event) => "call" in event && event.call === 1), covered]
      assert.isEmpty(checks["noLoss"]!({ ...good, events: lost }))
      assert.isEmpty(checks["poison"]!({ ...good, events: givenUp("Failed", 2) }))
      assert.isEmpty(
        checks["poison"]!({
          ...good,
          scenario: of({}, [sent(1, false), sent(2, true)]),
          events: givenUp("Undecodable", 1)
        })
      )
    }))
})
