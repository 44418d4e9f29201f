/** Watches a transport and those who read over it, by what passes through. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Problem, Reader, Report } from "../../Health.ts"
import * as Metrics from "../../Metrics.ts"
import type { ConnectionStatus, Flow, Inlet, Receipt, Source, Transport } from "../../Transport.ts"
import { Letters } from "./letters.ts"
import { Streams, UNANSWERED_AFTER_MS } from "./streams.ts"
import type { Vitals } from "./vitals.ts"

/** Messages are there, and so long none has come: the reader is stalled. Longer than any pull waits. */
const STALLED_AFTER_MS = 10_000
const LOOK_MS = 100
/** How often the broker is asked what it still has. */
const ASK_MS = 5_000
const ASK_WITHIN_MS = 2_000

interface Watched {
  readonly source: Source
  readonly flow: Flow
  readonly inlet: Inlet
  readonly leases: () => Pick<Reader, "leasesRenewed" | "leasesLost">
  pending: number | undefined
  /** Nothing more is delivered to anybody before something is answered. */
  isOthersTurn: boolean
  delivered: number
  /** When something last came, or nothing was there to come. */
  movedAt: number
}

export class Monitor {
  readonly #transport: Transport["Service"]
  readonly #vitals: Vitals
  readonly #now: () => number
  readonly #readers = new Set<Watched>()
  readonly #letters: Letters
  readonly #streams: Streams
  #status: ConnectionStatus = { _tag: "Connecting", attempt: 0, reason: Option.none() }
  #since: number

  constructor(transport: Transport["Service"], vitals: Vitals, now: () => number) {
    this.#transport = transport
    this.#vitals = vitals
    this.#now = now
    this.#since = now()
    this.#letters = new Letters(now)
    this.#streams = new Streams(Option.getOrUndefined(transport.topology), now)
  }

