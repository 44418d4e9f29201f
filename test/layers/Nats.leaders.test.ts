/** Three servers of which one is left: connected to it, and nobody leads what is read. Health says so, and for how long it is so. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Health from "../../src/Health.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as Watched from "../../src/layers/Watched.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { Transport } from "../../src/Transport.ts"
import { Cluster } from "../chaos/cluster.ts"
import * as NatsServer from "../support/nats-server.ts"
import { unlessStandstill } from "../support/patience.ts"
import { ackAll, createStream, durable, message, open } from "../support/transport.ts"
import { witness } from "../support/witness.ts"

/** One of them is led by a server that goes. */
const FULL = Array.from({ length: 6 }, (_, index) => `FULL-${index}`)

const cluster = (version: string) =>
  Effect.acquireRelease(
    Effect.promise(() => Cluster.start({ nodes: 3, version })),
    (servers) => Effect.promise(() => servers.end())
  )

/** Until it works: three servers take a while to find each other. */
const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.eventually(Effect.tapError(effect, () => Effect.sleep(100)))

const publish = (text: string) =>
  Transport.use((transport) => transport.publish([message("jobs.a", text)])).pipe(
    Effect.filterOrFail(([receipt]) => receipt._tag === "Confirmed", () => "not stored")
  )

const tags = Effect.flatMap(
  Health.Health,
  ({ report }) => Effect.map(report, ({ problems }) => problems.map(({ _tag }) => _tag).toSorted())
)

/** Waits until exactly these are the problems; how long that took, in ms. */
const until = (wanted: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const began = performance.now()
    let found = yield* tags
    while (found.join() !== wanted.join() && performance.now() - began < 20_000) {
      yield* Effect.sleep(10)
      found = yield* tags
    }
    assert.deepStrictEqual(found, wanted)
    return performance.now() - began
  })

describe.each(NatsServer.wantedVersions())("nats-server %s", (version) => {
  it.live(
    "a reader that nobody leads is told of within three seconds, and well again when somebody does",
    () =>
      Effect.gen(function*() {
        const servers = yield* cluster(version)
        yield* Effect.gen(function*() {
          yield* createStream("JOBS", ["jobs.>"], { replicas: 3 })
          yield* Effect.scoped(Effect.forEach(["D", ...FULL], (name) => open(durable("JOBS", name))))
        }).pipe(Effect.provide(Nats.layer({ servers: servers.urls })), patiently)
        const eyes = yield* witness(servers.urls[0]!)
        const leaders = yield* Effect.promise(() => eyes.leaders("JOBS", "D"))
        const leading = leaders.map((name) => servers.nodeOf(name ?? ""))
        // A server that leads neither: it has no part in what is not answered.
        const left = [0, 1, 2].find((node) => !leading.includes(node))!
        const others = [0, 1, 2].filter((node) => node !== left)
        const led = yield* Effect.promise(() => Promise.all(FULL.map((name) => eyes.leaders("JOBS", name))))
        const other = FULL.find((_, index) => servers.nodeOf(led[index]![1] ?? "") !== left)!
        yield* Effect.gen(function*() {
          const inlet = yield* open(durable("JOBS", "D"))
          // One that is full asks for nothing; it waits for the word on its acks.
          const full = yield* open(durable("JOBS", other), { queue: Queue.suspend({ messages: 1 }) })
          yield* patiently(publish("1"))
          yield* ackAll(inlet, 1)
          const [held] = yield* full.take(1)
          yield* Effect.sleep("3 seconds")
          assert.deepStrictEqual(yield* tags, [], "an idle reader is well, and so is one that works")
          yield* Effect.promise(() => Promise.all(others.map((node) => servers.kill(node))))
          assert.isBelow(yield* until(["ConsumerUnavailable", "StreamUnavailable"]), 3_000)
          yield* full.settle([{ delivery: held, settlement: Settlement.ack }])
          assert.isBelow(yield* until(["ConsumerUnavailable", "ConsumerUnavailable", "StreamUnavailable"]), 3_000)
          yield* Effect.promise(() => Promise.all(others.map((node) => servers.restart(node))))
          yield* patiently(publish("2"))
          yield* ackAll(inlet, 1)
          yield* ackAll(full, 1)
          assert.isBelow(yield* until([]), 1_000)
        }).pipe(Effect.scoped, Effect.provide(Watched.layer(Nats.layer({ servers: servers.urls[left]! }))))
      }).pipe(unlessStandstill(300)),
    150_000
  )
})
