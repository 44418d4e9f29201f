/**
 * What a message costs between the broker and its handler: the broker is the one in memory, on virtual time, behind the
 * port of the I/O thread without the thread. The same each time, on any machine.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as AckPolicy from "../../src/AckPolicy.ts"
import * as Memory from "../../src/layers/Memory.ts"
import * as Publisher from "../../src/Publisher.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import * as Topic from "../../src/Topic.ts"
import { Transport } from "../../src/Transport.ts"
import { behindPort } from "../../test/support/ported.ts"
import { createStream } from "../../test/support/transport.ts"
import { Counting } from "./counting.ts"

const MESSAGES = 20_000
const SINGLE = 1_000
const HELD = 2_000
const KEYS = 1_000
/** Turns of the event loop after which nothing moves any more. */
const IDLE_TURNS = 500

const schema = Schema.Struct({ customer: Schema.String, total: Schema.Number })
const orders = Topic.make("orders", { schema, key: ({ customer }) => customer })
const jobs = Topic.make("jobs", { schema: Schema.Number })

export const inMemory = (): Promise<Readonly<Record<string, number>>> => {
  const counting = new Counting()
  const program = Effect.gen(function*() {
    const transport = yield* behindPort(yield* Transport, counting.crossed)
    return yield* Effect.provide(all(counting), Layer.merge(Layer.succeed(Transport, transport), AckPolicy.onProcess))
  })
  // Nobody moves the time: that is meant.
  const layer = Layer.provideMerge(Memory.layer(), TestClock.layer({ warningDelay: "1 day" }))
  return Effect.runPromise(counting.counted(program).pipe(Effect.scoped, Effect.provide(layer), Effect.orDie))
}

// internals

const all = (counting: Counting) =>
  Effect.gen(function*() {
    yield* createStream("ORDERS", ["orders"])
    yield* createStream("JOBS", ["jobs"])
    const single = yield* publishedSingly(counting)
    const publish = yield* published(counting)
    const read = yield* handled(counting)
    const before = yield* beforeHandlers(counting)
    return {
      "publish: port messages": publish.crossings,
      "publish: Effect steps": publish.steps,
      "publish: fibers": publish.fibers,
      "publish: promises": publish.promises,
      "single publish: Effect steps": single.steps,
      "single publish: fibers": single.fibers,
      "read: port messages": read.crossings,
      "read: Effect steps": read.steps,
      "read: fibers": read.fibers,
      "read: promises": read.promises,
      "before a handler: Effect steps": before.steps,
      "before a handler: fibers": before.fibers,
      "before a handler: promises": before.promises
    }
  })

const published = (counting: Counting) =>
  Effect.gen(function*() {
    const items = Array.from({ length: MESSAGES }, (_, i) => ({ value: { customer: `c-${i % KEYS}`, total: i } }))
    const before = counting.now
    yield* Publisher.publishAll(orders, items)
    return counting.since(before, MESSAGES)
  })

const publishedSingly = (counting: Counting) =>
  Effect.gen(function*() {
    yield* Publisher.publish(jobs, 0)
    const before = counting.now
    for (let i = 1; i < SINGLE; i++) {
      yield* Publisher.publish(jobs, i)
    }
    return counting.since(before, SINGLE - 1)
  })

/** An empty handler for each, in 64 lanes, acknowledged one by one. */
const handled = (counting: Counting) =>
  Effect.gen(function*() {
    const done = Latch.makeUnsafe(false)
    const before = counting.now
    let read = 0
    const reading = Reader.handle(
      orders,
      { stream: "ORDERS", consumer: "C", queue: Queue.suspend({ messages: 500 }), lanes: 64 },
      () => {
        if (++read === MESSAGES) {
          done.openUnsafe()
        }
        return Effect.void
      }
    )
    yield* Effect.raceFirst(reading, done.await)
    return counting.since(before, MESSAGES)
  })

/** The first handler waits, and all the others wait for it: nothing but what comes before a handler is done. */
const beforeHandlers = (counting: Counting) =>
  Effect.gen(function*() {
    yield* Publisher.publishAll(jobs, Array.from({ length: HELD - SINGLE }, (_, value) => ({ value })))
    const before = counting.now
    let begun = 0
    const reading = Reader.handle(
      jobs,
      { stream: "JOBS", consumer: "C", queue: Queue.suspend({ messages: HELD }) },
      () => {
        begun++
        return Effect.never
      }
    )
    yield* Effect.raceFirst(reading, idle)
    if (begun !== 1) {
      return yield* Effect.die(new Error(`${begun} handlers have begun, not the one that holds up all others`))
    }
    return counting.since(before, HELD)
  })

const idle = Effect.callback<void>((resume) => {
  let turns = 0
  const turn = () => ++turns < IDLE_TURNS ? setImmediate(turn) : resume(Effect.void)
  turn()
})
