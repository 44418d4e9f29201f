/** The application's side: a transport whose work is done at the other end of a channel. */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Outgoing } from "../../Message.ts"
import * as Metrics from "../../Metrics.ts"
import type {
  Capabilities,
  ConnectionStatus,
  Flow,
  Inlet,
  Receipt,
  Source,
  TopologyAdmin,
  Transport
} from "../../Transport.ts"
import { because, Closed, type Reason, type TransportError } from "../../TransportError.ts"
import type { Channel, Reply, Request } from "./channel.ts"
import { type PackedVerdicts, packOutgoing, unpackReceipts } from "./packing.ts"
import { plainSource, type PlainStatus, reasonOf, statusOf } from "./plain.ts"
import { allocatePulse, beat } from "./pulse.ts"
import { RemoteInlet } from "./remoteInlet.ts"
import { allocate, Shared } from "./shared.ts"

export interface Options {
  /** Calls back when the other side is there no more. */
  readonly watch: (lost: (reason: Reason) => void) => void
  /** So long without a turn of this thread's event loop, and it holds nothing any longer. */
  readonly maxBlockedMs: number
}

/** Waits until the other side has its transport, and gives it; or fails as that one did. */
export const connect = (
  channel: Channel<Reply, Request>,
  options: Options
): Effect.Effect<Remote, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    const starting: ConnectionStatus = { _tag: "Connecting", attempt: 0, reason: Option.none() }
    const remote = new Remote(
      channel,
      yield* SubscriptionRef.make<ConnectionStatus>(starting),
      yield* Effect.context<never>()
    )
    const silence = channel.listen(remote.heard)
    yield* Effect.addFinalizer(() => Effect.sync(silence))
    options.watch(remote.lost)
    const pulse = allocatePulse()
    yield* Effect.acquireRelease(Effect.sync(() => beat(pulse)), (rest) => Effect.sync(rest))
    yield* remote.started
    channel.post({ _tag: "watch", pulse, maxBlockedMs: options.maxBlockedMs })
    return remote
  })

interface Waiting {
  readonly done: (exit: Exit.Exit<unknown, TransportError>) => void
}

const STARTED = 0
/** How many messages may be on the other side, waiting to be published; callers wait beyond that, with theirs here. */
const CROSSING_MAX = 4_096

export class Remote {
  readonly #channel: Channel<Reply, Request>
  readonly #status: SubscriptionRef.SubscriptionRef<ConnectionStatus>
  readonly #context: Context.Context<never>
  readonly #runFork: (effect: Effect.Effect<void>) => unknown
  readonly #calls = new Map<number, Waiting>()
  readonly #inlets = new Map<number, RemoteInlet>()
  readonly #crossings = Semaphore.makeUnsafe(CROSSING_MAX)
  #hasTopology = false
  #numbers = STARTED
  #gone: Reason | undefined

  constructor(
    channel: Channel<Reply, Request>,
    status: SubscriptionRef.SubscriptionRef<ConnectionStatus>,
    context: Context.Context<never>
  ) {
    this.#context = context
    this.#channel = channel
    this.#status = status
    this.#runFork = Effect.runForkWith(context)
  }