  /** The same transport; whoever reads over it is watched. */
  get transport(): Transport["Service"] {
    return {
      ...this.#transport,
      publish: this.#letters.watch((batch) => Effect.tap(this.#transport.publish(batch), this.#published)),
      open: (source, flow) =>
        Effect.gen({ self: this }, function*() {
          const watched: Watched = {
            source,
            flow,
            inlet: yield* this.#transport.open(source, flow),
            leases: leasesOf(source, yield* Effect.context<never>()),
            pending: undefined,
            isOthersTurn: false,
            delivered: 0,
            movedAt: this.#now()
          }
          yield* Effect.acquireRelease(
            Effect.sync(() => this.#readers.add(watched)),
            () => Effect.sync(() => this.#readers.delete(watched))
          )
          return watched.inlet
        })
    }
  }

  /** Watches until the scope ends. */
  get watch(): Effect.Effect<void, never, Scope.Scope> {
    const follow = Stream.runForEach(this.#transport.status, (status) =>
      Effect.sync(() => {
        if (status._tag !== this.#status._tag) {
          this.#since = this.#now()
          this.#streams.connected()
        }
        this.#status = status
      }))
    const every = (millis: number, act: Effect.Effect<void>) =>
      act.pipe(Effect.andThen(Effect.sleep(millis)), Effect.forever, Effect.forkScoped)
    return Effect.gen({ self: this }, function*() {
      const scope = yield* Effect.scope
      const look = Effect.suspend(() => {
        this.#look()
        return Effect.forEach(this.#streamAsks, (ask) => Effect.forkIn(ask, scope), { discard: true })
      })
      yield* Effect.forkScoped(follow)
      yield* every(LOOK_MS, look)
      yield* every(ASK_MS, this.#ask)
    })
  }

  report(): Report {
    const now = this.#now()
    const { blockedMs, isDead, lagMs } = this.#vitals
    const readers = [...this.#readers].map((reader) => describe(reader, now))
    const problems: Array<Problem> = []
    if (this.#status._tag === "Connected") {
      problems.push(...this.#unavailable())
    } else {
      const detail = Option.match(this.#status.reason, { onNone: () => "", onSome: ({ problem }) => problem })
      problems.push({ _tag: this.#status._tag === "Closed" ? "Closed" : "Disconnected", detail })
    }
    if (blockedMs > 0) {
      problems.push({ _tag: isDead ? "UserThreadDead" : "UserThreadBlocked", blockedMs })
    }
    for (const { capacity, consumer, held, pending, quietMs, stream } of readers) {
      if (pending !== null && pending > 0 && held < capacity && quietMs >= STALLED_AFTER_MS) {
        problems.push({ _tag: "ReaderStalled", stream, consumer, pending, quietMs })
      }
    }
    problems.push(...this.#letters.problems)
    return {
      ready: problems.length === 0,
      live: !problems.some(({ _tag }) => _tag === "Closed" || _tag === "UserThreadDead"),
      problems,
      connection: {
        state: this.#status._tag,
        server: this.#status._tag === "Connected" ? this.#status.server : null,
        sinceMs: now - this.#since
      },
      application: { lagMs, blockedMs },
      readers
    }
  }

  // internals

  readonly #published = (receipts: ReadonlyArray<Receipt>): Effect.Effect<void> =>
    Effect.sync(() => {
      let last = ""
      for (const receipt of receipts) {
        if (receipt._tag === "Confirmed" && receipt.stream !== last) {
          last = receipt.stream
          this.#streams.stored(last)
        }
      }
    })

  /** What nobody answers for, over a connection that stands. */
  #unavailable(): ReadonlyArray<Problem> {
    const consumers = [...this.#readers].flatMap(({ inlet, source }): ReadonlyArray<Problem> => {
      const unansweredMs = inlet.unansweredMs?.() ?? 0
      return unansweredMs < UNANSWERED_AFTER_MS
        ? []
        : [{ _tag: "ConsumerUnavailable", stream: source.stream, consumer: nameOf(source), unansweredMs }]
    })
    return [...consumers, ...this.#streams.problems]
  }

  #look(): void {
    const now = this.#now()
    const waitedFor = new Set<string>()
    for (const watched of this.#readers) {
      const { delivered, held } = watched.inlet.ledger()
      const isFull = held >= watched.flow.queue.messages || watched.isOthersTurn
      const hasMoved = delivered !== watched.delivered
      if (hasMoved) {
        this.#streams.moved(watched.source.stream)
      }
      if (!isFull) {
        waitedFor.add(watched.source.stream)
      }
      if (hasMoved || isFull || watched.pending === 0) {
        watched.delivered = delivered
        watched.movedAt = now
      }
    }
    for (const { source: { stream } } of this.#readers) {
      if (!waitedFor.has(stream)) {
        this.#streams.moved(stream)
      }
    }
  }

  get #streamAsks(): ReadonlyArray<Effect.Effect<void>> {
    return this.#status._tag === "Connected"
      ? this.#streams.ask(new Set([...this.#readers].map(({ source }) => source.stream)))
      : []
  }

  get #ask(): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.forEach([...this.#readers], (watched) => this.#askFor(watched), {
        concurrency: "unbounded",
        discard: true
      })
    )
  }

  /** Who may not ask does not know, and is never stalled. */
  #askFor(watched: Watched): Effect.Effect<void> {
    const { source } = watched
    const admin = Option.getOrUndefined(this.#transport.topology)
    return source._tag !== "durable" || admin === undefined
      ? Effect.void
      : Effect.ignore(
        Effect.timeoutOption(admin.describeConsumer(source.stream, source.consumer), ASK_WITHIN_MS).pipe(
          Effect.map((found) => {
            const info = Option.getOrUndefined(Option.flatten(found))
            watched.pending = info?.pending
            watched.isOthersTurn = info !== undefined && info.ackPending >= info.consumer.maxAckPending
          })
        )
      )
  }
}

/** As they are counted where all metrics are. */
const leasesOf = ({ stream, ...source }: Source, context: Context.Context<never>): Watched["leases"] => {
  const consumer = source._tag === "durable" ? source.consumer : source._tag
  const { leasesLost, leasesRenewed } = Metrics.inlet({ stream, consumer })
  return () => ({
    leasesRenewed: leasesRenewed.valueUnsafe(context).count,
    leasesLost: leasesLost.valueUnsafe(context).count
  })
}

const nameOf = (source: Source): string => source._tag === "durable" ? source.consumer : ""

const describe = ({ flow, inlet, leases, movedAt, pending, source }: Watched, now: number): Reader => ({
  stream: source.stream,
  consumer: nameOf(source),
  pending: pending ?? null,
  held: inlet.ledger().held,
  capacity: flow.queue.messages,
  ...leases(),
  quietMs: pending === undefined || pending === 0 ? 0 : now - movedAt
})
