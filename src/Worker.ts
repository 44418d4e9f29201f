/**
 * Runs readers as one program, and ends them in order.
 *
 * A `Worker` is a value: readers, the topology they need, and what they share. `run` makes the topology, runs all
 * readers at once, and, when it is time, shuts down in five steps:
 *
 * 1. Stop pulling. A key that waits for a retry goes back to the broker as a whole.
 * 2. Work off what is held, until the grace is over.
 * 3. Interrupt the rest, and hand its messages back at once.
 * 4. Wait until the broker has confirmed the acks.
 * 5. Close, and say what became of every delivery: the ledger.
 *
 * Interrupting `run` is asking it to shut down: it goes through the same steps.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as AckPolicy from "./AckPolicy.ts"
import * as Provisioner from "./Provisioner.ts"
import * as Reader from "./Reader.ts"
import type * as Topology from "./Topology.ts"
import type { Transport } from "./Transport.ts"
import type { TransportError } from "./TransportError.ts"

const TypeId = "~effect-sluice/Worker"

/**
 * Readers to run together. `E` is what may fail, `R` what they still need besides a transport.
 *
 * @category models
 * @since 0.1.0
 */
export interface Worker<out E = never, out R = never> {
  readonly [TypeId]: { readonly error: (_: never) => E; readonly services: (_: never) => R }
  readonly name: string
  readonly topology: Topology.Topology
  readonly readers: ReadonlyArray<Effect.Effect<void, any, any>>
  readonly layer: Layer.Layer<never, any, any>
}

/**
 * What became of every delivery, per reader and together.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger {
  readonly worker: string
  readonly readers: ReadonlyArray<{ readonly name: string; readonly ledger: Reader.Ledger }>
  readonly total: Reader.Ledger
}

/**
 * How to run a worker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long the shutdown may take. Default 10 seconds. What is held is worked off as far as it reaches; its last tenth,
   * at most a second, is for handing back the rest and confirming the acks.
   */
  readonly grace?: Duration.Input
  /** Shutdown begins when this ends. Default: never; then only an interruption begins it. */
  readonly drain?: Effect.Effect<void>
  /** Called once, when the readers start, with a way to look at the ledger while they run and after they failed. */
  readonly observe?: (ledger: () => Ledger) => void
}

/**
 * A worker's ack policy, if nobody chose another.
 *
 * @category models
 * @since 0.1.0
 */
export type Defaults = AckPolicy.AckPolicy | AckPolicy.Retryable | AckPolicy.Concurrent

/**
 * What a reader still needs, once a worker has given it the default policy. A reader that brought its own policy gets
 * none of the default's markers either: a retrying reader under `onEnqueue` must not compile here.
 *
 * @category models
 * @since 0.1.0
 */
export type Remaining<R> = AckPolicy.AckPolicy extends R ? Exclude<R, Defaults> : R

type AnyReader = Effect.Effect<void, any, any>

type Needs<Readers extends ReadonlyArray<AnyReader>, Out> = {
  readonly [K in keyof Readers]: Remaining<Exclude<Effect.Services<Readers[K]>, Out>>
}[number]

/**
 * Declares a worker.
 *
 * **Details**
 *
 * An effect among `readers` that reads nothing, a publisher for instance, runs beside them, and is interrupted once they
 * are done. Readers run under `AckPolicy.onProcess`, unless one brings its own (`Effect.provide(reader, AckPolicy.confirmed)`), or
 * `layer` chooses one for all. `layer` is for what the readers share, a database pool for instance: built once before the
 * first reader starts, closed after the last has ended. The topology is made before anything reads.
 *
 * A module that exports a worker as its default is a program: `sluice run worker.ts`.
 *
 * **Example** (A worker that prints orders)
 *
 * ```ts import.meta.vitest
 * import * as Topology from "effect-sluice/Topology"
 * import * as Worker from "effect-sluice/Worker"
 * import * as Effect from "effect/Effect"
 *
 * const worker = Worker.make({
 *   name: "orders",
 *   topology: [Topology.stream("ORDERS", { subjects: ["orders.>"] })],
 *   readers: [Effect.log("here stands Reader.handle(…)")]
 * })
 *
 * Worker.isWorker(worker) // => true
 * worker.topology.streams.length // => 1
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Readers extends ReadonlyArray<AnyReader>, Out = never, LE = never, In = never>(options: {
  readonly name?: string
  readonly readers: Readers
  readonly topology?: ReadonlyArray<Topology.Stream> | Topology.Topology
  readonly layer?: Layer.Layer<Out, LE, In>
}): Worker<Effect.Error<Readers[number]> | LE, Exclude<Needs<Readers, Out> | In, Transport>> => ({
  [TypeId]: phantom,
  name: options.name ?? "worker",
  topology: options.topology === undefined || !("streams" in options.topology)
    ? { streams: options.topology ?? [], consumers: [] }
    : options.topology,
  readers: options.readers,
  layer: options.layer ?? Layer.empty
})

/**
 * Whether a value is a worker, also one that another copy of this package made.
 *
 * @category guards
 * @since 0.1.0
 */
