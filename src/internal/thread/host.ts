/** The I/O thread's side of a transport: whatever comes through the channel is asked of the transport that lives here. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Outgoing } from "../../Message.ts"
import * as Spill from "../../Spill.ts"
import type { TopologyAdmin, Transport, Verdict } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import type { Vitals } from "../health/vitals.ts"
import type { Channel, Reply, Request } from "./channel.ts"
import { HostInlet } from "./hostInlet.ts"
import { packReceipts, unpackOutgoing } from "./packing.ts"
import { plain, plainStatus, sourceOf } from "./plain.ts"
import { Shared } from "./shared.ts"
import * as Telling from "./telling.ts"
import { Watch } from "./watch.ts"

/** How often lost leases and the ledgers are told, in ms. */
const LOOK_MS = 50
/** How often it is told what was counted. */
const COUNT_MS = 1_000

/** Serves a transport until the application ends it. */
export const serve = (
  transport: Transport["Service"],
  channel: Channel<Request, Reply>,
  vitals: Vitals
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fibers = yield* Scope.Scope
    const context = yield* Effect.context<never>()
    const run = <A>(effect: Effect.Effect<A>): Fiber.Fiber<A> => Effect.runForkWith(context)(effect)
    const ended = Promise.withResolvers<void>()
    const host = new Host(transport, channel, vitals, run, ended.resolve)
    const growth = Telling.growth(context)
    const counted = Effect.sync(() => {
      const grown = growth()
      if (grown.length > 0) {
        channel.post({ _tag: "counted", grown })
      }
    })
    yield* Effect.addFinalizer(() => Effect.andThen(host.closeAll, counted))
    yield* counted.pipe(Effect.andThen(Effect.sleep(COUNT_MS)), Effect.forever, Effect.forkIn(fibers))
    const silence = channel.listen(host.heard)
    yield* Effect.addFinalizer(() => Effect.sync(silence))
    const told = Latch.makeUnsafe(false)
    yield* transport.status.pipe(
      Stream.runForEach((status) =>
        Effect.sync(() => {
          channel.post({ _tag: "status", status: plainStatus(status) })
          told.openUnsafe()
        })
      ),
      Effect.forkIn(fibers)
    )
    yield* host.look.pipe(Effect.andThen(Effect.sleep(LOOK_MS)), Effect.forever, Effect.forkIn(fibers))
    yield* told.await
    channel.post({ _tag: "ready", hasTopology: Option.isSome(transport.topology) })
    yield* Effect.promise(() => ended.promise)
  })

class Host {
  readonly #transport: Transport["Service"]
  readonly #channel: Channel<Request, Reply>
  readonly #vitals: Vitals
  readonly #run: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
  readonly #end: () => void
  readonly #inlets = new Map<number, HostInlet>()
  readonly #calls = new Map<number, Fiber.Fiber<void>>()
  #watch: Watch | undefined

  constructor(
    transport: Transport["Service"],
    channel: Channel<Request, Reply>,
    vitals: Vitals,
    run: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>,
    end: () => void
  ) {
    this.#transport = transport
    this.#channel = channel
    this.#vitals = vitals
    this.#run = run
    this.#end = end
  }

