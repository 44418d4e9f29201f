/** An inlet on the I/O thread's side: hands over what the application asks for, and keeps what it has until the verdict. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Delivery } from "../../Message.ts"
import type { Inlet, Verdict } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import { eachVerdict, packDeliveries, type PackedDeliveries, type PackedVerdicts } from "./packing.ts"
import { plain, type PlainReason } from "./plain.ts"
import type { Shared } from "./shared.ts"

interface Kept {
  readonly number: number
  readonly place: number
  readonly delivery: Delivery
}

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
  readonly shared: Shared
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly deliver: (batch: PackedDeliveries) => void
  readonly ended: (reason: PlainReason | undefined) => void
}

export class HostInlet {
  readonly #options: Options
  readonly #living: Living
  readonly #kept = new Map<number, Kept>()
  readonly #free: Array<number> = []
  #numbers: number
  #places = 0
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
    this.#taking = run(before === undefined ? taking : Effect.andThen(Fiber.await(before), taking))
  }

  untake(): void {
    this.#taking?.interruptUnsafe()
  }

  settle(packed: PackedVerdicts): Effect.Effect<void> {
    const verdicts: Array<Verdict> = []
    eachVerdict(packed, (number, settlement) => {
      const kept = this.#kept.get(number)
      if (kept !== undefined) {
        this.#forget(kept)
        if (settlement !== undefined) {
          verdicts.push({ delivery: kept.delivery, settlement })
        }
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
    for (const { place } of this.#kept.values()) {
      this.#options.shared.setLost(place, true)
    }
  }

  /** How the ledger stands, where the application sees it. */
  report(): void {
    this.#options.shared.ledger = this.#living.inlet.ledger()
  }

  /** Which leases have run out, where the application sees it. */
  look(): void {
    const { shared } = this.#options
    const { inlet } = this.#living
    for (const { delivery, place } of this.#kept.values()) {
      if (!inlet.holds(delivery)) {
        shared.setLost(place, true)
      }
    }
    this.report()
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
    const place = this.#free.pop() ?? this.#places++
    const kept = { number: ++this.#numbers, place, delivery }
    shared.setLost(place, false)
    this.#kept.set(kept.number, kept)
    return kept
  }

  #forget({ number, place }: Kept): void {
    this.#kept.delete(number)
    this.#free.push(place)
  }
}
