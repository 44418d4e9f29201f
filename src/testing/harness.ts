/**
 * What a behaviour of the conformance suite works with: a stream of its own, time that passes, and reads that do not wait
 * for ever.
 */
import { assert } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type * as AckPolicy from "../AckPolicy.ts"
import * as Headers from "../Headers.ts"
import type { Delivery, Outgoing } from "../Message.ts"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import * as Topology from "../Topology.ts"
import type { Capabilities, Flow, Inlet, Receipt, Source, TopologyAdmin, Transport } from "../Transport.ts"
import type { Reason, TransportError } from "../TransportError.ts"

/** How time passes: `virtual` moves Effect's test clock, `live` waits. */
export type ClockKind = "virtual" | "live"

/** A behaviour of a transport, in words and as a program that fails if it is not so. */
export interface Behaviour {
  readonly name: string
  readonly run: (h: Harness) => Effect.Effect<void, TransportError, Scope.Scope>
}

export const behaviour = (name: string, run: Behaviour["run"]): Behaviour => ({ name, run })

/** What came in, and a way to end reading before the test does. */
export interface Opened {
  readonly inlet: Inlet
  readonly close: Effect.Effect<void>
}

/** How a test reads: in whole sentences, `h.read({ consumer: "c" })`. */
export interface ReadOptions extends FlowOptions {
  readonly consumer?: Parameters<typeof Topology.consumer>[1]
  readonly name?: string
}

export interface FlowOptions {
  readonly queue?: Queue.Settings
  readonly ack?: AckPolicy.Policy
  readonly timeBudgetMs?: number
}

/** How long something that must happen may take, in real time. */
const PATIENCE = Duration.seconds(8)
const POLL = Duration.millis(25)
let streams = 0

export class Harness {
  readonly transport: Transport["Service"]
  readonly admin: TopologyAdmin
  readonly capabilities: Capabilities
  readonly clock: ClockKind
  /** A name that nobody else uses on this broker, for this test's stream and the first token of its subjects. */
  readonly stream: string
  readonly #name = uniqueName()
  #ids = 0

  constructor(transport: Transport["Service"], admin: TopologyAdmin, capabilities: Capabilities, clock: ClockKind) {
    this.transport = transport
    this.admin = admin
    this.capabilities = capabilities
    this.clock = clock
    this.stream = this.#name
  }

  static readonly make = (transport: Transport["Service"], clock: ClockKind): Effect.Effect<Harness> =>
    Effect.gen(function*() {
      const admin = Option.getOrUndefined(transport.topology)
      assert.isDefined(admin, "the suite needs a transport that can create streams")
      return new Harness(transport, admin, yield* transport.capabilities, clock)
    })

  // time

  /** Lets time pass. */
  advance(duration: Duration.Input): Effect.Effect<void> {
    return this.clock === "virtual" ? TestClock.adjust(duration) : Effect.sleep(duration)
  }

  /** Fails if it takes too long in real time, whatever the clock. */
  within<A, E, R>(effect: Effect.Effect<A, E, R>, what: () => string): Effect.Effect<A, E, R> {
    const patience = Effect.sleep(PATIENCE)
    return Effect.raceFirst(
      effect,
      Effect.andThen(
        this.clock === "virtual" ? TestClock.withLive(patience) : patience,
        Effect.suspend(() => Effect.die(new Error(what())))
      )
    )
  }

  /** Looks again and again until the look is as it should be; then, or when patience ends, it decides. */
  eventually<A>(
    look: Effect.Effect<A, TransportError>,
    decide: (found: A) => void
  ): Effect.Effect<A, TransportError> {
    const tries = Duration.toMillis(PATIENCE) / Duration.toMillis(POLL)
    const attempt = (left: number): Effect.Effect<A, TransportError> =>
      Effect.flatMap(look, (found) => {
        try {
          decide(found)
          return Effect.succeed(found)
        } catch (failure) {
          return left === 0 ? Effect.die(failure) : Effect.andThen(this.advance(POLL), attempt(left - 1))
        }
      })
    return attempt(tries)
  }

