/** Dead letters on a real server: where they go, what happens while they cannot, and the command line that brings them back. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { connect } from "node:net"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as DeadLetter from "../../src/DeadLetter.ts"
import type { Report } from "../../src/Health.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Reader from "../../src/Reader.ts"
import { letters, makeDlq } from "../support/letters.ts"
import * as NatsServer from "../support/nats-server.ts"
import { freePort } from "../support/nats-server.ts"
import { keyed, options, send, sendRaw, setUp, start } from "../support/reading.ts"
import { sluice } from "../support/sluice.ts"
import { createStream, durable, open } from "../support/transport.ts"
import { witness } from "../support/witness.ts"

const retry = Schedule.spaced("50 millis")

/** A header with a name that no client of ours would send, straight into the socket. */
const sendHostile = ({ host, port }: { readonly host: string; readonly port: number }) =>
  Effect.promise(() =>
    new Promise<void>((resolve, reject) => {
      const headers = "NATS/1.0\r\nevil\u0001name: x\r\n__proto__: evil\r\n\r\n"
      const socket = connect(port, host, () => {
        socket.write("CONNECT {\"verbose\":false,\"headers\":true}\r\n")
        socket.write(`HPUB jobs.work ${headers.length} ${headers.length + 2}\r\n${headers}{}\r\nPING\r\n`)
      })
      socket.on("error", reject)
      socket.on("data", (data) => {
        if (data.includes("PONG")) {
          socket.end()
          resolve()
        }
      })
    })
  )

/** Looks until it is so. */
const until = <E, R>(isSo: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(isSo, { until: (so) => so, schedule: Schedule.spaced("20 millis") }).pipe(
    Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die("it never came to be so") })
  )

const run = <A, E, R>(url: string, effect: Effect.Effect<A, E, R>) =>
  Effect.provide(Effect.scoped(effect), Layer.merge(Nats.layer({ servers: url }), AckPolicy.onProcess))

describe.each(NatsServer.wantedVersions())("nats-server %s", (version) => {
  it.live(
    "T-23, T-24, T-26: five readers, one failing: its letters, its attempts, and nobody else's",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const eyes = yield* witness(server.url)
        const calls = new Map<string, Array<number>>()
        const program = Effect.gen(function*() {
          yield* setUp
          yield* makeDlq
          let mended = false
          const readers = yield* Effect.forEach(["r1", "r2", "r3", "r4", "r5"], (name) =>
            start(
              Reader.handle(
                keyed,
                { ...options, consumer: name, lanes: 8, retry, maxAttempts: 3, deadLetter: true },
                (job) =>
                  Effect.suspend(() => {
                    calls.set(name, [...calls.get(name) ?? [], job.n])
                    return name === "r3" && job.n % 10 === 0 && !mended ? Effect.fail({ _tag: "Refused" }) : Effect.void
                  })
              )
            ))
          const numbers = Array.from({ length: 50 }, (_, n) => n)
          yield* send(...numbers.map((n) => [`k${n % 7}`, n] as const))
          yield* sendRaw("nothing")
          yield* sendHostile(server)
          yield* until(Effect.map(letters, ({ length }) => length === 15))
          const settled = () => readers.every(({ ledger }) => ledger().finished === 52)
          yield* until(Effect.sync(settled))
          for (const name of ["r1", "r2", "r4", "r5"]) {
            assert.deepStrictEqual(calls.get(name)?.toSorted((a, b) => a - b), numbers)
          }
          const ofR3 = calls.get("r3")!
          assert.lengthOf(ofR3.filter((n) => n === 10), 3)
          const rows = DeadLetter.summary(yield* DeadLetter.list()).map(({ count, handler, kind }) => [
            handler,
            kind,
            count
          ])
          assert.sameDeepMembers(rows, [
            ...["r1", "r2", "r4", "r5"].map((name) => [`JOBS/${name}`, "undecodable", 2]),
            ["JOBS/r3", "failed", 5],
            ["JOBS/r3", "undecodable", 2]
          ])
          const hostile = (yield* letters).filter(({ provenance }) => provenance.sequence === 52)
          assert.lengthOf(hostile, 5)
          for (const { headers, provenance, text } of hostile) {
            assert.deepStrictEqual([provenance.attempts, provenance.reason, text], [1, "DecodeError", "{}"])
            assert.isFalse([...headers.keys()].some((name) => name.includes("evil")), "none of its headers")
          }
          for (const name of ["r1", "r2", "r3", "r4", "r5"]) {
            yield* until(Effect.map(Effect.promise(() => eyes.ackPending("JOBS", name)), (count) => count === 0))
          }

          mended = true
          const before = new Map([...calls].map(([name, all]) => [name, all.length]))
          const env = { NATS_URL: server.url }
          const replay = ["dlq", "replay", "--handler", "JOBS/r3", "--kind", "failed", "--json"]
          const first = yield* Effect.promise(() => sluice(replay, { env }))
          assert.strictEqual(first.code, 0, first.stderr)
          assert.deepStrictEqual(JSON.parse(first.stdout), { matched: 5, replayed: 5, duplicates: 0, unavailable: [] })
          const second = yield* Effect.promise(() => sluice(replay, { env }))
          assert.include(second.stdout, "\"replayed\":0")
          yield* until(Effect.sync(() => readers[2]!.replays().processed === 5))
          assert.deepStrictEqual(calls.get("r3")!.slice(before.get("r3")).toSorted((a, b) => a - b), [
            0,
            10,
            20,
            30,
            40
          ])
          for (const name of ["r1", "r2", "r4", "r5"]) {
            assert.strictEqual(calls.get(name)?.length, before.get(name), "nobody else got them")
          }
        })
        yield* run(server.url, program)
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "T-27: a letter that is stored twice is one, and of a stream made anew another",
    () =>
      Effect.gen(function*() {
        const server = yield* NatsServer.scoped({ version })
        const program = Effect.gen(function*() {
          yield* setUp
          yield* makeDlq
          const failing = (giveUp: Effect.Effect<void>) =>
            start(Reader.handle(keyed, {
              ...options,
              maxAttempts: 1,
              deadLetter: true,
              onGiveUp: () => giveUp
            }, () => Effect.fail("no")))
          yield* send(["a", 1])
          const first = yield* failing(Effect.never)
          yield* until(Effect.map(letters, ({ length }) => length === 1))
          yield* first.interrupt
          const second = yield* failing(Effect.void)
          yield* until(Effect.sync(() => second.ledger().deadLettered === 1))
          yield* second.interrupt
          assert.lengthOf(yield* letters, 1)
        })
        yield* run(server.url, program)
      }).pipe(Effect.scoped),
    30_000
  )
})