export const isWorker = (value: unknown): value is Worker<unknown, unknown> => Predicate.hasProperty(value, TypeId)

/**
 * Runs a worker until it is told to stop, one of its readers fails, or all have ended by themselves.
 *
 * **Details**
 *
 * One reader's failure drains the others, and then is the worker's. Otherwise the result is the ledger. When the grace is
 * over before everything held is worked off, a warning says so. What had not begun counts as `returned`, what was
 * interrupted as `abandoned`; both go back to the broker and are delivered again.
 *
 * **Gotchas**
 *
 * An interruption of `run` takes as long as what is held does, up to `grace`. A handler that cannot be interrupted is left
 * behind 5 seconds after the deadline. An interrupted `run` has no result: `NodeRuntime.runMain` drains on SIGTERM and
 * then exits with 130, without a ledger. Use `drain` or `observe` where somebody wants to see it, or `sluice run`.
 *
 * **Example** (A worker inside an application)
 *
 * ```ts import.meta.vitest
 * import { Topology, Worker } from "effect-sluice"
 * import * as Memory from "effect-sluice/layers/Memory"
 * import { Effect } from "effect"
 *
 * const worker = Worker.make({
 *   topology: [Topology.stream("ORDERS", { subjects: ["orders.>"] })],
 *   readers: [Effect.log("here stands Reader.handle(…)")]
 * })
 * const ledger = await Effect.runPromise(Effect.provide(Worker.run(worker, { grace: "5 seconds" }), Memory.layer()))
 * Worker.addsUp(ledger) // => true
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = <E, R>(
  worker: Worker<E, R>,
  options: Options = {}
): Effect.Effect<Ledger, E | TransportError, R | Transport> =>
  Effect.andThen(
    Provisioner.ensure(worker.topology),
    Effect.provide(
      supervise(worker, options),
      // What the worker's layer provides hides the default.
      Layer.provideMerge(worker.layer, AckPolicy.onProcess)
    ) as Effect.Effect<Ledger, E, R | Transport>
  )

/**
 * Whether every delivery is accounted for: delivered = finished + returned + abandoned + lost + displaced. Holds once
 * the readers have ended; while they run, they hold the rest.
 *
 * @category ledger
 * @since 0.1.0
 */
export const addsUp = (ledger: Ledger): boolean => unaccounted(ledger.total) === 0

/**
 * The ledger for people: a line per reader, the total, and whether it adds up.
 *
 * **Example** (A reader that handed two messages back)
 *
 * ```ts import.meta.vitest
 * import * as Worker from "effect-sluice/Worker"
 *
 * const billing = {
 *   delivered: 12, finished: 10, returned: 2, abandoned: 0, lost: 0, displaced: 0, swallowed: 0, unconfirmed: 0,
 *   processed: 9, retried: 0, rejected: 0, failed: 1, deadLettered: 1, dropped: 0
 * }
 * const ledger = { worker: "shop", readers: [{ name: "billing", ledger: billing }], total: billing }
 *
 * Worker.addsUp(ledger) // => true
 * Worker.format(ledger).split("\n").at(-1) // => "adds up: 12 delivered = 10 finished + 2 returned"
 * ```
 *
 * @category ledger
 * @since 0.1.0
 */
export const format = (ledger: Ledger): string => {
  const rows = [...ledger.readers, { name: "together", ledger: ledger.total }]
  const shown = ledger.readers.length === 1 ? rows.slice(0, 1) : rows
  const columns = [...settledColumns, ...outcomeColumns].filter((column) =>
    alwaysShown.has(column) || ledger.total[column] > 0
  )
  const table = [
    [`worker ${ledger.worker}`, ...columns],
    ...shown.map(({ ledger, name }) => [name, ...columns.map((column) => String(ledger[column]))])
  ]
  return [...align(table), balance(ledger.total)].join("\n")
}

// internals

const phantom = { error: (_: never) => _, services: (_: never) => _ }

/** How long interrupted handlers and the last acks may take, after the grace is over. */
const closeWithin = Duration.seconds(5)

type Registered = Parameters<Reader.Control["register"]>[0]

/** One of the worker's effects at work. It is a reader as soon as it has registered as one. */
interface Task {
  readonly fiber: Fiber.Fiber<void, unknown>
  readonly registered: Array<Registered>
}

/**
 * The five steps. Uninterruptible as a whole, so that whoever interrupts gets an orderly shutdown; the readers and the
 * waiting for their end are not.
 */
