/** An inlet on the I/O thread's side: hands over what the application asks for, and keeps what it has until the verdict. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Delivery } from "../../Message.ts"
import type { Inlet, Ledger, Verdict } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import { eachVerdict, packDeliveries, type PackedDeliveries, type PackedVerdicts } from "./packing.ts"
import { plain, type PlainReason } from "./plain.ts"
import { NOTHING, type Shared, sum } from "./shared.ts"

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
  readonly acksEarly: (subject: string) => boolean
  readonly shared: Shared
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly deliver: (batch: PackedDeliveries) => void
  readonly ended: (reason: PlainReason | undefined) => void
}

export class HostInlet {
  readonly #options: Options
  #living: Living
  readonly #kept = new Map<number, Kept>()
  readonly #free: Array<number> = []
  #numbers = 0
  #places = 0
  #taking: Fiber.Fiber<void> | undefined
  /** What was asked for, and has not been handed over. */
  #wanted = 0
  /** What earlier lives of this inlet came to. */
  #before: Ledger = NOTHING
  #suspended = false

  constructor(options: Options, living: Living) {
    this.#options = options
    this.#living = living
  }

  /** Opens it as it is described. */
  static readonly open = (options: Options): Effect.Effect<HostInlet, TransportError> =>
    Effect.map(options.open, (living) => new HostInlet(options, living))

  /** Hands over up to so many, as soon as there is one. The application asks again when it has them. */
  take(max: number): void {
    this.#wanted = max
    if (this.#suspended) {
      return
    }
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
    this.#wanted = 0
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
    // What a suspended inlet held belongs to somebody else.
    return this.#suspended ? Effect.void : this.#living.inlet.settle(verdicts)
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

  /** The application holds nothing any longer: all of it goes back, and it will find its leases lost. */
  get suspend(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#suspended) {
        return Effect.void
      }
      this.#suspended = true
      for (const { place } of this.#kept.values()) {
        this.#options.shared.setLost(place, true)
      }
      this.#taking?.interruptUnsafe()
      return Effect.andThen(
        Scope.close(this.#living.scope, Exit.void),
        Effect.sync(() => {
          this.#before = sum(this.#before, this.#living.inlet.ledger())
        })
      )
    })
  }

  /** The application is back: the reading goes on. */
  get resume(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#suspended
        ? Effect.matchEffect(this.#options.open, {
          onFailure: ({ reason }) => Effect.sync(() => this.#options.ended(plain(reason))),
          onSuccess: (living) =>
            Effect.sync(() => {
              this.#living = living
              this.#suspended = false
              if (this.#wanted > 0) {
                this.take(this.#wanted)
              }
            })
        })
        : Effect.void
    )
  }

  /** How the ledger stands, where the application sees it. */
  report(): void {
    const now = this.#suspended ? NOTHING : this.#living.inlet.ledger()
    this.#options.shared.ledger = sum(this.#before, now)
  }

  /** Which leases have run out, where the application sees it. */
  look(): void {
    if (!this.#suspended) {
      const { shared } = this.#options
      const { inlet } = this.#living
      for (const { delivery, place } of this.#kept.values()) {
        if (!inlet.holds(delivery)) {
          shared.setLost(place, true)
        }
      }
    }
    this.report()
  }

  // internals

  #hand(batch: ReadonlyArray<Delivery>): void {
    this.#wanted = 0
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