/** T-25: what stands in the way, and what takes it away. */
const obstacles = {
  "there is no stream": { before: Effect.void, after: makeDlq, permissions: false },
  "the stream is full": {
    before: createStream("DLQ", ["dlq.>"], { maxMessages: 1, discard: "new" }),
    after: undefined,
    permissions: false
  },
  "it may not be written to": { before: makeDlq, after: undefined, permissions: true }
} as const

describe("T-25: while no letter can be stored", () => {
  it.live.each(Object.keys(obstacles) as Array<keyof typeof obstacles>)(
    "because %s, the original is kept, and health says so",
    (name) =>
      Effect.gen(function*() {
        const { after, before, permissions } = obstacles[name]
        const config = permissions
          ? `authorization { users: [{ user: a, password: a, permissions: { publish: { deny: "dlq.>" } } }] }`
          : ""
        const server = yield* NatsServer.scoped({ config })
        const port = yield* Effect.promise(freePort)
        const credentials = permissions ? { user: "a", password: Redacted.make("a") } : {}
        let calls = 0
        const health = Effect.promise(async () =>
          await (await fetch(`http://127.0.0.1:${port}/health`)).json() as Report
        )
        const program = Effect.gen(function*() {
          yield* setUp
          yield* before
          yield* send(["a", 1], ["b", 2])
          const reader = yield* start(
            Reader.handle(
              keyed,
              { ...options, maxAttempts: 1, lanes: 2, deadLetter: { replays: false } },
              () => Effect.andThen(Effect.sync(() => ++calls), Effect.fail("no"))
            )
          )
          yield* until(
            Effect.map(health, ({ problems }) => problems.some(({ _tag }) => _tag === "DeadLetterUnavailable"))
          )
          yield* until(Effect.sync(() => calls === 2))
          yield* Effect.sleep("1500 millis")
          const kept = name === "the stream is full" ? 1 : 2
          assert.strictEqual(reader.ledger().deadLettered, 2 - kept)
          assert.strictEqual(calls, 2, "the handlers have had their attempts")
          if (after !== undefined) {
            yield* after
            yield* until(Effect.sync(() => reader.ledger().deadLettered === 2))
            assert.strictEqual(calls, 2)
            yield* until(Effect.map(health, ({ ready }) => ready))
          }
        })
        yield* Effect.provide(
          Effect.scoped(program),
          Layer.merge(NatsThread.layer({ servers: server.url, ...credentials, health: { port } }), AckPolicy.onProcess)
        )
      }).pipe(Effect.scoped),
    30_000
  )
})

describe("a reader with few rights", () => {
  it.live("needs to publish below its own subject, and nothing else of the dead letters", () =>
    Effect.gen(function*() {
      const rights = [
        "$JS.API.CONSUMER.INFO.JOBS.worker",
        "$JS.API.CONSUMER.MSG.NEXT.JOBS.worker",
        "$JS.ACK.JOBS.worker.>",
        "dlq.JOBS.worker.>"
      ]
      const allowed = rights.map((right) => JSON.stringify(right)).join(", ")
      const server = yield* NatsServer.scoped({
        config: `authorization { users: [
          { user: admin, password: a },
          { user: reader, password: r, permissions: { publish: [${allowed}], subscribe: ["_INBOX_R.>"] } }
        ] }`
      })
      const admin = Nats.layer({ servers: server.url, user: "admin", password: Redacted.make("a") })
      const reader = Nats.layer({
        servers: server.url,
        user: "reader",
        password: Redacted.make("r"),
        inboxPrefix: "_INBOX_R"
      })
      yield* Effect.gen(function*() {
        yield* setUp
        yield* makeDlq
        yield* send(["a", 1])
        // Made by somebody who may, read by somebody who may not.
        yield* Effect.scoped(open(durable("JOBS", "worker", { filters: ["jobs.work"] })))
        const settings = { ...options, bind: true, maxAttempts: 1, deadLetter: { replays: false } } as const
        const context = yield* Layer.build(Layer.merge(reader, AckPolicy.onProcess))
        const failing = yield* start(
          Effect.provideContext(Reader.handle(keyed, settings, () => Effect.fail("no")), context)
        )
        yield* until(Effect.sync(() => failing.ledger().deadLettered === 1))
        assert.lengthOf(yield* letters, 1)
        yield* failing.interrupt
      }).pipe(Effect.scoped, Effect.provide(admin))
    }).pipe(Effect.scoped), 30_000)
})
