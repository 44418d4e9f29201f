/**
 * One contract for both ends of a stream.
 *
 * A `Topic` says under which subjects its messages travel, what type they have, how they are written as bytes, which of
 * them belong together (`key`) and which are the same (`id`). Publisher and reader share it, so they cannot disagree.
 * What arrives is not trusted: reading is bounded, decodes into fresh values, and fails with an error that names places
 * and expectations, but never shows what the message contains.
 *
 * @since 0.1.0
 */
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import * as Codec from "./Codec.ts"
import * as Headers from "./Headers.ts"
import type * as Message from "./Message.ts"
import * as Subject from "./Subject.ts"

/**
 * A message that its topic cannot read: poison, which no further delivery heals. `stage` tells how far reading came.
 * Neither `problem` nor `hint` contains anything of the payload.
 *
 * @category errors
 * @since 0.1.0
 */
export class DecodeError extends Schema.TaggedError<DecodeError>()("DecodeError", {
  subject: Schema.String,
  stage: Schema.Literals(["headers", "size", "json", "schema"]),
  problem: Schema.String,
  hint: Schema.String
}) {
  override get message(): string {
    return `cannot read a message on "${this.subject}" (${this.stage}): ${this.problem}. ${this.hint}`
  }
}

/**
 * A value that its topic cannot write. Nothing was sent. `subject` is the topic's template as long as there is no
 * subject; neither `problem` nor `hint` contains anything of the value.
 *
 * @category errors
 * @since 0.1.0
 */
export class EncodeError extends Schema.TaggedError<EncodeError>()("EncodeError", {
  subject: Schema.String,
  stage: Schema.Literals(["subject", "headers", "size", "json", "schema"]),
  problem: Schema.String,
  hint: Schema.String
}) {
  override get message(): string {
    return `cannot write a message for "${this.subject}" (${this.stage}): ${this.problem}. ${this.hint}`
  }
}

/**
 * What a topic may be written as: `json` and `bytes`; see the module `Codec`.
 *
 * @category codecs
 * @since 0.1.0
 */
export { bytes, json } from "./Codec.ts"

/**
 * What goes along with one message.
 *
 * @category models
 * @since 0.1.0
 */
export interface EncodeOptions {
  /** Up to 48 names and 12 KiB: the rest is kept for what transports and tracing add. */
  readonly headers?: Headers.Headers
  /** The message id, instead of the topic's `id`; within the topic. */
  readonly id?: string
  readonly expect?: Message.Expectation
}

/**
 * A typed address: what `make` returns.
 *
 * @category models
 * @since 0.1.0
 */
export interface Topic<Params, A> {
  /** The template as it was written: `orders.{region}.placed`. */
  readonly name: string
  readonly template: Subject.Template<Params>
  /** Every subject of the topic: `orders.*.placed`. */
  readonly pattern: Subject.Pattern
  readonly schema: Schema.Codec<A, unknown>
  /** The largest payload that is written or read, in bytes. */
  readonly maxBytes: number
  /** Values with the same key are to be processed in order; `undefined` if the topic has none. */
  readonly key: (value: A) => string | undefined
  /** The message for a value. Never throws, unless the topic's own `id` does. */
  readonly encode: (
    params: Params,
    value: A,
    options?: EncodeOptions
  ) => Result.Result<Message.Outgoing, EncodeError>
  /** The value of a message. Never throws. */
  readonly decode: (delivery: Message.Delivery) => Result.Result<A, DecodeError>
  /** What a subject says; none if it is not one of this topic. */
  readonly params: (subject: string) => Option.Option<Subject.Template.Parsed<Params>>
}

/**
 * What makes a topic, besides its template.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<A> {
  /** The type of the values. Without services, and synchronous. */
  readonly schema: Schema.Codec<A, unknown>
  /** What belongs together: an order's id, a customer's. Default: none. */
  readonly key?: (value: NoInfer<A>) => string
  /** What makes two messages the same: the broker stores one within its dedupe window. Default: a random one per call. */
  readonly id?: (value: NoInfer<A>) => string
  /** How values become bytes. Default `json`. */
  readonly codec?: Codec.Codec<NoInfer<A>>
  /** The largest payload, in bytes. Default 1 MiB, as much as a NATS server takes unless told otherwise. */
  readonly maxBytes?: number
}

/**
 * Whether the topic's subject has holes, which whoever publishes must fill.
 *
 * @category type-level
 * @since 0.1.0
 */
export type HasParams<T extends Topic<any, any>> = T extends Topic<infer Params, any> ? {} extends Params ? false : true
  : never

