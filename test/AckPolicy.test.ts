import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as AckPolicy from "../src/AckPolicy.ts"
import * as Subject from "../src/Subject.ts"

const telemetry = Subject.patternUnsafe("telemetry.>")
const ticks = Subject.patternUnsafe("ticks.*")

const policies = {
  onProcess: AckPolicy.onProcess,
  confirmed: AckPolicy.confirmed,
  onEnqueue: AckPolicy.onEnqueue,
  upTo: AckPolicy.upTo,
  hybrid: AckPolicy.hybrid({ onEnqueue: [telemetry] })
}

describe("the layers", () => {
  for (const [name, layer] of Object.entries(policies) as Array<[string, Layer.Layer<AckPolicy.AckPolicy>]>) {
    it.effect(`${name} provides the policy of its name`, () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* AckPolicy.AckPolicy)._tag, name)
      }).pipe(Effect.provide(layer)))
  }

  it.effect("mark what may be retried, and what may be done in any order", () =>
    Effect.gen(function*() {
      const found: Record<string, ReadonlyArray<string>> = {}
      for (const [name, layer] of Object.entries(policies)) {
        const context = (yield* Layer.build(layer)) as Context.Context<never>
        const has = <I, S>(key: Context.Service<I, S>) => Option.isSome(Context.getOption(context, key))
        found[name] = [
          ...(has(AckPolicy.Retryable) ? ["retryable"] : []),
          ...(has(AckPolicy.Concurrent) ? ["concurrent"] : [])
        ]
      }
      // Retrying what is acknowledged already is impossible; one ack for a prefix wants the order of the stream.
      assert.deepStrictEqual(found, {
        onProcess: ["retryable", "concurrent"],
        confirmed: ["retryable", "concurrent"],
        onEnqueue: ["concurrent"],
        upTo: [],
        hybrid: ["concurrent"]
      })
    }))
})

describe("acksOnEnqueue", () => {
  const subjects = ["telemetry.cpu.1", "ticks.a", "ticks.a.b", "jobs.1"]
  const acked = (policy: AckPolicy.Policy) => subjects.filter(AckPolicy.acksOnEnqueue(policy))

  it("says everything under onEnqueue", () => {
    assert.deepStrictEqual(acked({ _tag: "onEnqueue" }), subjects)
  })

  it("says what matches one of the patterns under hybrid", () => {
    assert.deepStrictEqual(acked({ _tag: "hybrid", onEnqueue: [telemetry, ticks] }), ["telemetry.cpu.1", "ticks.a"])
    assert.deepStrictEqual(acked({ _tag: "hybrid", onEnqueue: [] }), [])
  })

  it("says nothing under the others", () => {
    for (const _tag of ["onProcess", "confirmed", "upTo"] as const) {
      assert.deepStrictEqual(acked({ _tag }), [])
    }
  })

  it("reads a policy that has crossed to another thread", () => {
    const policy = structuredClone<AckPolicy.Policy>({ _tag: "hybrid", onEnqueue: [ticks] })
    assert.deepStrictEqual(acked(policy), ["ticks.a"])
  })
})
