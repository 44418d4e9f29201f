/** An inlet on the I/O thread's side: hands over what the application asks for, and keeps what it has until the verdict. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Delivery } from "../../Message.ts"
import * as Settlement from "../../Settlement.ts"
import type { Inlet, Overdue, Verdict } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import { eachVerdict, packDeliveries, type PackedDeliveries, type PackedVerdicts } from "./packing.ts"
import { plain, type PlainReason } from "./plain.ts"
import type { Shared } from "./shared.ts"

/** A place for a delivery that waits for its verdict. Places are used again, and the numbers of what stands there go up. */
class Kept {
  readonly place: number
  number = 0
  /** Nothing once it is settled: the place waits for another one. */
  delivery: Delivery | undefined = undefined
  /** What was last seen of a handler on it, and when that changed. */
  runs = 0
  since = 0
  /** The application was told that it is lost. */
  isLost = false
  /** It was settled here, because its handler took too long: the application has no say in it any more. */
  isOver = false

  constructor(place: number) {
    this.place = place
  }
}

/** The application interrupts a handler by itself, as soon as it can; so long it may take for that. */
const INTERRUPT_WITHIN_MS = 1_000

/** Acknowledged on enqueue: no verdict follows, and no lease can run out. */
const UNKEPT = { number: 0, place: -1 }

/** An inlet, and what it lives in. */
export interface Living {
  readonly inlet: Inlet
  readonly scope: Scope.Closeable
}

export interface Options {
  readonly open: Effect.Effect<Living, TransportError>
  readonly hasLeases: boolean
  readonly numbersFrom: number
  readonly acksEarly: (subject: string) => boolean
  readonly overdue: Overdue | undefined
  readonly shared: Shared
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly deliver: (batch: PackedDeliveries) => void
  readonly ended: (reason: PlainReason | undefined) => void
}

export class HostInlet {
  readonly #options: Options
  readonly #living: Living
  readonly #places: Array<Kept> = []
  readonly #free: Array<Kept> = []
  #numbers: number
  #taking: Fiber.Fiber<void> | undefined

  constructor(options: Options, living: Living) {
    this.#options = options
    this.#living = living
    this.#numbers = options.numbersFrom
  }

  /** Opens it as it is described. */
  static readonly open = (options: Options): Effect.Effect<HostInlet, TransportError> =>
    Effect.map(options.open, (living) => new HostInlet(options, living))

  /** Hands over up to so many, as soon as there is one. The application asks again when it has them. */
  take(max: number): void {
    const { ended, run } = this.#options
    const before = this.#taking
    const taking = Effect.matchEffect(this.#living.inlet.take(max), {
      onSuccess: (batch) => Effect.sync(() => this.#hand(batch)),
      onFailure: (end) => Effect.sync(() => ended(end._tag === "TransportError" ? plain(end.reason) : undefined))
    })
    // Whoever was told to stop may still be handing over.
    const isAfter = before !== undefined && before.pollUnsafe() === undefined
    this.#taking = run(isAfter ? Effect.andThen(Fiber.await(before), taking) : taking)
  }

  untake(): void {
    this.#taking?.interruptUnsafe()
  }

  settle(packed: PackedVerdicts): Effect.Effect<void> {
    const verdicts: Array<Verdict> = []
    eachVerdict(packed, (number, place, settlement) => {
      const kept = this.#places[place]
      const delivery = kept?.number === number ? kept.delivery : undefined
      if (kept !== undefined && delivery !== undefined) {
        if (settlement !== undefined && !kept.isOver) {
          verdicts.push({ delivery, settlement })
        }
        kept.delivery = undefined
        this.#free.push(kept)
      }
    })
    return this.#living.inlet.settle(verdicts)
  }

  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => this.#living.inlet.stop)
  }

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.untake()
      return Scope.close(this.#living.scope, Exit.void)
    })
  }

  get hasLeases(): boolean {
    return this.#options.hasLeases
  }

  /** The application holds nothing any longer, and learns it before it does anything else. */
  lose(): void {
    for (const kept of this.#places) {
      if (kept.delivery !== undefined) {
        this.#setLost(kept, true)
      }
    }
  }

  /** How the ledger stands, where the application sees it. */
  report(): void {
    this.#options.shared.ledger = this.#living.inlet.ledger()
  }

  /** Which leases have run out, where the application sees it. Gives what is settled because its handler takes too long. */
  look(now: number): ReadonlyArray<Verdict> {
    const { overdue, shared } = this.#options
    const { inlet } = this.#living
    const over: Array<Verdict> = []
    for (const kept of this.#places) {
      const { delivery, place } = kept
      if (delivery === undefined) {
        continue
      }
      const runs = shared.runs(place)
      if (runs !== kept.runs) {
        kept.runs = runs
        kept.since = now
      }
      if (!inlet.holds(delivery)) {
        this.#setLost(kept, true)
      } else if (overdue !== undefined && runs % 2 === 1 && now - kept.since >= overdue.afterMs + INTERRUPT_WITHIN_MS) {
        kept.isOver = true
        this.#setLost(kept, true)
        const isLast = delivery.deliveryCount >= overdue.terminateFrom
        over.push({ delivery, settlement: isLast ? Settlement.term("TimeBudgetExceeded") : Settlement.nak() })
      }
    }
    this.report()
    return over
  }

  /** Settles what the application will not. */
  settleOver(verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> {
    return this.#living.inlet.settle(verdicts)
  }

  // internals

  #hand(batch: ReadonlyArray<Delivery>): void {
    this.#options.deliver(packDeliveries(batch, (delivery) => this.#keep(delivery)))
  }

  #keep(delivery: Delivery): Pick<Kept, "number" | "place"> {
    const { acksEarly, shared } = this.#options
    if (acksEarly(delivery.subject)) {
      return UNKEPT
    }
    const kept = this.#free.pop() ?? this.#place()
    kept.number = ++this.#numbers
    kept.delivery = delivery
    kept.runs = shared.runs(kept.place)
    kept.since = Number.POSITIVE_INFINITY
    kept.isOver = false
    this.#setLost(kept, false)
    return kept
  }

  #place(): Kept {
    const kept = new Kept(this.#places.length)
    this.#places.push(kept)
    return kept
  }

  #setLost(kept: Kept, isLost: boolean): void {
    if (kept.isLost !== isLost) {
      kept.isLost = isLost
      this.#options.shared.setLost(kept.place, isLost)
    }
  }
}
