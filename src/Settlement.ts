/**
 * Says what becomes of a delivery.
 *
 * A `Settlement` is plain data: the verdict that goes back to the broker for one delivery. When it is sent is the
 * business of the ack policy (`AckPolicy`); what it says is decided here.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * The message is done; the broker may forget it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ack {
  readonly _tag: "Ack"
}

/**
 * The message goes back to the broker, which delivers it again after `delayMs` milliseconds.
 *
 * **Gotchas**
 *
 * A consumer's own `backoff` list does not apply to a nak: it governs ack deadlines only
 * ([nats-server#4726](https://github.com/nats-io/nats-server/issues/4726)). Without a delay the message comes back at
 * once, and its deliveries are used up in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Nak {
  readonly _tag: "Nak"
  readonly delayMs: number
}

/**
 * The broker stops delivering the message, although it was not processed. `reason` goes into the broker's advisory
 * (nats-server 2.11 and newer) and must not contain personal data.
 *
 * @category models
 * @since 0.1.0
 */
export interface Term {
  readonly _tag: "Term"
  readonly reason: string
}

/**
 * The verdict on one delivery.
 *
 * @category models
 * @since 0.1.0
 */
export type Settlement = Ack | Nak | Term

/**
 * Done.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ack: Settlement = { _tag: "Ack" }

/**
 * Back to the broker, to be delivered again after `delay` (default: at once).
 *
 * **Example** (Asking for the message again in five seconds)
 *
 * ```ts import.meta.vitest
 * import * as Settlement from "effect-sluice/Settlement"
 *
 * Settlement.nak("5 seconds") // => { _tag: "Nak", delayMs: 5000 }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const nak = (delay: Duration.Input = 0): Settlement => ({
  _tag: "Nak",
  delayMs: Math.max(0, Duration.toMillis(Duration.fromInputUnsafe(delay)))
})

/**
 * Never again, and why. The reason goes to the broker, and must not contain personal data.
 *
 * **Example** (A message that nobody can process)
 *
 * ```ts import.meta.vitest
 * import * as Settlement from "effect-sluice/Settlement"
 *
 * Settlement.term("unknown currency") // => { _tag: "Term", reason: "unknown currency" }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const term = (reason: string): Settlement => ({ _tag: "Term", reason })