/**
 * What `encode` needs to be told: the parameters, if there are any, and the value.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Arguments<T extends Topic<any, any>> = T extends Topic<infer Params, infer A>
  ? {} extends Params ? [value: A] : [params: Params, value: A]
  : never

/**
 * Makes a topic. Throws `InvalidSubject` if the template, a text of the program, is malformed.
 *
 * **Details**
 *
 * The message id is `<template>:<id>`, so topics in one stream do not take each other's messages for repetitions;
 * characters that must not stand in a header are escaped. An id has 1 to 1,024 characters.
 *
 * **Gotchas**
 *
 * The parameters are not part of the id: where order 7 exists in two regions, the id must name the region.
 *
 * **Example** (Writing and reading an order)
 *
 * ```ts import.meta.vitest
 * import * as Message from "effect-sluice/Message"
 * import * as Topic from "effect-sluice/Topic"
 * import * as Option from "effect/Option"
 * import * as Result from "effect/Result"
 * import * as Schema from "effect/Schema"
 *
 * const Order = Schema.Struct({ id: Schema.String, at: Schema.Date })
 * const placed = Topic.make("orders.{region}.placed", { schema: Order, id: (order) => order.id })
 *
 * const out = Result.getOrThrow(placed.encode({ region: "eu" }, { id: "o1", at: new Date(0) }))
 * out.subject // => "orders.eu.placed"
 * out.id // => "orders.{region}.placed:o1"
 * new TextDecoder().decode(out.payload) // => '{"id":"o1","at":"1970-01-01T00:00:00.000Z"}'
 * placed.params(out.subject) // => Option.some({ region: "eu" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Text extends string, A>(
  text: Text,
  options: Options<A>
): Topic<Subject.Template.Params<Text>, A> => {
  const template = Subject.template(text)
  const { key, maxBytes = 1024 * 1024, schema } = options
  const codec = (options.codec ?? Codec.json).compile(schema)
  const idOf = messageId(text, options.id)
  return {
    name: text,
    template,
    pattern: template.pattern,
    schema,
    maxBytes,
    key: key ?? (() => undefined),
    params: template.parse,
    encode: (params, value, { expect, headers = Headers.empty, id } = {}) => {
      const subject = template.subject(params)
      if (Result.isFailure(subject)) {
        return cannotWrite(text, "subject", subject.failure)
      }
      const payload = codec.encode(value)
      if (Result.isFailure(payload)) {
        return cannotWrite(subject.success, payload.failure.stage, payload.failure)
      }
      if (payload.success.length > maxBytes) {
        return cannotWrite(subject.success, "size", tooLarge(payload.success.length, maxBytes))
      }
      if (headers.size > HEADERS_MAX.names || (headers.size > 0 && Headers.sizeOf(headers) > HEADERS_MAX.bytes)) {
        return cannotWrite(subject.success, "headers", TOO_MANY_HEADERS)
      }
      const messageId = idOf(value, id)
      if (messageId === undefined) {
        return cannotWrite(subject.success, "headers", BAD_ID)
      }
      const message = { subject: subject.success, payload: payload.success, headers, id: messageId }
      return Result.succeed(expect === undefined ? message : { ...message, expect })
    },
    decode: ({ headers, payload, subject }) => {
      if (Result.isFailure(headers)) {
        return cannotRead(subject, "headers", headers.failure)
      }
      if (payload.length > maxBytes) {
        return cannotRead(subject, "size", tooLarge(payload.length, maxBytes))
      }
      const value = codec.decode(payload)
      return Result.isSuccess(value)
        ? value as Result.Result<A>
        : cannotRead(subject, value.failure.stage, value.failure)
    }
  }
}

// internals

type Why = Pick<Codec.Refusal, "problem" | "hint">

const cannotRead = (subject: string, stage: DecodeError["stage"], { hint, problem }: Why) =>
  Result.fail(Headers.withoutStack(() => new DecodeError({ subject: subject.slice(0, 255), stage, problem, hint })))

const cannotWrite = (subject: string, stage: EncodeError["stage"], { hint, problem }: Why) =>
  Result.fail(Headers.withoutStack(() => new EncodeError({ subject, stage, problem, hint })))

const tooLarge = (bytes: number, maxBytes: number): Why => ({
  problem: `the payload has ${bytes} bytes, ${maxBytes} are allowed`,
  hint: "Send a reference to the data instead, or raise the topic's maxBytes and the server's max_payload."
})

/** The rest of what `Headers.decode` accepts is for what tracing and transports add. */
const HEADERS_MAX = { names: 48, bytes: 12 * 1024 }

const TOO_MANY_HEADERS: Why = {
  problem: `there are more than ${HEADERS_MAX.names} headers or ${HEADERS_MAX.bytes} bytes of them`,
  hint: "Headers say what a reader must know before it decodes; put the rest into the value."
}

const ID_MAX = 1024

const BAD_ID: Why = {
  problem: `the message id has no character, or more than ${ID_MAX}`,
  hint: "Take an id from the data that says which message this is; the broker stores one message per id."
}

const ID_UNSAFE = /[^!-$&-~]/g

/** Different ids stay different: the escape character is escaped, too. */
const escape = (text: string, unsafe: RegExp): string =>
  text.replace(unsafe, (unit) => `%u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

const messageId = <A>(template: string, ofValue: ((value: A) => string) | undefined) => {
  const topic = `${escape(template, /[:%]/g)}:`
  return (value: A, given: string | undefined): string | undefined => {
    const id = given ?? ofValue?.(value)
    if (id === undefined) {
      return randomUUID()
    }
    const safe = id.length > ID_MAX ? id : escape(id, ID_UNSAFE)
    return safe.length === 0 || safe.length > ID_MAX ? undefined : topic + safe
  }
}
