/** An inlet on the I/O thread's side: hands over what the application asks for, and keeps what it has until the verdict. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Delivery } from "../../Message.ts"
import type { Inlet, Verdict } from "../../Transport.ts"
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

export interface Options {
  readonly inlet: Inlet
  readonly acksEarly: (subject: string) => boolean
  /** What the inlet lives in. */
  readonly scope: Scope.Closeable
  readonly shared: Shared
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly deliver: (batch: PackedDeliveries) => void
  readonly ended: (reason: PlainReason | undefined) => void
}

export class HostInlet {
  readonly #options: Options
  readonly #kept = new Map<number, Kept>()
  readonly #free: Array<number> = []
  #numbers = 0
  #places = 0
  #taking: Fiber.Fiber<void> | undefined

  constructor(options: Options) {
    this.#options = options
  }

  /** Hands over up to so many, as soon as there is one. The application asks again when it has them. */
  take(max: number): void {
    const { ended, inlet, run } = this.#options
    const before = this.#taking
    const taking = Effect.matchEffect(inlet.take(max), {
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
    return this.#options.inlet.settle(verdicts)
  }

  get stop(): Effect.Effect<void> {
    return this.#options.inlet.stop
  }

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.untake()
      return Scope.close(this.#options.scope, Exit.void)
    })
  }

  /** How the ledger stands, where the application sees it. */
  report(): void {
    this.#options.shared.ledger = this.#options.inlet.ledger()
  }

  /** Which leases have run out, where the application sees it. */
  look(): void {
    const { inlet, shared } = this.#options
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
