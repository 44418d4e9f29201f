/** An inlet on the application's side: the I/O thread does the work, and this asks for it. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import type { Delivery } from "../../Message.ts"
import type * as Settlement from "../../Settlement.ts"
import type { Flow, Inlet, Ledger, Source, Verdict } from "../../Transport.ts"
import { because, type TransportError } from "../../TransportError.ts"
import { Crossed, type PackedDeliveries, type PackedVerdicts, unpackDeliveries, Verdicts } from "./packing.ts"
import { Place } from "./place.ts"
import { type PlainReason, reasonOf } from "./plain.ts"
import { allocate, NOTHING, Shared, type SharedMemory, sum } from "./shared.ts"

export interface Options {
  readonly source: Source
  readonly flow: Flow
  /** Asks for so many deliveries, and hands verdicts over on the way. */
  readonly ask: (max: number, verdicts: PackedVerdicts | undefined) => void
  readonly unask: () => void
  /** Hands verdicts over, and does not wait. */
  readonly send: (verdicts: PackedVerdicts) => void
  /** Hands verdicts over, and waits for the broker's word. */
  readonly confirm: (verdicts: PackedVerdicts) => Effect.Effect<void>
  readonly stop: Effect.Effect<void>
}

/** What an I/O thread has to know to open it, or to go on with what another one began. */
export interface Opening {
  readonly source: Source
  readonly memory: SharedMemory
  /** Its deliveries get numbers beyond this one. */
  readonly numbersFrom: number
}

export class RemoteInlet implements Inlet {
  readonly #options: Options
  readonly #place: Place
  #shared: Shared | undefined
  /** What earlier threads came to. */
  #before: Ledger = NOTHING
  /** What has come, and was not taken. */
  #ready: Array<Crossed> = []
  readonly #arrived = Latch.makeUnsafe(false)
  #asking = false
  #wanted = 0
  #stopping = false
  #end: TransportError | "done" | undefined
  #posted = new Verdicts()
  /** The highest number that has come, and the highest that is lost. */
  #highest = 0
  #lostUpTo = 0

  constructor(options: Options) {
    this.#options = options
    this.#place = new Place(options.source)
  }

  // the I/O thread's side

  /** What it is to be opened with, by the first thread and by each that follows. */
  opening(): Opening {
    const memory = allocate(this.#options.flow.queue.messages)
    this.#shared = new Shared(memory)
    return { source: this.#place.rest, memory, numbersFrom: this.#highest }
  }

  /** It is open: what was wanted meanwhile is asked for. */
  opened(): void {
    if (this.#asking) {
      this.#options.ask(this.#wanted, undefined)
    }
  }

  get hasEnded(): boolean {
    return this.#end !== undefined
  }

  get hasLeases(): boolean {
    return this.#options.source._tag !== "ordered"
  }

  get flow(): Flow {
    return this.#options.flow
  }

  arrived(batch: PackedDeliveries): void {
    this.#asking = false
    const deliveries = unpackDeliveries(batch)
    for (const { number } of deliveries) {
      this.#highest = Math.max(this.#highest, number)
    }
    this.#place.came(deliveries)
    this.#ready = this.#ready.length === 0 ? deliveries : this.#ready.concat(deliveries)
    this.#arrived.openUnsafe()
  }

  /** The other half is gone, and the leases with it. Without leases, what is here is as good as it was. */
  lose(): void {
    const { held, lost, settled, ...rest } = this.#shared?.ledger ?? NOTHING
    const ends = this.hasLeases ? { lost: lost + held, settled } : { lost, settled: settled + held }
    this.#before = sum(this.#before, { ...rest, ...ends, held: 0 })
    this.#shared = undefined
    this.#posted = new Verdicts()
    if (this.hasLeases) {
      this.#lostUpTo = this.#highest
      this.#ready = this.#ready.filter(({ number }) => number === 0)
    }
    if (this.#stopping) {
      this.fail("done")
    }
  }

  ended(reason: PlainReason | undefined): void {
    this.fail(reason === undefined ? "done" : because(reasonOf(reason)))
  }

  fail(end: TransportError | "done"): void {
    this.#asking = false
    this.#end ??= end
    this.#arrived.openUnsafe()
  }

  // the reader's side

  readonly take = (max: number): Pull.Pull<NonEmptyReadonlyArray<Delivery>, TransportError> =>
    Effect.suspend(() => {
      const taken = this.#next(max)
      if (taken.length > 0) {
        return Effect.succeed(taken as unknown as NonEmptyReadonlyArray<Delivery>)
      }
      if (this.#end !== undefined) {
        return this.#end === "done" ? Cause.done() : Effect.fail(this.#end)
      }
      this.#arrived.closeUnsafe()
      if (!this.#asking) {
        this.#asking = true
        this.#wanted = max
        this.#options.ask(max, this.#unsent())
      }
      const waiting = Effect.onInterrupt(this.#arrived.await, () => Effect.sync(() => this.#unask()))
      return Effect.andThen(waiting, Effect.andThen(Effect.yieldNow, this.take(max)))
    })

  readonly settle = (verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> =>
    Effect.suspend(() => {
      // Under this policy a verdict is handed over when the broker has confirmed it.
      const own = this.#options.flow.ack._tag === "confirmed" ? new Verdicts() : undefined
      for (const { delivery, settlement } of verdicts) {
        if (this.#isKept(delivery)) {
          this.#place.settled(delivery.number)
          if (own === undefined) {
            this.#post(delivery, settlement)
          } else {
            own.add(delivery, settlement)
          }
        }
      }
      return own === undefined || own.isEmpty ? Effect.void : this.#options.confirm(own.pack())
    })

  readonly holds = (delivery: Delivery): boolean => {
    if (!(delivery instanceof Crossed) || (delivery.number > 0 && delivery.number <= this.#lostUpTo)) {
      return false
    }
    if (this.#shared?.isLost(delivery.place) !== true) {
      return true
    }
    this.#post(delivery, undefined)
    return false
  }

  readonly runs = (delivery: Delivery, isRunning: boolean): void => {
    if (this.#isKept(delivery)) {
      this.#shared?.setRuns(delivery.place, isRunning)
    }
  }

  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#stopping = true
      return this.#options.stop
    })
  }

  readonly ledger = (): Ledger => sum(this.#before, this.#shared?.ledger ?? NOTHING)

  /** Sends the verdicts of this turn. */
  flush(): void {
    const verdicts = this.#unsent()
    if (verdicts !== undefined) {
      this.#options.send(verdicts)
    }
  }

  // internals

  #unsent(): PackedVerdicts | undefined {
    if (this.#posted.isEmpty) {
      return undefined
    }
    const posted = this.#posted
    this.#posted = new Verdicts()
    return posted.pack()
  }

  /** Whether a verdict on it is still asked for. */
  #isKept(delivery: Delivery): delivery is Crossed {
    return delivery instanceof Crossed && delivery.number > this.#lostUpTo
  }

  #post(delivery: Crossed, settlement: Settlement.Settlement | undefined): void {
    if (this.#posted.isEmpty) {
      queueMicrotask(() => this.flush())
    }
    this.#posted.add(delivery, settlement)
  }

  #unask(): void {
    if (this.#asking) {
      this.#asking = false
      this.#options.unask()
    }
  }

  /** Up to `max` of what has come. One whose lease ran out on the way is not among them. */
  #next(max: number): ReadonlyArray<Crossed> {
    let taken: ReadonlyArray<Crossed> = []
    while (taken.length === 0 && this.#ready.length > 0) {
      taken = this.#ready.splice(0, max).filter(this.holds)
    }
    return taken
  }
}