  // streams and messages

  /** Makes this test's stream; it is gone when the test is over. */
  create(options: Partial<Parameters<typeof Topology.stream>[1]> = {}): Effect.Effect<
    Topology.Stream,
    TransportError,
    Scope.Scope
  > {
    const stream = Topology.stream(this.stream, { subjects: [this.subject(">")], storage: "memory", ...options })
    return Effect.as(Effect.andThen(this.admin.createStream(stream), this.forgetLater(stream.name)), stream)
  }

  forgetLater(stream: string): Effect.Effect<void, never, Scope.Scope> {
    return Effect.addFinalizer(() => Effect.ignore(this.admin.deleteStream(stream)))
  }

  subject(rest: string): string {
    return `${this.stream}.${rest}`
  }

  message(rest: string, text: string, options: Partial<Outgoing> = {}): Outgoing {
    const id = `${this.#name}-${++this.#ids}`
    return { subject: this.subject(rest), payload: encoder.encode(text), headers: Headers.empty, id, ...options }
  }

  /** Publishes one message and says how it ended. */
  publish(message: Outgoing): Effect.Effect<Receipt, TransportError> {
    return Effect.map(this.transport.publish([message]), ([receipt]) => receipt)
  }

  /** Stores `rest:text` for each of them, in this order. */
  store(...messages: ReadonlyArray<readonly [rest: string, text: string]>): Effect.Effect<void, TransportError> {
    const batch = messages.map(([rest, text]) => this.message(rest, text))
    return Effect.map(this.transport.publish(batch as unknown as NonEmptyReadonlyArray<Outgoing>), (receipts) => {
      for (const receipt of receipts) {
        assert.strictEqual(receipt._tag, "Confirmed")
      }
    })
  }

  /** Stores `m.1` to `m.<count>`, each with its number as payload. */
  storeMany(count: number): Effect.Effect<void, TransportError> {
    return this.store(...Array.from({ length: count }, (_, i) => [`m.${i + 1}`, String(i + 1)] as const))
  }

  // reading

  /** Reads from a durable of this reader, made if it is missing. */
  read(options: ReadOptions = {}): Effect.Effect<Opened, TransportError, Scope.Scope> {
    const consumer = Topology.consumer(options.name ?? "c", options.consumer)
    return this.open(
      { _tag: "durable", stream: this.stream, consumer: consumer.name, create: Option.some(consumer) },
      options
    )
  }

  open(source: Source, options: FlowOptions = {}): Effect.Effect<Opened, TransportError, Scope.Scope> {
    const flow: Flow = {
      queue: options.queue ?? Queue.suspend({ messages: 100 }),
      ack: options.ack ?? { _tag: "onProcess" },
      timeBudgetMs: options.timeBudgetMs ?? 60_000
    }
    return Effect.gen({ self: this }, function*() {
      const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const inlet = yield* Scope.provide(this.transport.open(source, flow), scope)
      return { inlet, close: Scope.close(scope, Exit.void) }
    })
  }

  /** Takes so many deliveries, however many pulls it needs. */
  take(opened: Opened, count: number): Effect.Effect<ReadonlyArray<Delivery>, TransportError> {
    return this.#collect(opened, count, () => Effect.void)
  }

