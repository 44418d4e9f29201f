/**
 * An inlet whose deliveries go over the disk: taken from the broker, written, acknowledged, and handed on in order.
 *
 * It stands on an inlet of the same transport that holds what is on its way to the disk: leases, redeliveries and acks are
 * that one's affair. Three fibers work here: one writes, one reads back, one writes down what is settled. Each does its
 * work by the batch, and off the event loop.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type { Delivery } from "../../Message.ts"
import * as Settlement from "../../Settlement.ts"
import type * as Spill from "../../Spill.ts"
import type { Inlet, Ledger, Verdict } from "../../Transport.ts"
import { invalid, type TransportError } from "../../TransportError.ts"
import { opened } from "../taking.ts"
import type { Kept, Log } from "./log.ts"
import { again } from "./record.ts"
import type { Report } from "./report.ts"
import { attempt, type Trouble } from "./trouble.ts"

/** How often it is looked whether something comes back. Not at once: what closes gives back, too. */
const LOOK_MS = 20
/** So long is collected what is settled, before it is written down. */
const MARKS_MS = 10

interface Options {
  readonly settings: Spill.Settings
  /** What may be in memory, read back or not yet gone out of it. */
  readonly messages: number
  readonly bytes: number
  readonly clock: Clock.Clock
  readonly report: Report
}

/** A delivery that was given back, and comes again. */
interface Due {
  readonly kept: Kept
  readonly at: number
}

export class Spilled implements Inlet {
  readonly #inner: Inlet
  readonly #log: Log
  readonly #options: Options
  /** What can be taken, in order. */
  #ready: Array<Kept> = []
  /** What the reader has. */
  readonly #running = new Map<Delivery, Kept>()
  #due: Array<Due> = []
  /** All of these. */
  #messages = 0
  #bytes = 0
  #reading = false
  #stopped = false
  #ended = false
  #closed = false
  #failure: TransportError | undefined
  readonly #counts = { stored: 0, again: 0, settled: 0, swallowed: 0 }
  /** What is waited with until there is room for it. */
  #waiting: Delivery | undefined
  #damaged = 0
  #lastSync = Number.NEGATIVE_INFINITY
  readonly #arrived = Latch.makeUnsafe(false)
  /** There is something to read back, and room for it; something to write down; room on the disk. */
  readonly #readable = Latch.makeUnsafe(true)
  readonly #marked = Latch.makeUnsafe(true)
  readonly #hasRoom = Latch.makeUnsafe(true)

  constructor(inner: Inlet, log: Log, options: Options) {
    this.#inner = inner
    this.#log = log
    this.#options = options
  }

