/**
 * Says what a handler's failure means for its message.
 *
 * | | the message |
 * | --- | --- |
 * | `retry` | is tried again by the reader's schedule, until it is out of attempts |
 * | `later` | is tried again after a delay of its own, until it is out of attempts |
 * | `permanent` | is given up now: no attempt would help |
 * | `drop` | is terminated, counted, and kept nowhere |
 *
 * A reader's `classify` decides; what it leaves open, an error may say itself, by a property named `Outcome.key`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * What a failure means.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly _tag: "Retry" }
  | { readonly _tag: "Later"; readonly delayMs: number }
  | { readonly _tag: "Permanent" }
  | { readonly _tag: "Drop" }

/**
 * Tried again by the schedule. What is not said otherwise means this.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retry: Outcome = { _tag: "Retry" }

/**
 * Tried again after this delay, whatever the schedule says: a service has said when to ask again. Counts as an attempt.
 *
 * **Example** (What `Retry-After` says)
 *
 * ```ts import.meta.vitest
 * import * as Outcome from "effect-sluice/Outcome"
 *
 * Outcome.later("30 seconds") // => { _tag: "Later", delayMs: 30000 }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const later = (delay: Duration.Input): Outcome => ({
  _tag: "Later",
  delayMs: Math.max(0, Duration.toMillis(Duration.fromInputUnsafe(delay)))
})

/**
 * Given up now, at whichever attempt.
 *
 * @category constructors
 * @since 0.1.0
 */
export const permanent: Outcome = { _tag: "Permanent" }

/**
 * Terminated and counted as `dropped`. Nobody keeps it: for what is of no use any more, not for what is wrong.
 *
 * @category constructors
 * @since 0.1.0
 */
export const drop: Outcome = { _tag: "Drop" }

/**
 * The property by which an error says itself what it means.
 *
 * **Example** (An error that no attempt heals)
 *
 * ```ts import.meta.vitest
 * import * as Outcome from "effect-sluice/Outcome"
 * import * as Data from "effect/Data"
 *
 * class CardDeclined extends Data.TaggedError("CardDeclined") {
 *   readonly [Outcome.key] = Outcome.permanent
 * }
 * Outcome.of(new CardDeclined()) // => Outcome.permanent
 * Outcome.of(new Error("timeout")) // => undefined
 * ```
 *
 * @category classes of errors
 * @since 0.1.0
 */
export const key = "~effect-sluice/Outcome" as const

/**
 * What an error says of itself, if it does.
 *
 * @category classes of errors
 * @since 0.1.0
 */
export const of = (error: unknown): Outcome | undefined => {
  const said = typeof error === "object" && error !== null
    ? (error as { readonly [key]?: Partial<Outcome> })[key]
    : undefined
  switch (said?._tag) {
    case "Retry":
    case "Permanent":
    case "Drop":
      return { _tag: said._tag }
    case "Later":
      return Number.isFinite(said.delayMs) ? later(said.delayMs as number) : retry
    default:
      return undefined
  }
}
