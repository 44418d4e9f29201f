/**
 * The one error of every transport.
 *
 * A `TransportError` carries a `reason`. Each reason answers three questions of the caller: what happened, is it worth
 * trying again (`isRetryable`), and what to do about it (`hint`). Reasons are told apart by their `_tag` and by the
 * broker's codes, never by the text of a message.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * No server could be reached, or the connection was never completed. `detail` is the last reason that was seen.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConnectFailed extends Schema.TaggedClass<ConnectFailed>()("ConnectFailed", {
  servers: Schema.Array(Schema.String),
  detail: Schema.String
}) {
  readonly isRetryable = true
  get problem(): string {
    return `no connection to ${this.servers.join(", ")}: ${this.detail}`
  }
  get hint(): string {
    return "Is a NATS server running there, with JetStream on (nats-server -js)? Set NATS_URL to where it listens."
  }
}

/**
 * The connection is down at this moment; a supervisor is working on it. What was asked for was not sent.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Disconnected extends Schema.TaggedClass<Disconnected>()("Disconnected", { detail: Schema.String }) {
  readonly isRetryable = true
  get problem(): string {
    return `disconnected: ${this.detail}`
  }
  get hint(): string {
    return "Retry within a budget; the connection is being re-established."
  }
}

/**
 * An answer did not come in time. Whether the broker acted is not known.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TimedOut extends Schema.TaggedClass<TimedOut>()("TimedOut", {
  operation: Schema.String,
  millis: Schema.Number
}) {
  readonly isRetryable = true
  get problem(): string {
    return `${this.operation}: no answer within ${this.millis} ms`
  }
  get hint(): string {
    return "Try again; a message with the same id is stored once within the stream's dedupe window."
  }
}

/**
 * The server rejected the credentials, or they cannot be read.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AuthFailed extends Schema.TaggedClass<AuthFailed>()("AuthFailed", { detail: Schema.String }) {
  readonly isRetryable = false
  get problem(): string {
    return `the credentials are not accepted: ${this.detail}`
  }
  get hint(): string {
    return "Check NATS_USER and NATS_PASSWORD, NATS_TOKEN, NATS_NKEY_SEED or NATS_CREDS, and that they have not expired."
  }
}

/**
 * The credentials were accepted, but lack the right to use `subject`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class PermissionDenied extends Schema.TaggedClass<PermissionDenied>()("PermissionDenied", {
  action: Schema.Literals(["publish", "subscribe"]),
  subject: Schema.String
}) {
  readonly isRetryable = false
  get problem(): string {
    return `no permission to ${this.action} on "${this.subject}"`
  }
  get hint(): string {
    return `Allow ${this.action} on "${this.subject}" for this user in the server's configuration.`
  }
}

/**
 * Nobody answered for `subject`: no stream stores it, or its leader is being elected. Nothing was stored.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NoResponders extends Schema.TaggedClass<NoResponders>()("NoResponders", { subject: Schema.String }) {
  readonly isRetryable = true
  get problem(): string {
    return `nobody answers for "${this.subject}": no stream stores it, or its leader is being elected`
  }
  get hint(): string {
    return `If it persists: create a stream whose subjects match "${this.subject}", and check that JetStream is enabled.`
  }
}

/**
 * The stream does not exist.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StreamNotFound extends Schema.TaggedClass<StreamNotFound>()("StreamNotFound", { stream: Schema.String }) {
  readonly isRetryable = false
  get problem(): string {
    return `stream "${this.stream}" does not exist`
  }
  get hint(): string {
    return `Create it, or add Topology.stream("${this.stream}", …) to the worker's topology.`
  }
}

/**
 * The consumer does not exist, and it is not this reader's to create.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConsumerNotFound extends Schema.TaggedClass<ConsumerNotFound>()("ConsumerNotFound", {
  stream: Schema.String,
  consumer: Schema.String
}) {
  readonly isRetryable = false
  get problem(): string {
    return `consumer "${this.consumer}" of stream "${this.stream}" does not exist`
  }
  get hint(): string {
    return "Create it, or let the reader own it (leave out `bind: true`)."
  }
}

/**
 * What exists differs from what was asked for. Nothing was changed.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Conflict extends Schema.TaggedClass<Conflict>()("Conflict", {
  what: Schema.String,
  differences: Schema.Array(Schema.String)
}) {
  readonly isRetryable = false
  get problem(): string {
    return `${this.what} exists, but differs: ${this.differences.join("; ")}`
  }
  get hint(): string {
    return "Change the declaration or the broker's object so that they agree; existing objects are never overwritten."
  }
}

/**
 * The stream's last sequence was not the one that the publish expected. Nothing was stored.
 *
 * @category reasons
 * @since 0.1.0
 */
export class WrongLastSequence extends Schema.TaggedClass<WrongLastSequence>()("WrongLastSequence", {
  subject: Schema.String,
  detail: Schema.String
}) {
  readonly isRetryable = false
  get problem(): string {
    return `publish to "${this.subject}" expected another last sequence: ${this.detail}`
  }
  get hint(): string {
    return "Somebody else wrote first: read the newest state, decide again, publish with its sequence."
  }
}