  #collect(
    { inlet }: Opened,
    count: number,
    each: (batch: ReadonlyArray<Delivery>) => Effect.Effect<void>
  ): Effect.Effect<ReadonlyArray<Delivery>, TransportError> {
    const taken: Array<Delivery> = []
    const all = Effect.gen(function*() {
      while (taken.length < count) {
        const batch = yield* inlet.take(count - taken.length)
        taken.push(...batch)
        yield* each(batch)
      }
      return taken
    }).pipe(Effect.catchIf(
      (error): error is Exclude<typeof error, TransportError> => error._tag !== "TransportError",
      () => Effect.die(new Error(`the inlet ended after ${taken.length} of ${count} deliveries`))
    ))
    return this.within(all, () => `${taken.length} of ${count} deliveries came: ${texts(taken).join(", ")}`)
  }

  /** Takes so many, and acknowledges each batch as it comes. */
  process(opened: Opened, count: number): Effect.Effect<ReadonlyArray<Delivery>, TransportError> {
    return this.#collect(opened, count, (batch) => this.settle(opened, batch, Settlement.ack))
  }

  settle(
    { inlet }: Opened,
    deliveries: ReadonlyArray<Delivery>,
    settlement: Settlement.Settlement
  ): Effect.Effect<void> {
    const settling = inlet.settle(deliveries.map((delivery) => ({ delivery, settlement })))
    return this.within(settling, () => "settling did not end")
  }

  /** Fails if anything is delivered while the time passes. */
  nothing({ inlet }: Opened, duration: Duration.Input): Effect.Effect<void, TransportError> {
    return Effect.gen({ self: this }, function*() {
      const taking = yield* Effect.forkChild(inlet.take(10), { startImmediately: true })
      yield* this.advance(duration)
      const exit = taking.pollUnsafe()
      yield* Fiber.interrupt(taking)
      if (exit !== undefined && Exit.isSuccess(exit)) {
        const came = exit.value.map((delivery) => `${textOf(delivery)} (delivery ${delivery.deliveryCount})`)
        assert.fail(`nothing should have come, but ${came.join(", ")} did`)
      }
      assert.isUndefined(exit, "the inlet ended")
    })
  }

  // the broker's word

  /** What the broker says of this test's consumer. */
  info(name = "c"): Effect.Effect<Topology.ConsumerInfo, TransportError> {
    return Effect.map(this.admin.describeConsumer(this.stream, name), (found) => {
      assert.isTrue(Option.isSome(found), `consumer "${name}" does not exist`)
      return Option.getOrThrow(found)
    })
  }

  streamInfo(): Effect.Effect<Topology.StreamInfo, TransportError> {
    return Effect.map(this.admin.describeStream(this.stream), (found) => {
      assert.isTrue(Option.isSome(found), "the stream does not exist")
      return Option.getOrThrow(found)
    })
  }

  /** Waits until the consumer says so: acks travel. */
  until(expected: Partial<Topology.ConsumerInfo>, name = "c"): Effect.Effect<Topology.ConsumerInfo, TransportError> {
    return this.eventually(this.info(name), (info) => {
      const known = Object.keys(expected).map((key) => [key, info[key as keyof Topology.ConsumerInfo]])
      assert.deepStrictEqual(Object.fromEntries(known), expected)
    })
  }

  /** The reason for which it fails. */
  reason<A, R>(effect: Effect.Effect<A, unknown, R>): Effect.Effect<Reason, never, R> {
    return this.within(Effect.result(effect), () => "it should have failed, and is still waiting").pipe(
      Effect.map((result) => {
        assert.isTrue(Result.isFailure(result), "it should have failed")
        return (Option.getOrThrow(Result.getFailure(result)) as TransportError).reason
      })
    )
  }
}

// helpers of the behaviours

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const uniqueName = (): string => `T${globalThis.crypto.randomUUID().slice(0, 8)}_${++streams}`

export const textOf = (delivery: Delivery): string => decoder.decode(delivery.payload)

export const texts = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<string> => deliveries.map(textOf)

/** `1`, `2`, …, as `storeMany` writes them. */
export const numbers = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

export const sequenceOf = (receipt: Receipt): number => {
  assert.strictEqual(receipt._tag, "Confirmed")
  return (receipt as Extract<Receipt, { _tag: "Confirmed" }>).sequence
}

export const refusalOf = (receipt: Receipt): Reason => {
  assert.strictEqual(receipt._tag, "NotSent")
  return (receipt as Extract<Receipt, { _tag: "NotSent" }>).reason
}

/** `delivered` must be the sum of what became of them. */
export const addsUp = ({ inlet }: Opened): void => {
  const { delivered, displaced, held, lost, returned, settled } = inlet.ledger()
  assert.strictEqual(delivered, settled + displaced + returned + lost + held, "the ledger adds up")
  assert.isAtLeast(held, 0, "nothing is counted twice")
}