  get start(): Effect.Effect<void, never, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      yield* this.#options.report.found(this.#log)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          this.#closed = true
          this.#arrived.openUnsafe()
        })
      )
      yield* Effect.forkScoped(this.#store)
      yield* Effect.forkScoped(this.#readBack)
      yield* Effect.forkScoped(this.#writeDown)
      yield* Effect.sync(() => this.#comeBack()).pipe(
        Effect.andThen(Effect.sleep(LOOK_MS)),
        Effect.forever,
        Effect.forkScoped
      )
    })
  }

  // the reader's side

  readonly take = (max: number): Pull.Pull<NonEmptyReadonlyArray<Delivery>, TransportError> =>
    Effect.suspend(() => {
      const taken = this.#ready.splice(0, max)
      for (const kept of taken) {
        this.#running.set(kept.delivery, kept)
        this.#log.begin(kept)
      }
      if (taken.length > 0) {
        this.#marked.openUnsafe()
        return Effect.succeed(taken.map(({ delivery }) => delivery) as unknown as NonEmptyReadonlyArray<Delivery>)
      }
      if (this.#closed) {
        return Effect.fail(invalid("inlet", "it is closed", "Keep its scope open while it is used."))
      }
      // What is only on disk is no longer read once reading was stopped. When the source fails, it is.
      if (this.#failure !== undefined && (this.#stopped || this.#log.unsettled === 0)) {
        return Effect.fail(this.#failure)
      }
      if (this.#ended) {
        return Cause.done()
      }
      this.#arrived.closeUnsafe()
      return Effect.andThen(opened(this.#arrived), this.take(max))
    })

  readonly settle = (verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> =>
    Effect.sync(() => {
      for (const { delivery, settlement } of verdicts) {
        const kept = this.#running.get(delivery)
        if (kept === undefined) {
          continue
        }
        this.#running.delete(delivery)
        this.#counts.settled++
        if (settlement._tag !== "Nak") {
          this.#log.settle(kept)
          this.#forget(delivery)
        } else if (this.#stopped || this.#closed) {
          // It stays where it is, for the next one who opens the directory.
          this.#forget(delivery)
        } else {
          this.#due.push({ kept, at: this.#options.clock.currentTimeMillisUnsafe() + settlement.delayMs })
        }
      }
      this.#changed()
    })

  readonly holds = (delivery: Delivery): boolean => this.#running.has(delivery)

  /** What stands in memory is given, and then it ends; what is only on disk stays there. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#stopped = true
      return this.#inner.stop
    })
  }

  readonly unansweredMs = (): number => this.#inner.unansweredMs?.() ?? 0

  readonly ledger = (): Ledger => {
    const inner = this.#inner.ledger()
    const { again, settled, stored, swallowed } = this.#counts
    const { damaged, recovered } = this.#log
    const delivered = stored + recovered + again
    const held = delivered - settled - damaged
    return {
      delivered: delivered + inner.returned + inner.lost + inner.held,
      settled,
      displaced: 0,
      returned: inner.returned + (this.#closed ? held : 0),
      lost: inner.lost + damaged,
      swallowed: inner.swallowed + swallowed,
      unconfirmed: inner.unconfirmed,
      held: inner.held + (this.#closed ? 0 : held)
    }
  }

  // from the broker to the disk

  get #store(): Effect.Effect<void> {
    const { messages, settings } = this.#options
    const trouble = this.#options.report.trouble("nothing is acknowledged")
    const next = Effect.flatMap(this.#inner.take(messages), (chunk) => this.#keep(chunk, trouble))
    const paced = typeof settings.sync === "object" ? Effect.andThen(this.#pace(settings.sync.everyMs), next) : next
    return Effect.forever(paced).pipe(
      Pull.catchDone(() => Effect.void),
      Effect.catch((error) => Effect.sync(() => void (this.#failure = error))),
      Effect.andThen(Effect.sync(() => {
        this.#ended = this.#failure === undefined
        this.#arrived.openUnsafe()
      }))
    )
  }

  /** Lets come together what one sync is to make durable. */
  #pace(everyMs: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const rest = this.#lastSync + everyMs - this.#options.clock.currentTimeMillisUnsafe()
      return rest > 0 ? Effect.sleep(rest) : Effect.void
    })
  }

  /** Writes what came, in as many pieces as it takes. What the broker has meanwhile given to others is left out. */
  #keep(chunk: ReadonlyArray<Delivery>, trouble: Trouble): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      let rest = this.#unknown(chunk)
      while (rest.length > 0) {
        if (this.#log.fits(rest[0]!)) {
          rest = rest.slice(yield* this.#write(rest, trouble))
        } else {
          this.#waiting = rest[0]
          this.#hasRoom.closeUnsafe()
          this.#marked.openUnsafe()
          yield* opened(this.#hasRoom)
          this.#waiting = undefined
        }
        rest = rest.filter(this.#inner.holds)
      }
    })
  }

  /** What was written by a process that did not live to acknowledge it is acknowledged now. */
  #unknown(chunk: ReadonlyArray<Delivery>): ReadonlyArray<Delivery> {
    const known = chunk.filter((delivery) => this.#log.knows(delivery))
    if (known.length === 0) {
      return chunk
    }
    this.#counts.swallowed += known.length
    Effect.runSync(this.#inner.settle(known.map(acked)))
    return chunk.filter((delivery) => !known.includes(delivery))
  }

  /** How many were written, and acknowledged for that. */
  #write(deliveries: ReadonlyArray<Delivery>, trouble: Trouble): Effect.Effect<number> {
    const { clock, report, settings } = this.#options
    const written = Effect.flatMap(attempt(settings.directory, () => this.#log.append(deliveries)), (kept) => {
      this.#lastSync = clock.currentTimeMillisUnsafe()
      this.#counts.stored += kept.length
      report.stored(kept.length)
      this.#handOn(kept)
      return Effect.as(this.#inner.settle(kept.map(({ delivery }) => acked(delivery))), kept.length)
    })
    return Effect.uninterruptible(written).pipe(
      Effect.tap(() => trouble.over),
      Effect.catch((error) => Effect.as(trouble.met(error), 0))
    )
  }

  /** What nobody has to wait for is handed on as it is; all else is read back when its turn comes. */
  #handOn(kept: ReadonlyArray<Kept>): void {
    let bytes = 0
    for (const { delivery } of kept) {
      bytes += delivery.bytes
    }
    const { bytes: maxBytes, messages } = this.#options
    const isNext = !this.#reading && this.#log.isNext(kept[0]!)
    if (isNext && this.#messages + kept.length <= messages && this.#bytes + bytes <= maxBytes) {
      this.#log.catchUp()
      this.#add(kept)
    } else {
      this.#changed()
    }
  }

  // from the disk to the reader

  get #readBack(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { bytes, messages, settings } = this.#options
      const trouble = this.#options.report.trouble("nothing is read back")
      while (true) {
        if (!this.#canRead) {
          this.#readable.closeUnsafe()
          yield* opened(this.#readable)
          continue
        }
        this.#reading = true
        const room = [messages - this.#messages, bytes - this.#bytes] as const
        const reading = Effect.map(
          attempt(settings.directory, () => this.#log.read(...room)),
          (kept) => this.#add(kept)
        )
        yield* Effect.uninterruptible(reading).pipe(
          Effect.tap(() => trouble.over),
          Effect.catch((error) => trouble.met(error)),
          Effect.ensuring(Effect.sync(() => void (this.#reading = false)))
        )
        if (this.#log.damaged > this.#damaged) {
          yield* this.#options.report.damaged(this.#log.damaged - this.#damaged)
          this.#damaged = this.#log.damaged
          this.#changed()
        }
      }
    })
  }

  get #canRead(): boolean {
    const { bytes, messages } = this.#options
    return !this.#stopped && !this.#log.isCaughtUp && this.#messages < messages
      && (this.#bytes < bytes || this.#messages === 0)
  }

  /** What was given back comes again, before what has not come yet. */
  #comeBack(): void {
    if (this.#due.length === 0) {
      return
    }
    const now = this.#options.clock.currentTimeMillisUnsafe()
    const back = this.#due.filter(({ at }) => at <= now).map(({ kept }) => kept)
    if (back.length > 0) {
      this.#due = this.#due.filter(({ at }) => at > now)
      this.#counts.again += back.length
      back.sort((a, b) => a.segment.base + a.slot - b.segment.base - b.slot)
      this.#ready = back.map((kept) => ({ ...kept, delivery: again(kept.delivery) })).concat(this.#ready)
      this.#arrived.openUnsafe()
    }
  }

  #add(kept: ReadonlyArray<Kept>): void {
    for (const one of kept) {
      this.#messages++
      this.#bytes += one.delivery.bytes
      this.#ready.push(one)
    }
    if (kept.length > 0) {
      this.#arrived.openUnsafe()
    }
  }

  #forget({ bytes }: Delivery): void {
    this.#messages--
    this.#bytes -= bytes
  }

  // what is settled

  get #writeDown(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const trouble = this.#options.report.trouble("what is done is not written down, and would come again")
      while (true) {
        yield* opened(this.#marked)
        this.#marked.closeUnsafe()
        const flushed = attempt(this.#options.settings.directory, () => this.#flush())
        yield* flushed.pipe(
          Effect.tap(() => trouble.over),
          Effect.catch((error) => Effect.andThen(trouble.met(error), Effect.sync(() => this.#marked.openUnsafe())))
        )
        yield* this.#waiting === undefined ? Effect.sleep(MARKS_MS) : Effect.void
      }
    })
  }

  async #flush(): Promise<void> {
    await this.#log.flush()
    if (this.#waiting !== undefined && !this.#log.fits(this.#waiting) && this.#log.isIdle) {
      await this.#log.seal()
      await this.#log.flush()
    }
    if (this.#waiting !== undefined && this.#log.fits(this.#waiting)) {
      this.#hasRoom.openUnsafe()
    }
  }

  // internals

  /** Something is done: there may be more to read, to write down, or nothing left to wait for. */
  #changed(): void {
    this.#marked.openUnsafe()
    if (this.#canRead) {
      this.#readable.openUnsafe()
    }
    if (this.#failure !== undefined) {
      this.#arrived.openUnsafe()
    }
  }
}

const acked = (delivery: Delivery): Verdict => ({ delivery, settlement: Settlement.ack })
