/** The application's side: a transport whose work is done in an I/O thread. */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
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
import type { Request, Word } from "./channel.ts"
import * as Keeper from "./keeper.ts"
import type { Life } from "./life.ts"
import { type PackedVerdicts, packOutgoing } from "./packing.ts"
import { plainSource, statusOf } from "./plain.ts"
import { allocatePulse, beat } from "./pulse.ts"
import { RemoteInlet } from "./remoteInlet.ts"
import * as Telling from "./telling.ts"

export interface Options extends Keeper.Options {
  /** So long without a turn of this thread's event loop, and it holds nothing any longer. */
  readonly maxBlockedMs: number
  /** What is counted here, in Prometheus' words, where somebody over there is asked for it. */
  readonly metrics?: Effect.Effect<string> | undefined
}

/** Waits until a thread has its transport, and gives it; or fails as that one did. */
export const connect = (options: Options): Effect.Effect<Transport["Service"], TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    const starting: ConnectionStatus = { _tag: "Connecting", attempt: 0, reason: Option.none() }
    const remote = new Remote(
      options,
      yield* SubscriptionRef.make<ConnectionStatus>(starting),
      yield* Effect.context<never>()
    )
    yield* Effect.addFinalizer(() => remote.keeper.close)
    yield* Effect.acquireRelease(Effect.sync(() => beat(remote.pulse)), (rest) => Effect.sync(rest))
    yield* remote.keeper.start
    yield* Effect.forkScoped(remote.keeper.keep)
    if (options.metrics !== undefined) {
      const told = Effect.map(options.metrics, (text) => remote.keeper.life?.post({ _tag: "metrics", text }))
      yield* told.pipe(Effect.andThen(Effect.sleep(METRICS_MS)), Effect.forever, Effect.forkScoped)
    }
    return remote.transport
  })

/** How many messages may be on the other side, waiting to be published; callers wait beyond that, with theirs here. */
const CROSSING_MAX = 4_096
const METRICS_MS = 1_000

class Remote {
  readonly keeper: Keeper.Keeper
  readonly pulse = allocatePulse()
  readonly #maxBlockedMs: number
  readonly #status: SubscriptionRef.SubscriptionRef<ConnectionStatus>
  readonly #context: Context.Context<never>
  readonly #runFork: (effect: Effect.Effect<void>) => unknown
  readonly #inlets = new Map<number, RemoteInlet>()
  readonly #crossings = Semaphore.makeUnsafe(CROSSING_MAX)
  #capabilities: Capabilities | undefined
  #hasTopology = false
  #numbers = 0

  constructor(
    options: Options,
    status: SubscriptionRef.SubscriptionRef<ConnectionStatus>,
    context: Context.Context<never>
  ) {
    this.#maxBlockedMs = options.maxBlockedMs
    this.#context = context
    this.#status = status
    this.#runFork = Effect.runForkWith(context)
    this.keeper = new Keeper.Keeper(options, {
      resume: (life) => this.#resume(life),
      serves: () => {
        for (const inlet of this.#inlets.values()) {
          inlet.opened()
        }
      },
      lost: (reason) => this.#lost(reason),
      over: (reason) => this.#over(reason),
      trying: (attempt, reason) => this.#tell({ _tag: "Connecting", attempt, reason: Option.some(reason) }),
      heard: (life, word) => this.#heard(life, word)
    })
  }

  get transport(): Transport["Service"] {
    return {
      capabilities: this.#capable,
      status: Stream.takeUntil(SubscriptionRef.changes(this.#status), ({ _tag }) => _tag === "Closed"),
      publish: (batch) => this.#publish(batch),
      open: (source, flow) => this.#open(source, flow),
      topology: this.#hasTopology ? Option.some(this.#admin) : Option.none()
    }
  }

  // the thread's side

  /** What the last thread served, this one serves from now on. */
  #resume(life: Life): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#hasTopology = life.hasTopology
      life.post({ _tag: "watch", pulse: this.pulse, maxBlockedMs: this.#maxBlockedMs })
      const reopened = Effect.forEach(
        [...this.#inlets].filter(([, inlet]) => !inlet.hasEnded),
        ([number, inlet]) => this.#reopen(life, number, inlet),
        { concurrency: "unbounded", discard: true }
      )
      return Effect.andThen(reopened, Effect.sync(() => life.gone === undefined || this.#loseAll()))
    })
  }

  #reopen(life: Life, number: number, inlet: RemoteInlet): Effect.Effect<void> {
    return Effect.catch(this.#begin(life, number, inlet), (error) =>
      Effect.sync(() => {
        if (life.gone === undefined) {
          inlet.fail(error)
        }
      }))
  }

  #lost(reason: Reason): void {
    this.#loseAll()
    this.#runFork(Effect.logError(`${reason.problem}; another one follows`))
    this.#tell({ _tag: "Connecting", attempt: 0, reason: Option.some(reason) })
  }

  #loseAll(): void {
    for (const inlet of this.#inlets.values()) {
      inlet.lose()
    }
  }

  #over(reason: Reason): void {
    for (const inlet of this.#inlets.values()) {
      inlet.fail(because(reason))
    }
    this.#tell({ _tag: "Closed", reason: Option.some(reason) })
  }

