import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Queue from "../src/Queue.ts"
import * as Settlement from "../src/Settlement.ts"

interface Item extends Queue.Element {
  readonly n: number
}

const item = (n: number, subject = "s", bytes = 1): Item => ({ n, subject, bytes })
const items = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => item(from + i))
const ns = (elements: ReadonlyArray<Item>) => elements.map((element) => element.n)

/** Offers everything with nothing held elsewhere, and gives the numbers that were displaced. */
const offerAll = (queue: Queue.Queue<Item>, elements: ReadonlyArray<Item>, heldOutside = 0, bytesOutside = 0) =>
  elements.flatMap((element) => ns(queue.offer(element, heldOutside, bytesOutside)))

describe("the settings", () => {
  it("have defaults that a reader can live with", () => {
    assert.deepStrictEqual(Queue.suspend(), {
      strategy: "suspend",
      messages: 500,
      bytes: 64 * 1024 * 1024,
      onDrop: Settlement.ack
    })
  })

  it("take what is said", () => {
    const onDrop = Settlement.nak("1 minute")
    const settings = Queue.latest({ messages: 7, bytes: 100, onDrop })
    assert.deepStrictEqual(settings, { strategy: "latest", messages: 7, bytes: 100, onDrop })
    assert.deepStrictEqual([Queue.dropping(), Queue.sliding()].map((made) => made.strategy), ["dropping", "sliding"])
  })

  it("hold everything under suspend, and leave a quarter for arrivals otherwise", () => {
    const limits = [1, 2, 3, 4, 8, 100].map((messages) => Queue.heldLimit(Queue.sliding({ messages })))
    assert.deepStrictEqual(limits, [1, 1, 2, 3, 6, 75])
    assert.strictEqual(Queue.heldLimit(Queue.suspend({ messages: 8 })), 8)
  })
})

describe("suspend", () => {
  it("takes in whatever comes, in order: who pulls within the capacity never overfills it", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.suspend({ messages: 3, bytes: 3 }))
    assert.deepStrictEqual(offerAll(queue, items(1, 5)), [])
    assert.deepStrictEqual(ns(queue.take(2)), [1, 2])
    assert.deepStrictEqual([queue.size, queue.bytes], [3, 3])
    assert.deepStrictEqual(ns(queue.take(10)), [3, 4, 5])
    assert.deepStrictEqual([queue.size, queue.bytes], [0, 0])
  })
})

describe("dropping", () => {
  it("refuses the newest when full", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.dropping({ messages: 4 }))
    assert.deepStrictEqual(offerAll(queue, items(1, 6)), [4, 5, 6])
    assert.deepStrictEqual(ns(queue.clear()), [1, 2, 3])
  })

  it("counts what is held outside", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.dropping({ messages: 4 }))
    assert.deepStrictEqual(offerAll(queue, items(1, 3), 2), [2, 3])
    assert.deepStrictEqual(offerAll(queue, items(4, 4), 3), [4])
  })

  it("counts bytes, here and outside", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.dropping({ messages: 100, bytes: 10 }))
    assert.deepStrictEqual(offerAll(queue, [item(1, "s", 6), item(2, "s", 5), item(3, "s", 3)]), [2])
    assert.deepStrictEqual(offerAll(queue, [item(4, "s", 1)], 0, 1), [4])
    assert.deepStrictEqual(offerAll(queue, [item(5, "s", 1)], 0, 0), [])
    assert.strictEqual(queue.bytes, 10)
  })
})

describe("sliding", () => {
  it("drops the oldest that waits", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.sliding({ messages: 4 }))
    assert.deepStrictEqual(offerAll(queue, items(1, 6)), [1, 2, 3])
    assert.deepStrictEqual(ns(queue.clear()), [4, 5, 6])
  })

  it("drops as many as a large one needs, and the large one itself if it fits nowhere", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.sliding({ messages: 100, bytes: 10 }))
    assert.deepStrictEqual(offerAll(queue, [item(1, "s", 3), item(2, "s", 3), item(3, "s", 3), item(4, "s", 6)]), [
      1,
      2
    ])
    assert.deepStrictEqual(offerAll(queue, [item(5, "s", 11)]), [3, 4, 5])
    assert.deepStrictEqual([queue.size, queue.bytes], [0, 0])
  })

  it("refuses the newest when everything that is held has begun", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.sliding({ messages: 4 }))
    assert.deepStrictEqual(offerAll(queue, [item(1)], 3), [1])
  })
})

