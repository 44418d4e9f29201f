/**
 * Where a dead letter comes from, and why it is one: the headers that it carries beside those of its message.
 *
 * They name things and times. Neither the error's cause nor anything of the payload is among them, unless the reader's
 * `describe` puts it there.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Headers from "./Headers.ts"

/**
 * Why a message was given up.
 *
 * - `undecodable`: its topic cannot read it.
 * - `permanent`: its handler's failure said that no attempt would help.
 * - `failed`: it was out of attempts.
 * - `lost`: the broker has stopped delivering it, and nobody had given it up: its process died on the last attempt.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = "undecodable" | "permanent" | "failed" | "lost"

/**
 * All kinds.
 *
 * @category constants
 * @since 0.1.0
 */
export const kinds: ReadonlyArray<Kind> = ["undecodable", "permanent", "failed", "lost"]

/**
 * Where a letter comes from.
 *
 * @category models
 * @since 0.1.0
 */
export interface Provenance {
  readonly stream: string
  /** The durable consumer that failed it: its handler. */
  readonly consumer: string
  readonly subject: string
  /** The message's place in its stream. */
  readonly sequence: number
  /** When the broker stored the message, in milliseconds since 1970. */
  readonly timestamp: number
  /** The message's own id; empty if it had none. */
  readonly messageId: string
  readonly kind: Kind
  /** The tag of the error. */
  readonly reason: string
  /** What may be said of the error beyond its tag; empty unless something may. */
  readonly detail: string
  /** How often it was tried. */
  readonly attempts: number
  /** When it first failed as far as the process knew that gave it up, and when it last did. */
  readonly firstFailure: number
  readonly lastFailure: number
  /** Whether the payload is the message's, or what `redact` made of it, or left where it was. */
  readonly payload: "full" | "redacted" | "reference"
  /** How often it had been replayed before it failed again. */
  readonly replays: number
}

/**
 * What the names of all these headers begin with.
 *
 * @category constants
 * @since 0.1.0
 */
export const prefix = "Sluice-Dead-"

/**
 * The headers of a message with those of its provenance: nothing that means something to the broker is taken along, and
 * neither is an older provenance. What would not fit is left out, the message's own headers as a whole.
 *
 * **Example** (There and back)
 *
 * ```ts import.meta.vitest
 * import * as Headers from "effect-sluice/Headers"
 * import * as Provenance from "effect-sluice/Provenance"
 * import * as Option from "effect/Option"
 *
 * const provenance: Provenance.Provenance = {
 *   stream: "ORDERS", consumer: "billing", subject: "orders.eu.placed", sequence: 7, timestamp: 1_000, messageId: "o-7",
 *   kind: "failed", reason: "BankTimeout", detail: "", attempts: 5, firstFailure: 2_000, lastFailure: 9_000,
 *   payload: "full", replays: 0
 * }
 * const own = Headers.set(Headers.set(Headers.empty, "tenant", "eu"), "Nats-Rollup", "all")
 * const headers = Provenance.toHeaders(provenance, own)
 * Headers.get(headers, "Sluice-Dead-Reason") // => Option.some("BankTimeout")
 * Headers.get(headers, "Nats-Rollup") // => Option.none()
 * Provenance.fromHeaders(headers) // => Option.some(provenance)
 * Provenance.withoutProvenance(headers).has("tenant") // => true
 * ```
 *
 * @category codecs
 * @since 0.1.0
 */
export const toHeaders = (provenance: Provenance, own: Headers.Headers = Headers.empty): Headers.Headers => {
  const names: Array<readonly [string, ReadonlyArray<string>]> = (Object.keys(headerOf) as Array<keyof Provenance>).map(
    (field) => [headerOf[field], [Headers.sanitize(String(provenance[field]))]]
  )
  const kept = withoutProvenance(Headers.withoutReserved(own))
  const all = new Map([...kept, ...names]) as ReadonlyMap<string, ReadonlyArray<string>> as Headers.Headers
  const fits = all.size <= Headers.limits.names && Headers.sizeOf(all) <= Headers.limits.bytes
  return fits ? all : new Map(names) as ReadonlyMap<string, ReadonlyArray<string>> as Headers.Headers
}

/**
 * What a letter's headers say; nothing if they are none.
 *
 * @category codecs
 * @since 0.1.0
 */
export const fromHeaders = (headers: Headers.Headers): Option.Option<Provenance> => {
  const text = (field: keyof Provenance): string => headers.get(headerOf[field])?.[0] ?? ""
  const number = (field: keyof Provenance): number => {
    const value = Number(text(field))
    return Number.isSafeInteger(value) && value >= 0 ? value : 0
  }
  const kind = kinds.find((one) => one === text("kind"))
  const payload = (["full", "redacted", "reference"] as const).find((one) => one === text("payload"))
  return kind === undefined || payload === undefined || text("stream") === "" || text("consumer") === ""
    ? Option.none()
    : Option.some({
      stream: text("stream"),
      consumer: text("consumer"),
      subject: text("subject"),
      sequence: number("sequence"),
      timestamp: number("timestamp"),
      messageId: text("messageId"),
      kind,
      reason: text("reason"),
      detail: text("detail"),
      attempts: number("attempts"),
      firstFailure: number("firstFailure"),
      lastFailure: number("lastFailure"),
      payload,
      replays: number("replays")
    })
}

/**
 * A letter's headers without those of its provenance: the message's own.
 *
 * @category codecs
 * @since 0.1.0
 */
export const withoutProvenance = (headers: Headers.Headers): Headers.Headers =>
  new Map([...headers].filter(([name]) => !name.toLowerCase().startsWith(lower))) as ReadonlyMap<
    string,
    ReadonlyArray<string>
  > as Headers.Headers

// internals

const lower = prefix.toLowerCase()

const headerOf: Readonly<Record<keyof Provenance, string>> = {
  stream: `${prefix}Stream`,
  consumer: `${prefix}Consumer`,
  subject: `${prefix}Subject`,
  sequence: `${prefix}Sequence`,
  timestamp: `${prefix}Time`,
  messageId: `${prefix}Message-Id`,
  kind: `${prefix}Kind`,
  reason: `${prefix}Reason`,
  detail: `${prefix}Detail`,
  attempts: `${prefix}Attempts`,
  firstFailure: `${prefix}First-Failure`,
  lastFailure: `${prefix}Last-Failure`,
  payload: `${prefix}Payload`,
  replays: `${prefix}Replays`
}
