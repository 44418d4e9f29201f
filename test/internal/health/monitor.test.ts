/** What counts as a problem, on virtual time. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { gauges } from "../../../src/internal/health/gauges.ts"
import { Monitor } from "../../../src/internal/health/monitor.ts"
import { Vitals } from "../../../src/internal/health/vitals.ts"
import * as Letters from "../../../src/internal/reader/letters.ts"
import * as Memory from "../../../src/layers/Memory.ts"
import { Delivery } from "../../../src/Message.ts"
import type { ConsumerInfo } from "../../../src/Topology.ts"
import type { Ledger } from "../../../src/Transport.ts"
import { Transport } from "../../../src/Transport.ts"
import { because, PermissionDenied, type TransportError } from "../../../src/TransportError.ts"
import { createStream, durable, flow, message, numbered, publish } from "../../support/transport.ts"

/** A reader of `C` on a broker in memory, of which the monitor sees what the test says. */
const watched = Effect.gen(function*() {
  const inner = yield* Transport
  const said = {
    info: {} as Partial<ConsumerInfo>,
    ledger: {} as Partial<Ledger>,
    /** Of one consumer alone. */
    ledgers: {} as Record<string, Partial<Ledger>>,
    unansweredMs: 0,
    replicas: 1,
    /** How the broker answers a question about the stream; `asked` counts them. */
    answers: Effect.void as Effect.Effect<void, TransportError>,
    asked: 0
  }
  const admin = Option.getOrThrow(inner.topology)
  const clock = yield* Clock.Clock
  const vitals = new Vitals()
  const told: Transport["Service"] = {
    ...inner,
    open: (source, flow) =>
      Effect.map(
        inner.open(source, flow),
        (inlet) => ({
          ...inlet,
          ledger: () => ({
            ...inlet.ledger(),
            ...said.ledger,
            ...(source._tag === "durable" ? said.ledgers[source.consumer] : {})
          }),
          unansweredMs: () => said.unansweredMs
        })
      ),
    topology: Option.some({
      ...admin,
      describeStream: (name) =>
        Effect.suspend(() => {
          said.asked++
          return Effect.andThen(said.answers, admin.describeStream(name))
        }).pipe(
          Effect.map(Option.map((info) => ({ ...info, stream: { ...info.stream, replicas: said.replicas } })))
        ),
      describeConsumer: (stream, consumer) =>
        Effect.map(admin.describeConsumer(stream, consumer), Option.map((info) => ({ ...info, ...said.info })))
    })
  }
  const monitor = new Monitor(told, vitals, () => clock.currentTimeMillisUnsafe())
  yield* monitor.watch
  yield* createStream("S", ["s"])
  yield* monitor.transport.open(durable("S", "C"), flow())
  return { monitor, said, vitals }
})

const problems = (monitor: Monitor) => monitor.report().problems.map(({ _tag }) => _tag)