describe("latest", () => {
  it("keeps the newest of each subject, at the place of the newest", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.latest({ messages: 8 }))
    const offered = [item(1, "a"), item(2, "b"), item(3, "a"), item(4, "c"), item(5, "b")]
    assert.deepStrictEqual(offerAll(queue, offered), [1, 2])
    assert.deepStrictEqual(ns(queue.clear()), [3, 4, 5])
  })

  it("drops the oldest that waits when there are too many subjects", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.latest({ messages: 4 }))
    const offered = [item(1, "a"), item(2, "b"), item(3, "c"), item(4, "d"), item(5, "a")]
    assert.deepStrictEqual(offerAll(queue, offered), [1, 2])
    assert.deepStrictEqual(ns(queue.clear()), [3, 4, 5])
  })

  it("does not confuse a subject that was taken with one that waits", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.latest({ messages: 8 }))
    offerAll(queue, [item(1, "a")])
    assert.deepStrictEqual(ns(queue.take(1)), [1])
    assert.deepStrictEqual(offerAll(queue, [item(2, "a"), item(3, "a")]), [2])
  })
})

describe("removing", () => {
  it("takes one out from wherever it stands, once", () => {
    const queue = Queue.makeUnsafe<Item>(Queue.suspend())
    const [first, second, third] = items(1, 3) as [Item, Item, Item]
    offerAll(queue, [first, second, third])
    assert.deepStrictEqual([queue.remove(second), queue.remove(second)], [true, false])
    assert.deepStrictEqual([queue.size, queue.bytes], [2, 2])
    assert.deepStrictEqual(ns(queue.take(5)), [1, 3])
  })
})

const step = Schema.Struct({
  // Seldom more than none, so that the queue fills up.
  take: Schema.Literals([0, 0, 0, 0, 0, 1, 3]),
  subject: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
  bytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 })),
  outside: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))
})

const full = { messages: 8, bytes: 20 }

describe.each([Queue.dropping(full), Queue.sliding(full), Queue.latest(full)])(
  "any order under $strategy",
  (settings) => {
    it.prop(
      "gives everything back exactly once, keeps to its bounds, and knows its size",
      { steps: Arbitrary.array(Arbitrary.schema(step), { maxLength: 60 }) },
      ({ steps }) => {
        const queue = Queue.makeUnsafe<Item>(settings)
        const out: Array<Item> = []
        for (const [n, { bytes, outside, subject, take }] of steps.entries()) {
          const before = queue.size
          out.push(...queue.offer(item(n, String(subject), bytes), outside, outside))
          // What is held elsewhere cannot be dropped here; beyond that, nothing grows past the bounds.
          assert.isTrue(queue.size <= before || queue.size + outside <= Queue.heldLimit(settings), "messages")
          assert.isTrue(queue.size <= before || queue.bytes + outside <= settings.bytes, "bytes")
          out.push(...queue.take(take))
        }
        const kept = queue.clear()
        assert.deepStrictEqual(ns(kept), ns(kept).toSorted((a, b) => a - b), "the order of arrival")
        assert.deepStrictEqual(ns([...out, ...kept]).toSorted((a, b) => a - b), steps.map((_, n) => n))
        assert.deepStrictEqual([queue.size, queue.bytes], [0, 0])
      },
      { arbitrary: { runs: 300 } }
    )
  }
)

describe("the size", () => {
  it.prop(
    "in messages and bytes is always that of what waits",
    { steps: Arbitrary.array(Arbitrary.schema(step), { maxLength: 40 }) },
    ({ steps }) => {
      const queue = Queue.makeUnsafe<Item>(Queue.sliding({ messages: 6, bytes: 15 }))
      const waiting = new Set<Item>()
      for (const [n, { bytes, outside, subject, take }] of steps.entries()) {
        const offered = item(n, String(subject), bytes)
        waiting.add(offered)
        for (const gone of [...queue.offer(offered, outside, 0), ...queue.take(take)]) {
          waiting.delete(gone)
        }
        assert.strictEqual(queue.size, waiting.size)
        assert.strictEqual(queue.bytes, [...waiting].reduce((sum, element) => sum + element.bytes, 0))
      }
    },
    { arbitrary: { runs: 200 } }
  )
})