  get transport(): Transport["Service"] {
    return {
      capabilities: Effect.orDie(this.#call((call) => ({ _tag: "capabilities", call }))) as Effect.Effect<Capabilities>,
      status: Stream.takeUntil(SubscriptionRef.changes(this.#status), ({ _tag }) => _tag === "Closed"),
      publish: (batch) => this.#publish(batch),
      open: (source, flow) => this.#open(source, flow),
      topology: this.#hasTopology ? Option.some(this.#admin) : Option.none()
    }
  }

  get started(): Effect.Effect<void, TransportError> {
    return Effect.asVoid(this.#wait(STARTED, () => {}))
  }

  /** The other side is told to end. It hands back what is held, and says when it is done. */
  get end(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#gone !== undefined) {
        return Effect.void
      }
      const gone = this.#wait(STARTED, () => this.#channel.post({ _tag: "end" }))
      return Effect.asVoid(Effect.exit(gone))
    })
  }

  /** The other side is there no more. */
  readonly lost = (reason: Reason): void => {
    if (this.#gone !== undefined) {
      return
    }
    this.#gone = reason
    const error = because(reason)
    for (const { done } of [...this.#calls.values()]) {
      done(Exit.fail(error))
    }
    for (const inlet of this.#inlets.values()) {
      inlet.fail(error)
    }
    this.#runFork(SubscriptionRef.set(this.#status, { _tag: "Closed", reason: Option.some(reason) }))
  }

  readonly heard = (reply: Reply): void => {
    switch (reply._tag) {
      case "ready":
        this.#hasTopology = reply.hasTopology
        this.#calls.get(STARTED)?.done(Exit.succeed(undefined))
        break
      case "failed":
        this.#calls.get(STARTED)?.done(Exit.fail(because(reasonOf(reply.reason))))
        break
      case "answered":
        this.#calls.get(reply.call)?.done(Exit.succeed(reply.value))
        break
      case "receipts":
        this.#calls.get(reply.call)?.done(Exit.succeed(unpackReceipts(reply.receipts)))
        break
      case "refused":
        this.#calls.get(reply.call)?.done(Exit.fail(because(reasonOf(reply.reason))))
        break
      case "died":
        this.#calls.get(reply.call)?.done(Exit.die(new Error(reply.detail)))
        break
      case "deliveries":
        this.#inlets.get(reply.inlet)?.arrived(reply.batch)
        break
      case "ended":
        this.#inlets.get(reply.inlet)?.ended(reply.reason)
        break
      case "status":
        this.#changed(reply.status)
        break
      case "wasBlocked":
        this.#told(reply.millis)
        break
      case "gone":
        this.#calls.get(STARTED)?.done(Exit.succeed(undefined))
        this.lost(new Closed())
    }
  }

  // internals

  #told(millis: number): void {
    Metrics.updater(Metrics.blockedSeconds, this.#context)(millis / 1_000)
  }

  #changed(status: PlainStatus): void {
    this.#runFork(SubscriptionRef.set(this.#status, statusOf(status)))
  }

  /** Sends a request, and waits for what is said to it. */
  #call(
    request: (call: number) => Request,
    transfer?: ReadonlyArray<ArrayBuffer>
  ): Effect.Effect<unknown, TransportError> {
    return Effect.suspend(() => {
      const call = ++this.#numbers
      const asked = this.#wait(call, () => this.#channel.post(request(call), transfer))
      return Effect.onInterrupt(asked, () => Effect.sync(() => this.#channel.post({ _tag: "cancel", call })))
    })
  }

  #wait(call: number, ask: () => void): Effect.Effect<unknown, TransportError> {
    return Effect.callback<unknown, TransportError>((resume) => {
      if (this.#gone !== undefined) {
        resume(Effect.fail(because(this.#gone)))
        return
      }
      this.#calls.set(call, {
        done: (exit) => {
          this.#calls.delete(call)
          resume(exit)
        }
      })
      ask()
      return Effect.sync(() => {
        this.#calls.delete(call)
      })
    })
  }

  #publish(batch: NonEmptyReadonlyArray<Outgoing>): Effect.Effect<NonEmptyReadonlyArray<Receipt>, TransportError> {
    const crossing = Effect.suspend(() => {
      if (this.#gone !== undefined) {
        return Effect.fail(because(this.#gone))
      }
      const packed = packOutgoing(batch)
      const asked = this.#call((call) => ({ _tag: "publish", call, batch: packed }), [packed.bytes, packed.table])
      return Effect.catchIf(
        asked as Effect.Effect<NonEmptyReadonlyArray<Receipt>, TransportError>,
        () => this.#gone !== undefined,
        // It crossed, and whoever knows what became of it is gone.
        ({ reason }) => Effect.succeed(Arr.map(batch, (): Receipt => ({ _tag: "Ambiguous", reason })))
      )
    })
    return this.#crossings.withPermits(Math.min(CROSSING_MAX, batch.length))(crossing)
  }

  #open(source: Source, flow: Flow): Effect.Effect<Inlet, TransportError, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const number = ++this.#numbers
      const memory = allocate(flow.queue.messages)
      const send = (verdicts: PackedVerdicts, call: number): Request => ({
        _tag: "settle",
        call,
        inlet: number,
        verdicts
      })
      const inlet = new RemoteInlet({
        shared: new Shared(memory),
        waitsForWord: flow.ack._tag === "confirmed",
        ask: (max) => this.#channel.post({ _tag: "take", inlet: number, max }),
        unask: () => this.#channel.post({ _tag: "untake", inlet: number }),
        send: (verdicts) => this.#channel.post(send(verdicts, 0), [verdicts.table]),
        confirm: (verdicts) => Effect.ignore(this.#call((call) => send(verdicts, call), [verdicts.table])),
        stop: Effect.ignore(this.#call((call) => ({ _tag: "stop", call, inlet: number })))
      })
      this.#inlets.set(number, inlet)
      const close = Effect.suspend(() => {
        inlet.flush()
        return Effect.ignore(this.#call((call) => ({ _tag: "close", call, inlet: number })))
      })
      yield* Effect.addFinalizer(() =>
        Effect.ensuring(
          close,
          Effect.sync(() => {
            inlet.fail(because(new Closed()))
            this.#inlets.delete(number)
          })
        )
      )
      yield* this.#call((call) => ({ _tag: "open", call, inlet: number, source: plainSource(source), flow, memory }))
      return inlet
    })
  }

  get #admin(): TopologyAdmin {
    const ask = (method: keyof TopologyAdmin) => (...args: ReadonlyArray<unknown>) =>
      this.#call((call) => ({ _tag: "topology", call, method, args }))
    const found = (method: keyof TopologyAdmin) => (...args: ReadonlyArray<unknown>) =>
      Effect.map(ask(method)(...args), (value) => Option.fromUndefinedOr(value))
    return {
      describeStream: found("describeStream"),
      createStream: ask("createStream"),
      deleteStream: ask("deleteStream"),
      describeConsumer: found("describeConsumer"),
      createConsumer: ask("createConsumer"),
      deleteConsumer: ask("deleteConsumer"),
      purgeStream: ask("purgeStream"),
      deleteMessage: ask("deleteMessage")
    } as TopologyAdmin
  }
}