describe("a reader", () => {
  it.effect("is stalled when the broker has messages for it, and none has come for ten seconds", () =>
    Effect.gen(function*() {
      const { monitor, said } = yield* watched
      said.info = { pending: 7 }
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(problems(monitor), [])
      yield* TestClock.adjust("7 seconds")
      const { live, problems: [problem], ready, readers } = monitor.report()
      assert.deepInclude(problem, { _tag: "ReaderStalled", stream: "S", consumer: "C", pending: 7 })
      assert.deepStrictEqual({ live, ready }, { live: true, ready: false })
      assert.deepInclude(readers[0], { pending: 7, held: 0, capacity: 100 })
      said.ledger = { delivered: 1 }
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(problems(monitor), [], "something has come")
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("is not stalled when it has no room, when others hold all there may be, or when there is nothing", () =>
    Effect.forEach(
      [
        { info: { pending: 7 }, ledger: { held: 100 } },
        { info: { pending: 7, ackPending: 1_000_000 }, ledger: {} },
        { info: { pending: 0 }, ledger: {} }
      ],
      (case_) =>
        Effect.gen(function*() {
          const { monitor, said } = yield* watched
          Object.assign(said, case_)
          yield* TestClock.adjust("1 minute")
          assert.deepStrictEqual(problems(monitor), [])
        }).pipe(Effect.scoped, Effect.provide(Memory.layer()))
    ))

  it.effect("is not listed any more when it is closed", () =>
    Effect.gen(function*() {
      const inner = yield* Transport
      const monitor = new Monitor(inner, new Vitals(), () => 0)
      yield* createStream("S", ["s"])
      yield* publish(...numbered("s", 1, 2))
      yield* Effect.scoped(Effect.gen(function*() {
        const inlet = yield* monitor.transport.open(durable("S", "C"), flow())
        yield* inlet.take(2)
        assert.deepStrictEqual(monitor.report().readers.map(({ held }) => held), [2])
      }))
      assert.deepStrictEqual(monitor.report().readers, [])
    }).pipe(Effect.provide(Memory.layer())))
})

describe("a consumer", () => {
  it.effect("that has not answered for two seconds is unavailable", () =>
    Effect.gen(function*() {
      const { monitor, said } = yield* watched
      yield* TestClock.adjust("1 second")
      said.unansweredMs = 1_999
      assert.deepStrictEqual(problems(monitor), [])
      said.unansweredMs = 2_000
      const { live, problems: [problem], ready } = monitor.report()
      assert.deepStrictEqual(problem, {
        _tag: "ConsumerUnavailable",
        stream: "S",
        consumer: "C",
        unansweredMs: 2_000
      })
      assert.deepStrictEqual({ live, ready }, { live: true, ready: false })
    }).pipe(Effect.provide(Memory.layer())))
})

describe("a stream with replicas", () => {
  const silent = Effect.gen(function*() {
    const { monitor, said } = yield* watched
    said.replicas = 3
    yield* TestClock.adjust("10 seconds")
    assert.deepStrictEqual(problems(monitor), [], "it answers")
    said.answers = Effect.never
    return { monitor, said }
  })

  it.effect("that does not answer while nothing comes is unavailable within three seconds, until it does", () =>
    Effect.gen(function*() {
      const { monitor, said } = yield* silent
      yield* TestClock.adjust("2700 millis")
      assert.deepStrictEqual(problems(monitor), ["StreamUnavailable"])
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(problems(monitor), ["StreamUnavailable"])
      said.answers = Effect.void
      yield* TestClock.adjust("1200 millis")
      assert.deepStrictEqual(problems(monitor), [])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("is not asked while messages come, nor doubted while there is no room for any", () =>
    Effect.gen(function*() {
      const { monitor, said } = yield* silent
      const { asked } = said
      for (let delivered = 1; delivered <= 100; delivered++) {
        said.ledger = { delivered }
        yield* TestClock.adjust("300 millis")
        assert.deepStrictEqual(problems(monitor), [])
      }
      assert.isAtMost(said.asked, asked + 1)
      yield* monitor.transport.open(durable("S", "OTHER"), flow())
      said.ledger = { delivered: 100, held: 100 }
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(problems(monitor), [])
      said.ledgers = { OTHER: { held: 99 } }
      yield* TestClock.adjust("2200 millis")
      assert.deepStrictEqual(problems(monitor), ["StreamUnavailable"], "one of two has room")
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("is known to have them also where messages came from the beginning", () =>
    Effect.gen(function*() {
      const { monitor, said } = yield* watched
      said.replicas = 3
      for (let delivered = 1; delivered <= 100; delivered++) {
        said.ledger = { delivered }
        yield* TestClock.adjust("100 millis")
      }
      said.answers = Effect.never
      yield* TestClock.adjust("2200 millis")
      assert.deepStrictEqual(problems(monitor), ["StreamUnavailable"])
    }).pipe(Effect.provide(Memory.layer())))

  it.effect("that may not be asked is not asked again; one without replicas is, once in a minute", () =>
    Effect.gen(function*() {
      const { monitor, said } = yield* silent
      said.answers = Effect.fail(because(new PermissionDenied({ action: "publish", subject: "x" })))
      yield* TestClock.adjust("5 seconds")
      const { asked } = said
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([problems(monitor), said.asked], [[], asked])
      const alone = yield* watched
      yield* TestClock.adjust("150 seconds")
      assert.strictEqual(alone.said.asked, 3)
    }).pipe(Effect.provide(Memory.layer())))
})

describe("a stream that is published to", () => {
  it.effect("is asked for when nothing was stored for a while, and told of like one that is read", () =>
    Effect.gen(function*() {
      const { monitor, said } = yield* watched
      said.replicas = 3
      yield* createStream("P", ["p"])
      yield* monitor.transport.publish([message("p", "1")])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(problems(monitor), [])
      said.answers = Effect.never
      said.ledger = { held: 100 }
      yield* TestClock.adjust("2700 millis")
      assert.deepInclude(monitor.report().problems[0], { _tag: "StreamUnavailable", stream: "P" })
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(problems(monitor), ["StreamUnavailable"], "nobody can publish to it yet")
      yield* monitor.transport.publish([message("p", "2")])
      assert.deepStrictEqual(problems(monitor), [], "somebody can")
      said.answers = Effect.void
      yield* TestClock.adjust("3 minutes")
      said.answers = Effect.never
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(problems(monitor), [], "nobody publishes any more")
    }).pipe(Effect.provide(Memory.layer())))
})

describe("an application", () => {
  it.effect("that is blocked is not ready; one that is dead is not live either", () =>
    Effect.gen(function*() {
      const { monitor, vitals } = yield* watched
      yield* TestClock.adjust(1)
      assert.isTrue(monitor.report().ready)
      vitals.blockedMs = 2_500
      const blocked = monitor.report()
      assert.deepStrictEqual(blocked.problems, [{ _tag: "UserThreadBlocked", blockedMs: 2_500 }])
      assert.deepStrictEqual([blocked.ready, blocked.live], [false, true])
      assert.include(gauges(blocked), "sluice_thread_blocked_seconds 2.5\n")
      vitals.isDead = true
      const dead = monitor.report()
      assert.deepStrictEqual([dead.ready, dead.live, dead.problems[0]?._tag], [false, false, "UserThreadDead"])
    }).pipe(Effect.provide(Memory.layer())))
})

describe("a connection", () => {
  it.effect("that is not there is a problem, and the end of it one that stays", () =>
    Effect.gen(function*() {
      const inner = yield* Transport
      const monitor = new Monitor(
        { ...inner, status: Stream.make({ _tag: "Closed", reason: Option.none() } as const) },
        new Vitals(),
        () => 0
      )
      assert.deepStrictEqual(problems(monitor), ["Disconnected"], "it has not said anything yet")
      yield* monitor.watch
      yield* TestClock.adjust(1)
      assert.deepStrictEqual([problems(monitor), monitor.report().live], [["Closed"], false])
    }).pipe(Effect.provide(Memory.layer())))
})

describe("dead letters", () => {
  it.effect("that cannot be stored are a problem until one can, or until nobody tries any more", () =>
    Effect.gen(function*() {
      const { monitor } = yield* watched
      const letter = Letters.letterOf("dlq.S.C", {}, {
        stream: "S",
        consumer: "C",
        message: new Delivery({ ...parts, streamSequence: 1 }),
        kind: "failed",
        reason: "Refused",
        detail: "",
        attempts: 1,
        firstFailure: 0,
        lastFailure: 0,
        replaySequence: 0,
        replays: 0,
        messageId: ""
      })
      yield* monitor.transport.publish([letter])
      const problem = monitor.report().problems.find(({ _tag }) => _tag === "DeadLetterUnavailable")
      assert.deepInclude(problem, { _tag: "DeadLetterUnavailable", stream: "S", consumer: "C" })
      assert.isTrue(monitor.report().live)
      yield* TestClock.adjust("149 seconds")
      assert.include(problems(monitor), "DeadLetterUnavailable")
      yield* TestClock.adjust("1 second")
      assert.notInclude(problems(monitor), "DeadLetterUnavailable")
      yield* monitor.transport.publish([letter])
      assert.include(problems(monitor), "DeadLetterUnavailable")
      yield* createStream("DLQ", ["dlq.>"])
      yield* monitor.transport.publish([letter])
      assert.notInclude(problems(monitor), "DeadLetterUnavailable")
    }).pipe(Effect.provide(Memory.layer())))
})

const parts = {
  subject: "s",
  payload: new Uint8Array(),
  headerBytes: new Uint8Array(),
  stream: "S",
  consumer: "C",
  consumerSequence: 1,
  deliveryCount: 1,
  timestamp: 0,
  pending: 0,
  overheadBytes: 0
}