/**
 * The message is larger than the server takes. Nothing was sent.
 *
 * @category reasons
 * @since 0.1.0
 */
export class PayloadTooLarge extends Schema.TaggedClass<PayloadTooLarge>()("PayloadTooLarge", {
  subject: Schema.String,
  bytes: Schema.Number,
  limit: Schema.Number
}) {
  readonly isRetryable = false
  get problem(): string {
    return `message for "${this.subject}" has ${this.bytes} bytes with headers, the server takes ${this.limit}`
  }
  get hint(): string {
    return "Publish a reference to the data instead, or raise max_payload on every server."
  }
}

/**
 * The broker, at this version, lacks the feature.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unsupported extends Schema.TaggedClass<Unsupported>()("Unsupported", {
  feature: Schema.String,
  broker: Schema.String,
  needs: Schema.String
}) {
  readonly isRetryable = false
  get problem(): string {
    return `${this.feature} needs ${this.needs}, but this is ${this.broker}`
  }
  get hint(): string {
    return "Upgrade the server, or do without the feature."
  }
}

/**
 * What was asked for cannot work, and why: an unsafe pair, an impossible number, a malformed name.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Invalid extends Schema.TaggedClass<Invalid>()("Invalid", {
  what: Schema.String,
  problem: Schema.String,
  hint: Schema.String
}) {
  readonly isRetryable = false
}

/**
 * The broker said no, with its own code. `transient` tells whether that code passes by itself; an unknown code counts
 * as transient.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Rejected extends Schema.TaggedClass<Rejected>()("Rejected", {
  operation: Schema.String,
  code: Schema.Number,
  detail: Schema.String,
  transient: Schema.Boolean
}) {
  get isRetryable(): boolean {
    return this.transient
  }
  get problem(): string {
    return `${this.operation}: the broker said ${this.code} (${this.detail})`
  }
  get hint(): string {
    return this.transient
      ? "Usually passes by itself; if it does not, look at the server's log and its storage limits."
      : "Trying again will not help; the code is explained in the server's errors.json."
  }
}

/**
 * A queue that spills cannot use its directory at this moment. `code` is the operating system's (`ENOSPC`, `EIO`,
 * `EACCES`), or `LOCKED` while another reader has it. Nothing is acknowledged that is not on the disk.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SpillFailed extends Schema.TaggedClass<SpillFailed>()("SpillFailed", {
  directory: Schema.String,
  code: Schema.String,
  detail: Schema.String
}) {
  readonly isRetryable = true
  get problem(): string {
    return `cannot spill to "${this.directory}": ${this.code} (${this.detail})`
  }
  get hint(): string {
    return "Make room, mend the disk or its rights, or give each reader a directory of its own."
  }
}

/**
 * The transport was closed by its owner.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Closed extends Schema.TaggedClass<Closed>()("Closed", {}) {
  readonly isRetryable = false
  get problem(): string {
    return "the transport is closed"
  }
  get hint(): string {
    return "Keep the layer's scope open for as long as it is used."
  }
}

/**
 * Why an operation failed.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  ConnectFailed,
  Disconnected,
  TimedOut,
  AuthFailed,
  PermissionDenied,
  NoResponders,
  StreamNotFound,
  ConsumerNotFound,
  Conflict,
  WrongLastSequence,
  PayloadTooLarge,
  Unsupported,
  Invalid,
  Rejected,
  SpillFailed,
  Closed
])

/**
 * One of the reasons, as the schema of the same name describes them.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * The error of every transport operation.
 *
 * **When to use**
 *
 * Match on the reason with `Effect.catchReason("TransportError", "StreamNotFound", …)`; retry while
 * `error.isRetryable`; show `error.message`, which names the problem and what to do.
 *
 * **Example** (Reading an error)
 *
 * ```ts import.meta.vitest
 * import * as TransportError from "effect-sluice/TransportError"
 *
 * const error = TransportError.because(new TransportError.NoResponders({ subject: "orders.eu.placed" }))
 * error.isRetryable // => true
 * error.reason._tag // => "NoResponders"
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class TransportError extends Schema.TaggedError<TransportError>()("TransportError", { reason: Reason }) {
  override get message(): string {
    return `${this.reason.problem}. ${this.reason.hint}`
  }
  /** Whether the same operation may succeed later, unchanged. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
}

/**
 * Wraps a reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const because = (reason: Reason): TransportError => new TransportError({ reason })

/**
 * What was asked for cannot work: `what` it is, what is wrong with it, and what to do.
 *
 * **Example** (For authors of transports)
 *
 * ```ts import.meta.vitest
 * import * as TransportError from "effect-sluice/TransportError"
 *
 * const error = TransportError.invalid("stream", "\"a.b\" is not a name", "Use letters, digits, - and _.")
 * error.message // => 'stream: "a.b" is not a name. Use letters, digits, - and _.'
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const invalid = (what: string, problem: string, hint: string): TransportError =>
  because(new Invalid({ what, problem: `${what}: ${problem}`, hint }))
