import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { Heap } from "../../../src/internal/memory/heap.ts"
import { Log } from "../../../src/internal/memory/log.ts"

const none = new Uint8Array(0)

const step = Schema.Struct({
  subject: Schema.Literals(["a", "b", "c"]),
  remove: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))
})

describe("the log", () => {
  it.prop(
    "knows what it holds, its ends, and the first and last of each subject",
    { steps: Arbitrary.array(Arbitrary.schema(step), { maxLength: 60 }) },
    ({ steps }) => {
      const log = new Log()
      const model = new Map<number, string>()
      for (const { remove, subject } of steps) {
        model.set(log.append(subject, none, new Uint8Array(3), 1).sequence, subject)
        const gone = log.get(remove)
        if (gone !== undefined) {
          log.remove(gone)
          log.remove(gone)
          model.delete(remove)
        }
        const held = [...model.keys()]
        assert.deepStrictEqual([log.messages, log.bytes], [held.length, held.length * 20])
        assert.deepStrictEqual([log.first, log.last], [held[0] ?? log.last + 1, log.last])
        for (const name of ["a", "b", "c"]) {
          const sequences = held.filter((sequence) => model.get(sequence) === name)
          const known = log.subjects.get(name)
          assert.strictEqual(log.lastOf(name)?.sequence, sequences.at(-1))
          assert.strictEqual(known === undefined ? undefined : log.firstOf(known)?.sequence, sequences[0])
          assert.strictEqual(known?.messages ?? 0, sequences.length)
        }
      }
    },
    { arbitrary: { runs: 200 } }
  )

  it("keeps no trace of what has gone", () => {
    const log = new Log()
    for (let i = 0; i < 20_000; i++) {
      log.append("one", none, none, 1)
      const { sequence } = log.append("one", none, none, 1)
      log.remove(log.get(sequence - 1)!)
      if (sequence > 2) {
        log.remove(log.get(sequence - 2)!)
      }
    }
    assert.strictEqual(log.messages, 1)
    assert.isBelow(log.subjects.get("one")!.sequences.length, 5_000)
    assert.isBelow(log.places, 5_000)
  })
})

describe("the heap", () => {
  const time = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 }))

  it.prop(
    "gives the earliest first",
    { times: Arbitrary.array(Arbitrary.schema(time), { maxLength: 50 }) },
    ({ times }) => {
      const heap = new Heap<number>()
      const waiting: Array<number> = []
      for (const [i, at] of times.entries()) {
        heap.push(at, at)
        waiting.push(at)
        waiting.sort((a, b) => a - b)
        assert.strictEqual(heap.first, waiting[0])
        if (i % 3 === 2) {
          assert.strictEqual(heap.pop(), waiting.shift())
        }
      }
      for (const at of waiting) {
        assert.strictEqual(heap.pop(), at)
      }
      assert.deepStrictEqual([heap.pop(), heap.first], [undefined, Number.POSITIVE_INFINITY])
    }
  )
})