const supervise = (worker: Worker<any, any>, options: Options): Effect.Effect<Ledger, unknown, unknown> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const draining = yield* Deferred.make<void>()
      const tasks = yield* Effect.forEach(worker.readers, (reader) => start(reader, Deferred.await(draining)))
      const ledger = () => makeLedger(worker.name, tasks.flatMap(({ registered }) => registered))
      options.observe?.(ledger)
      const ended = yield* Effect.exit(restore(Effect.raceFirst(allOf(tasks), options.drain ?? Effect.never)))
      yield* Exit.isFailure(ended) && !Cause.hasInterruptsOnly(ended.cause)
        ? Effect.logError("a reader failed; draining the others")
        : Effect.logInfo("draining")

      // 1. Every reader stops pulling.
      yield* Deferred.succeed(draining, undefined)
      // 2. What is held is worked off, until the deadline. What else runs beside the readers has nothing to drain.
      const readers = tasks.filter(({ registered }) => registered.length > 0)
      const late = yield* awaitUntil(readers, workingTime(options.grace ?? "10 seconds"))
      if (late > 0) {
        yield* Effect.logWarning(`${late} of ${readers.length} readers were not done when the grace was over`)
      }
      // 3. The rest is interrupted. A reader that closes hands back what it holds, at once;
      tasks.forEach(({ fiber }) => fiber.interruptUnsafe())
      // 4. and waits until the broker has confirmed its acks.
      const stuck = yield* awaitUntil(tasks, closeWithin)
      if (stuck > 0) {
        yield* Effect.logError(`${stuck} of ${tasks.length} could not be interrupted and are left behind`)
      }
      // 5. A failure is the worker's result; so is an interruption; otherwise the ledger is.
      yield* ended
      yield* failureOf(tasks)
      return ledger()
    })
  )

const workingTime = (grace: Duration.Input): Duration.Duration => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(grace))
  return Duration.millis(millis - Math.min(1_000, millis / 10))
}

/** Detached, because a handler that cannot be interrupted must not hold whoever waits for the worker. */
const start = (reader: AnyReader, draining: Effect.Effect<void>): Effect.Effect<Task, never, unknown> => {
  const registered: Array<Registered> = []
  return reader.pipe(
    Effect.provideService(Reader.Control, { draining, register: (one) => void registered.push(one) }),
    Effect.forkDetach({ uninterruptible: false, startImmediately: true }),
    Effect.map((fiber) => ({ fiber, registered }))
  )
}

/** Ends when all have ended, and fails when the first fails. */
const allOf = (tasks: ReadonlyArray<Task>): Effect.Effect<void, unknown> =>
  Effect.forEach(tasks, ({ fiber }) => Fiber.join(fiber), { concurrency: "unbounded", discard: true })

/** Waits for all, but not longer than `patience`. Returns how many are still running. */
const awaitUntil = (tasks: ReadonlyArray<Task>, patience: Duration.Input): Effect.Effect<number> =>
  Effect.map(
    Effect.timeoutOption(Fiber.awaitAll(tasks.map(({ fiber }) => fiber)), patience),
    () => tasks.filter(({ fiber }) => fiber.pollUnsafe() === undefined).length
  )

/** The first failure that came up while draining. An interruption is none: the deadline did that. */
const failureOf = (tasks: ReadonlyArray<Task>): Effect.Effect<void, unknown> => {
  for (const { fiber } of tasks) {
    const exit = fiber.pollUnsafe()
    if (exit !== undefined && Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
      return exit
    }
  }
  return Effect.void
}

const makeLedger = (worker: string, registered: ReadonlyArray<Registered>): Ledger => {
  const readers = registered.map(({ ledger, name }) => ({ name, ledger: ledger() }))
  return { worker, readers, total: sum(readers.map(({ ledger }) => ledger)) }
}

const settledColumns = ["delivered", "finished", "returned", "abandoned", "lost", "displaced"] as const
const outcomeColumns = [
  "processed",
  "retried",
  "rejected",
  "failed",
  "deadLettered",
  "dropped",
  "swallowed",
  "unconfirmed"
] as const

type Column = keyof Reader.Ledger

/** The others appear when there is something to see. */
const alwaysShown: ReadonlySet<Column> = new Set<Column>([
  "delivered",
  "finished",
  "returned",
  "abandoned",
  "processed"
])

const sum = (ledgers: ReadonlyArray<Reader.Ledger>): Reader.Ledger => {
  const total = (column: Column) => ledgers.reduce((so, ledger) => so + ledger[column], 0)
  return Object.fromEntries([...settledColumns, ...outcomeColumns].map((column) => [column, total(column)])) as {
    readonly [K in Column]: number
  }
}

const unaccounted = (total: Reader.Ledger): number =>
  settledColumns.slice(1).reduce((left, column) => left - total[column], total.delivered)

const balance = (total: Reader.Ledger): string => {
  const [delivered, ...rest] = settledColumns
    .filter((column) => column === "delivered" || column === "finished" || total[column] > 0)
    .map((column) => `${total[column]} ${column}`)
  const missing = unaccounted(total)
  return missing === 0
    ? `adds up: ${delivered} = ${rest.join(" + ")}`
    : `DOES NOT ADD UP: ${delivered}, but ${rest.join(" + ")}; ${missing} unaccounted for`
}

/** The first column to the left, numbers to the right. */
const align = (table: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
  return table.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join("  ")
  )
}
