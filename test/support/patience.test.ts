import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import { eventually, unlessStandstill } from "./patience.ts"

const BEARABLE_MS = 200

/** Nothing else runs meanwhile: as if the machine stood still. */
const standStill = Effect.sync(() => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * BEARABLE_MS)
})

/** Fails as often as it is told to, with a standstill or without. How it ends, and how often it ran. */
const tried = (failures: number, meanwhile: Effect.Effect<void>) =>
  Effect.gen(function*() {
    let runs = 0
    const effect = Effect.suspend(() =>
      Effect.andThen(meanwhile, ++runs <= failures ? Effect.fail("it failed") : Effect.succeed("it is fine"))
    )
    const end = yield* Effect.catch(unlessStandstill(BEARABLE_MS)(effect), (failure) => Effect.succeed(failure))
    return { end, runs }
  }).pipe(Effect.provide(Logger.layer([])))

describe("unlessStandstill", () => {
  it.live("tries again what failed while the machine stood still", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tried(1, standStill), { end: "it is fine", runs: 2 })
    }))

  it.live("not for ever: what fails three times has failed", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tried(9, standStill), { end: "it failed", runs: 3 })
    }))

  it.live("leaves alone what is fine however long it stood still", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tried(0, standStill), { end: "it is fine", runs: 1 })
    }))

  it.live("believes at once what failed while everything ran, however long that took", () =>
    Effect.gen(function*() {
      // It counts for nothing where this very test cannot run: then what it stands for would be tried again.
      const slow = Effect.forEach(Array.from({ length: 50 }), () => Effect.sleep(10), { discard: true })
      assert.deepStrictEqual(yield* tried(1, slow), { end: "it failed", runs: 1 })
    }).pipe(unlessStandstill(BEARABLE_MS)))

  it.live("does not begin anew when it is interrupted", () =>
    Effect.gen(function*() {
      let runs = 0
      const endless = Effect.suspend(() => (runs++, Effect.andThen(standStill, Effect.never)))
      const fiber = yield* Effect.forkChild(unlessStandstill(BEARABLE_MS)(endless), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(runs, 1)
    }))
})

describe("eventually", () => {
  it.live("looks until it is so, and not once more", () =>
    Effect.gen(function*() {
      let looks = 0
      yield* eventually(Effect.sync(() => ++looks), (found) => assert.strictEqual(found, 3))
      assert.strictEqual(looks, 3)
    }))
})
