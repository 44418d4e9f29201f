/**
 * Makes dead letters of what is given up: published and confirmed, or the message stays.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Delivery, Outgoing } from "../../Message.ts"
import * as Publisher from "../../Publisher.ts"
import { DecodeError } from "../../Topic.ts"
import { type Receipt, Transport } from "../../Transport.ts"
import * as Letters from "./letters.ts"
import { type DeadLetterOptions, type Failure, TimeBudgetExceeded } from "./options.ts"
import { replayOf, waitedOf } from "./replays.ts"
import type { Session } from "./session.ts"

/** The stream of dead letters does not take one. `problem` contains no data. */
export class DeadLetterUnavailable extends Data.TaggedError("DeadLetterUnavailable")<{ readonly problem: string }> {
  override get message(): string {
    return `no dead letter can be stored: ${this.problem}`
  }
}

/** What is known of a message that failed, while it is on its way back. */
interface Known {
  readonly timestamp: number
  readonly firstFailure: number
  doom: Failure | undefined
}

/** As many failing messages are known at a time; of older ones, the first failure is the latest. */
const knownMax = 8_192
/** The first letter that cannot be stored is tried for so long, those after it once. */
const patience = 2_000

export class Burying {
  readonly #session: Session
  readonly #known = new Map<number, Known>()
  #unavailable = false

  constructor(session: Session) {
    this.#session = session
  }

  noteFailure(delivery: Delivery): Effect.Effect<void> {
    return this.#session.plan.burial === undefined
      ? Effect.void
      : Effect.map(Clock.currentTimeMillis, (now) => void this.#know(delivery, now))
  }

  doomed(delivery: Delivery): Failure | undefined {
    return this.#known.size === 0 ? undefined : this.#recall(delivery)?.doom
  }

  /** From now on it is buried when it comes, and not handled. Where there are no letters, its handler may have it again. */
  doom(delivery: Delivery, failure: Failure): Effect.Effect<void> {
    return this.#session.plan.burial === undefined ? Effect.void : Effect.map(Clock.currentTimeMillis, (now) => {
      this.#know(delivery, now).doom = failure
    })
  }

  forget(delivery: Delivery): void {
    if (this.#known.size > 0) {
      this.#known.delete(delivery.streamSequence)
    }
  }

  /** Ends when the letter is stored. Without a place for letters there is nothing to do. */
  bury(delivery: Delivery, message: Delivery, failure: Failure): Effect.Effect<void, DeadLetterUnavailable> {
    const { burial } = this.#session.plan
    return burial === undefined ? Effect.void : Effect.gen({ self: this }, function*() {
      const now = yield* Clock.currentTimeMillis
      const detail = detailOf(failure, burial.options)
      const letter = Letters.letterOf(burial.subject, burial.options, {
        ...this.#caseOf(burial, delivery, message, failure, now),
        detail
      })
      const receipt = yield* this.#publish(letter)
      this.#unavailable = receipt._tag !== "Confirmed"
      if (receipt._tag !== "Confirmed") {
        return yield* new DeadLetterUnavailable({ problem: receipt.reason.problem })
      }
    })
  }

  /** Lets a message wait elsewhere, if its retry is far away and there is such a place. Whether it does. */
  postpone(delivery: Delivery, message: Delivery, failure: Failure, delayMs: number): Effect.Effect<boolean> {
    const { postponing } = this.#session.plan
    return postponing === undefined || delayMs < postponing.afterMs ? Effect.succeed(false) : Effect.gen(
      { self: this },
      function*() {
        const now = yield* Clock.currentTimeMillis
        const given = this.#caseOf(postponing, delivery, message, failure, now)
        const outgoing = Letters.postponed(postponing, given, delivery, now + delayMs)
        if (outgoing === undefined) {
          return false
        }
        const receipt = yield* this.#send(outgoing, {})
        if (receipt._tag === "Confirmed") {
          this.forget(delivery)
          return true
        }
        yield* Effect.logWarning(`a message cannot wait in ${postponing.into}, and waits as others do`, {
          reader: this.#session.plan.name,
          problem: receipt.reason.problem
        })
        return false
      }
    )
  }

  #caseOf(
    { consumer, stream }: { readonly stream: string; readonly consumer: string },
    delivery: Delivery,
    message: Delivery,
    failure: Failure,
    now: number
  ): Letters.Case {
    return {
      stream,
      consumer,
      message,
      kind: Letters.kindOf(failure),
      reason: failure.reason,
      detail: "",
      attempts: failure.attempts,
      firstFailure: waitedOf(delivery)?.firstFailure ?? this.#recall(delivery)?.firstFailure ?? now,
      lastFailure: now,
      ...replayOf(delivery, message)
    }
  }

  #send(one: Outgoing, more: Publisher.RetryOptions): Effect.Effect<Receipt> {
    return Publisher.publishRaw([one], { budget: patience, ...more }).pipe(
      Effect.map(([receipt]) => receipt),
      Effect.provideService(Transport, this.#session.transport)
    )
  }

  #publish(letter: Outgoing): Effect.Effect<Receipt> {
    const publish = (one: Outgoing) => this.#send(one, this.#unavailable ? { retry: Schedule.recurs(0) } : {})
    return Effect.flatMap(
      publish(letter),
      (receipt) =>
        receipt._tag === "NotSent" && receipt.reason._tag === "PayloadTooLarge" && letter.payload.length > 0
          ? publish(Letters.withoutPayload(letter))
          : Effect.succeed(receipt)
    )
  }

  #recall(delivery: Delivery): Known | undefined {
    const known = this.#known.get(delivery.streamSequence)
    return known?.timestamp === delivery.timestamp ? known : undefined
  }

  #know(delivery: Delivery, now: number): Known {
    const before = this.#recall(delivery)
    if (before !== undefined) {
      return before
    }
    if (this.#known.size >= knownMax) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest)
        break
      }
    }
    const known: Known = { timestamp: delivery.timestamp, firstFailure: now, doom: undefined }
    this.#known.set(delivery.streamSequence, known)
    return known
  }
}

// internals

/** What may be said: what the user says may be, or what contains no data by its making. */
const detailOf = (failure: Failure, { describe }: DeadLetterOptions): string => {
  if (describe !== undefined) {
    try {
      return describe(failure)
    } catch {
      return ""
    }
  }
  const error = failure.cause.reasons.find(Cause.isFailReason)?.error
  return error instanceof DecodeError ? error.problem : error instanceof TimeBudgetExceeded ? error.message : ""
}
