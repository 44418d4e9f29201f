import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/testing/TestClock"
import * as Metrics from "../../src/Metrics.ts"
import { delivery, LEASE, setup } from "../support/played.ts"

it.effect("an intake tells its metrics what it did: pulls, leases renewed, leases lost", () =>
  Effect.gen(function*() {
    const { arrive, intake, take } = yield* setup()
    const { leasesLost, leasesRenewed, pulls } = Metrics.inlet({ stream: "S", consumer: "C" })
    const counts = Effect.map(
      Effect.all([Metric.value(pulls), Metric.value(leasesRenewed), Metric.value(leasesLost)]),
      (states) => states.map(({ count }) => count)
    )
    arrive(delivery(1), delivery(2))
    yield* TestClock.adjust(LEASE / 2)
    assert.deepStrictEqual(yield* counts, [1, 2, 0])
    intake.disconnected()
    yield* TestClock.adjust(LEASE)
    const taking = yield* Effect.forkChild(take(2), { startImmediately: true })
    yield* TestClock.adjust(LEASE)
    assert.deepStrictEqual(yield* counts, [1, 2, 2])
    taking.interruptUnsafe()
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
