/** The reader's side of an intake: takes deliveries, gives verdicts, and waits without holding up the broker's side. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import type { Delivery } from "../Message.ts"
import type { Verdict } from "../Transport.ts"
import type { TransportError } from "../TransportError.ts"
import type { Holdings } from "./holdings.ts"

export class Taking {
  readonly #holdings: Holdings
  /** Under the policy `confirmed` a verdict is handed over when the broker has confirmed it. */
  readonly #waitsForWord: boolean
  /** There may be room again. */
  readonly #freed: () => void
  /** Open while there is something to take, or an end to learn of. */
  readonly #arrived = Latch.makeUnsafe(false)
  #failure: TransportError | undefined
  #ended = false

  constructor(holdings: Holdings, waitsForWord: boolean, freed: () => void) {
    this.#holdings = holdings
    this.#freed = freed
    this.#waitsForWord = waitsForWord
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined
  }

  arrived(): void {
    if (this.#holdings.queue.size > 0) {
      this.#arrived.openUnsafe()
    }
  }

  /** Nothing more will come: after what stands in the queue, `take` is done. */
  end(): void {
    this.#ended = true
    this.#arrived.openUnsafe()
  }

  fail(error: TransportError): void {
    this.#failure ??= error
    this.#arrived.openUnsafe()
  }

  readonly take = (max: number): Pull.Pull<NonEmptyReadonlyArray<Delivery>, TransportError> =>
    Effect.suspend(() => {
      if (this.#failure !== undefined) {
        return Effect.fail(this.#failure)
      }
      const counted = this.#holdings.table.counted
      const taken = this.#holdings.take(max)
      if (this.#holdings.table.counted < counted) {
        this.#freed()
      }
      if (this.#holdings.queue.size === 0 && !this.#ended) {
        this.#arrived.closeUnsafe()
      }
      if (taken.length > 0) {
        return Effect.succeed(taken as unknown as NonEmptyReadonlyArray<Delivery>)
      }
      return this.#ended ? Cause.done() : Effect.andThen(opened(this.#arrived), this.take(max))
    })

  readonly settle = (verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const word = this.#waitsForWord && !this.hasFailed ? Latch.makeUnsafe(false) : undefined
      const now = this.#holdings.now()
      let open = 0
      for (const { delivery, settlement } of verdicts) {
        const entry = this.#holdings.table.get(delivery.streamSequence)
        if (entry?.delivery !== delivery || entry.phase !== "running") {
          continue
        }
        this.#holdings.counts.settled++
        if (word !== undefined) {
          open++
          entry.onConfirmed = () => {
            if (--open === 0) {
              word.openUnsafe()
            }
          }
        }
        this.#holdings.decide(entry, settlement, now)
      }
      return word === undefined || open === 0 ? Effect.void : opened(word)
    })

  /** Asked right before a handler starts. A delivery whose lease ran out is given up here. */
  readonly holds = (delivery: Delivery): boolean => {
    const { acksEarly, leases, table } = this.#holdings
    const entry = table.get(delivery.streamSequence)
    if (entry?.delivery !== delivery) {
      return acksEarly(delivery.subject)
    }
    if (entry.phase !== "running") {
      return entry.ackedEarly
    }
    if (leases.expired(entry, this.#holdings.now())) {
      this.#holdings.lose(entry)
      return false
    }
    return true
  }
}

/**
 * Waits until the latch opens. A latch resumes whoever waits for it inside the very call that opens it, and that is the
 * broker's I/O: what comes next must begin in a turn of its own (I1). So a burst that comes in one turn is taken as one.
 */
export const opened = (latch: Latch.Latch): Effect.Effect<void> => Effect.andThen(latch.await, Effect.yieldNow)
