/** An inlet on the application's side: the I/O thread does the work, and this asks for it. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import type { Delivery } from "../../Message.ts"
import type * as Settlement from "../../Settlement.ts"
import type { Inlet, Ledger, Verdict } from "../../Transport.ts"
import { because, type TransportError } from "../../TransportError.ts"
import { Crossed, type PackedDeliveries, type PackedVerdicts, packVerdicts, unpackDeliveries } from "./packing.ts"
import { type PlainReason, reasonOf } from "./plain.ts"
import type { Shared } from "./shared.ts"

export interface Options {
  readonly shared: Shared
  /** Under the policy `confirmed` a verdict is handed over when the broker has confirmed it. */
  readonly waitsForWord: boolean
  readonly ask: (max: number) => void
  readonly unask: () => void
  /** Hands verdicts over, and does not wait. */
  readonly send: (verdicts: PackedVerdicts) => void
  /** Hands verdicts over, and waits for the broker's word. */
  readonly confirm: (verdicts: PackedVerdicts) => Effect.Effect<void>
  readonly stop: Effect.Effect<void>
}

export class RemoteInlet implements Inlet {
  readonly #options: Options
  /** What has come, and was not taken. */
  #ready: Array<Crossed> = []
  readonly #arrived = Latch.makeUnsafe(false)
  #asking = false
  #end: TransportError | "done" | undefined
  #posted: Array<{ readonly number: number; readonly settlement: Settlement.Settlement | undefined }> = []

  constructor(options: Options) {
    this.#options = options
  }

  // the channel's side

  arrived(batch: PackedDeliveries): void {
    this.#asking = false
    this.#ready.push(...unpackDeliveries(batch))
    this.#arrived.openUnsafe()
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
        this.#options.ask(max)
      }
      const waiting = Effect.onInterrupt(this.#arrived.await, () => Effect.sync(() => this.#unask()))
      return Effect.andThen(waiting, Effect.andThen(Effect.yieldNow, this.take(max)))
    })

  readonly settle = (verdicts: ReadonlyArray<Verdict>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const own = verdicts.filter(({ delivery }) => delivery instanceof Crossed && delivery.number > 0)
        .map(({ delivery, settlement }) => ({ number: (delivery as Crossed).number, settlement }))
      if (this.#options.waitsForWord) {
        return own.length === 0 ? Effect.void : this.#options.confirm(packVerdicts(own))
      }
      for (const one of own) {
        this.#post(one)
      }
      return Effect.void
    })

  readonly holds = (delivery: Delivery): boolean => {
    if (!(delivery instanceof Crossed)) {
      return false
    }
    if (!this.#options.shared.isLost(delivery.place)) {
      return true
    }
    this.#post({ number: delivery.number, settlement: undefined })
    return false
  }

  get stop(): Effect.Effect<void> {
    return this.#options.stop
  }

  readonly ledger = (): Ledger => this.#options.shared.ledger

  /** Sends the verdicts of this turn. */
  flush(): void {
    if (this.#posted.length > 0) {
      const posted = this.#posted
      this.#posted = []
      this.#options.send(packVerdicts(posted))
    }
  }

  // internals

  #post(one: { readonly number: number; readonly settlement: Settlement.Settlement | undefined }): void {
    if (this.#posted.push(one) === 1) {
      queueMicrotask(() => this.flush())
    }
  }

  #unask(): void {
    if (this.#asking) {
      this.#asking = false
      this.#options.unask()
    }
  }

  /** Up to `max` of what has come. One whose lease ran out on the way is not among them. */
  #next(max: number): ReadonlyArray<Crossed> {
    const taken: Array<Crossed> = []
    let at = 0
    for (; at < this.#ready.length && taken.length < max; at++) {
      const delivery = this.#ready[at]!
      if (this.holds(delivery)) {
        taken.push(delivery)
      }
    }
    this.#ready.splice(0, at)
    return taken
  }
}