  #tell(status: ConnectionStatus): void {
    this.#runFork(SubscriptionRef.set(this.#status, status))
  }

  #heard(life: Life, word: Word): void {
    switch (word._tag) {
      case "deliveries":
        this.#inlets.get(word.inlet)?.arrived(word.batch)
        break
      case "ended":
        this.#inlets.get(word.inlet)?.ended(word.reason)
        break
      case "status":
        this.#tell(statusOf(word.status))
        break
      case "logged":
        this.#runFork(Telling.log(word.line))
        break
      case "counted":
        Telling.count(word.grown, this.#context)
        break
      case "wasBlocked":
        Metrics.updater(Metrics.blockedSeconds, this.#context)(word.millis / 1_000)
        break
      case "gaveBack":
        this.#regain(life)
    }
  }

  /** This thread was taken for dead, and what it held was given back. It reads on. */
  #regain(life: Life): void {
    for (const [number, inlet] of this.#inlets) {
      if (inlet.hasLeases && !inlet.hasEnded) {
        inlet.lose()
        this.#runFork(Effect.andThen(this.#reopen(life, number, inlet), Effect.sync(() => inlet.opened())))
      }
    }
  }

  // the transport

  #call(request: (call: number) => Request): Effect.Effect<unknown, TransportError> {
    return Effect.flatMap(this.keeper.living, (life) => life.call(request))
  }

  get #capable(): Effect.Effect<Capabilities> {
    const asked = Effect.map(this.#call((call) => ({ _tag: "capabilities", call })), (answer) => {
      this.#capabilities = answer as Capabilities
      return this.#capabilities
    })
    const known = (error: TransportError) =>
      this.#capabilities === undefined ? Effect.fail(error) : Effect.succeed(this.#capabilities)
    return Effect.orDie(Effect.catch(asked, known))
  }

  #publish(batch: NonEmptyReadonlyArray<Outgoing>): Effect.Effect<NonEmptyReadonlyArray<Receipt>, TransportError> {
    const crossing = Effect.flatMap(this.keeper.living, (life) => {
      const packed = packOutgoing(batch)
      const asked = life.call((call) => ({ _tag: "publish", call, batch: packed }), [packed.bytes, packed.table])
      return Effect.catchIf(
        asked as Effect.Effect<NonEmptyReadonlyArray<Receipt>, TransportError>,
        () => life.gone !== undefined,
        // It crossed, and whoever knows what became of it is gone.
        ({ reason }) => Effect.succeed(Arr.map(batch, (): Receipt => ({ _tag: "Ambiguous", reason })))
      )
    })
    return this.#crossings.withPermits(Math.min(CROSSING_MAX, batch.length))(crossing)
  }

  #open(source: Source, flow: Flow): Effect.Effect<Inlet, TransportError, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const number = ++this.#numbers
      const inlet = this.#inlet(number, source, flow)
      const close = Effect.suspend(() => {
        inlet.flush()
        return this.#ask((call) => ({ _tag: "close", call, inlet: number }))
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
      yield* this.#opened(number, inlet)
      return inlet
    })
  }

  /** Opened by a thread that did not die meanwhile. */
  #opened(number: number, inlet: RemoteInlet): Effect.Effect<void, TransportError> {
    return Effect.flatMap(this.keeper.living, (life) => {
      this.#inlets.delete(number)
      return Effect.matchEffect(this.#begin(life, number, inlet), {
        onFailure: (error) => life.gone === undefined ? Effect.fail(error) : this.#opened(number, inlet),
        onSuccess: () =>
          Effect.suspend(() => {
            this.#inlets.set(number, inlet)
            return life.gone === undefined ? Effect.void : this.#opened(number, inlet)
          })
      })
    })
  }

  #begin(life: Life, number: number, inlet: RemoteInlet): Effect.Effect<void, TransportError> {
    return Effect.suspend(() => {
      const { memory, numbersFrom, source } = inlet.opening()
      const { flow } = inlet
      return Effect.asVoid(
        life.call((call) => ({
          _tag: "open",
          call,
          inlet: number,
          source: plainSource(source),
          flow,
          memory,
          numbersFrom
        }))
      )
    })
  }

  #inlet(number: number, source: Source, flow: Flow): RemoteInlet {
    const post = (request: Request, transfer?: ReadonlyArray<ArrayBuffer>) => this.keeper.life?.post(request, transfer)
    const settle = (verdicts: PackedVerdicts, call: number): Request => ({
      _tag: "settle",
      call,
      inlet: number,
      verdicts
    })
    return new RemoteInlet({
      source,
      flow,
      ask: (max, verdicts) => {
        post({ _tag: "take", inlet: number, max, verdicts }, verdicts === undefined ? undefined : [verdicts.table])
      },
      unask: () => post({ _tag: "untake", inlet: number }),
      send: (verdicts) => post(settle(verdicts, 0), [verdicts.table]),
      confirm: (verdicts) => this.#ask((call) => settle(verdicts, call), [verdicts.table]),
      stop: this.#ask((call) => ({ _tag: "stop", call, inlet: number }))
    })
  }

  /** Of the thread that serves; of none if there is none, since nothing is left to be done there. */
  #ask(request: (call: number) => Request, transfer?: ReadonlyArray<ArrayBuffer>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { life } = this.keeper
      return life === undefined ? Effect.void : Effect.ignore(life.call(request, transfer))
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