  readonly heard = (request: Request): void => {
    switch (request._tag) {
      case "publish": {
        const batch = unpackOutgoing(request.batch) as unknown as NonEmptyReadonlyArray<Outgoing>
        this.#answer(request.call, this.#transport.publish(batch), (receipts) => {
          const packed = packReceipts(receipts)
          this.#channel.post({ _tag: "receipts", call: request.call, receipts: packed }, [packed.table, packed.which])
        })
        break
      }
      case "open":
        this.#answer(request.call, this.#open(request))
        break
      case "take": {
        const inlet = this.#inlets.get(request.inlet)
        if (inlet !== undefined && request.verdicts !== undefined) {
          this.#run(inlet.settle(request.verdicts))
        }
        inlet?.take(request.max)
        break
      }
      case "untake":
        this.#inlets.get(request.inlet)?.untake()
        break
      case "settle": {
        const settling = this.#inlets.get(request.inlet)?.settle(request.verdicts) ?? Effect.void
        if (request.call === 0) {
          this.#run(settling)
        } else {
          this.#answer(request.call, settling)
        }
        break
      }
      case "stop":
        this.#answer(request.call, this.#inlets.get(request.inlet)?.stop ?? Effect.void)
        break
      case "close":
        this.#answer(request.call, this.#close(request.inlet))
        break
      case "capabilities":
        this.#answer(request.call, this.#transport.capabilities)
        break
      case "topology":
        this.#answer(request.call, this.#ask(request.method, request.args))
        break
      case "cancel":
        this.#calls.get(request.call)?.interruptUnsafe()
        break
      case "metrics":
        this.#vitals.metrics = request.text
        break
      case "watch":
        this.#watch = this.#watching(request)
        break
      case "end":
        this.#end()
    }
  }

  /** Leases, ledgers, and whether the application is still there. */
  get look(): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      for (const inlet of this.#inlets.values()) {
        const over = inlet.look(now)
        if (over.length > 0) {
          this.#run(Effect.andThen(Effect.logWarning(overdue(over)), inlet.settleOver(over)))
        }
      }
      return this.#watch?.look ?? Effect.void
    })
  }

  get closeAll(): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.forEach([...this.#inlets.keys()], (inlet) => this.#close(inlet), {
        concurrency: "unbounded",
        discard: true
      })
    )
  }

  // internals

  /** Runs what was asked, and says how it ended; not if nobody waits any more. */
  #answer<A>(
    call: number,
    effect: Effect.Effect<A, TransportError>,
    answered: (value: A) => void = (value) => this.#channel.post({ _tag: "answered", call, value: portable(value) })
  ): void {
    const told = Effect.map(Effect.exit(effect), (exit) => {
      this.#calls.delete(call)
      for (const inlet of this.#inlets.values()) {
        inlet.report()
      }
      if (Exit.isSuccess(exit)) {
        answered(exit.value)
        return
      }
      const failure = Cause.findError(exit.cause)
      this.#channel.post(
        Result.isSuccess(failure)
          ? { _tag: "refused", call, reason: plain(failure.success.reason) }
          : { _tag: "died", call, detail: Cause.pretty(exit.cause) }
      )
    })
    const fiber = this.#run(told)
    if (fiber.pollUnsafe() === undefined) {
      this.#calls.set(call, fiber)
    }
  }

  #open({ flow, inlet: number, memory, numbersFrom, source }: Extract<Request, { readonly _tag: "open" }>) {
    const open = Effect.gen({ self: this }, function*() {
      const scope = yield* Scope.make()
      const inlet = yield* Effect.onError(
        Scope.provide(this.#transport.open(sourceOf(source), flow), scope),
        (cause) => Scope.close(scope, Exit.failCause(cause))
      )
      return { inlet, scope }
    })
    const hosted = HostInlet.open({
      open,
      hasLeases: source._tag !== "ordered",
      numbersFrom,
      acksEarly: Spill.settlesEarly(flow.queue, flow.ack),
      overdue: flow.overdue,
      shared: new Shared(memory),
      run: this.#run,
      deliver: (batch) => this.#channel.post({ _tag: "deliveries", inlet: number, batch }, [batch.bytes, batch.table]),
      ended: (reason) => this.#channel.post({ _tag: "ended", inlet: number, reason })
    })
    return Effect.map(hosted, (inlet) => void this.#inlets.set(number, inlet))
  }

  #watching({ maxBlockedMs, pulse }: Extract<Request, { readonly _tag: "watch" }>): Watch {
    let gaveBack = false
    return new Watch({
      pulse,
      maxBlockedMs,
      vitals: this.#vitals,
      dead: Effect.suspend(() => {
        gaveBack = true
        const leased = [...this.#inlets].filter(([, inlet]) => inlet.hasLeases)
        return Effect.forEach(leased, ([number, inlet]) => {
          inlet.lose()
          return this.#close(number)
        }, { concurrency: "unbounded", discard: true })
      }),
      back: (millis) =>
        Effect.sync(() => {
          this.#channel.post({ _tag: "wasBlocked", millis })
          if (gaveBack) {
            gaveBack = false
            this.#channel.post({ _tag: "gaveBack" })
          }
        })
    })
  }

  #close(number: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const inlet = this.#inlets.get(number)
      return inlet === undefined
        ? Effect.void
        : Effect.ensuring(
          inlet.close,
          Effect.sync(() => {
            inlet.report()
            this.#inlets.delete(number)
          })
        )
    })
  }

  #ask(method: string, args: ReadonlyArray<unknown>): Effect.Effect<unknown, TransportError> {
    return Effect.suspend(() => {
      const admin = Option.getOrThrow(this.#transport.topology)
      const ask = admin[method as keyof TopologyAdmin] as (
        ...args: ReadonlyArray<unknown>
      ) => Effect.Effect<unknown, TransportError>
      return ask(...args)
    })
  }
}

// internals

const overdue = (verdicts: ReadonlyArray<Verdict>): string => {
  const { delivery: { consumer, stream, streamSequence }, settlement } = verdicts[0]!
  const more = verdicts.length > 1 ? ` and ${verdicts.length - 1} more` : ""
  const what = settlement._tag === "Term" ? "terminated" : "handed back"
  return `a handler has taken longer than its time budget, and nobody could interrupt it: message ${streamSequence} of `
    + `${stream}/${consumer}${more} ${what}`
}

/** An `Option` crosses as what it holds, or as `undefined`. */
const portable = (value: unknown): unknown => Option.isOption(value) ? Option.getOrUndefined(value) : value
