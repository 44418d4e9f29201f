/**
 * The headers of a message.
 *
 * Names are case-sensitive and may have several values, as
 * [ADR-4](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md) wants it. Headers come from
 * outside, so reading them takes linear time, is bounded, and fails with a value; they are never changed, only copied.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Buffer, isUtf8 } from "node:buffer"

/**
 * Header names, each with its values, in the order they were given. All values of a name: `headers.get(name)`.
 *
 * @category models
 * @since 0.1.0
 */
export type Headers = ReadonlyMap<string, ReadonlyArray<string>> & Brand.Brand<"effect-sluice/Headers">

/**
 * What is no header block, and why. Tells the place, never the content.
 *
 * @category errors
 * @since 0.1.0
 */
export class Malformed extends Schema.TaggedError<Malformed>()("Malformed", {
  problem: Schema.String,
  hint: Schema.String
}) {
  override get message(): string {
    return `malformed headers: ${this.problem}. ${this.hint}`
  }
}

/**
 * What headers may be: numbers of names, and bytes of the encoded block and of one value.
 *
 * @category models
 * @since 0.1.0
 */
export const limits = { names: 64, bytes: 16 * 1024, valueBytes: 4 * 1024 } as const

const make = (entries?: Iterable<readonly [string, ReadonlyArray<string>]>): Headers =>
  new Map(entries) as ReadonlyMap<string, ReadonlyArray<string>> as Headers

/**
 * No headers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: Headers = make()

/**
 * Checks names and values from outside, and takes them in.
 *
 * **Details**
 *
 * A name is printable ASCII (0x21 to 0x7e) without colon. A value is any text without CR, LF and NUL, up to 4 KiB in
 * UTF-8; spaces and tabs around it are cut off, as they are on the wire. Up to 64 names, and 16 KiB when encoded. A name
 * without a value is left out.
 *
 * **Example** (An attempt to smuggle a header in)
 *
 * ```ts import.meta.vitest
 * import * as Headers from "effect-sluice/Headers"
 * import * as Result from "effect/Result"
 *
 * Result.map(Headers.fromRecord({ tenant: "eu" }), (headers) => headers.get("tenant")) // => Result.succeed(["eu"])
 * Result.isFailure(Headers.fromRecord({ tenant: "eu\r\nNats-Rollup: all" })) // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromRecord = (
  record: Readonly<Record<string, string | ReadonlyArray<string>>>
): Result.Result<Headers, Malformed> => {
  const headers = new Map<string, ReadonlyArray<string>>()
  for (const [name, given] of Object.entries(record)) {
    const values = (typeof given === "string" ? [given] : given).map(trim)
    const problem = values.map((value) => problemOf(name, value)).find((found) => found !== undefined)
    if (problem !== undefined) {
      return malformed(problem)
    }
    if (values.length > 0) {
      headers.set(name, values)
    }
  }
  const made = headers as ReadonlyMap<string, ReadonlyArray<string>> as Headers
  return headers.size > limits.names || sizeOf(made) > limits.bytes ? malformed(TOO_MUCH) : Result.succeed(made)
}

/**
 * The first value of `name`; the case of the name matters.
 *
 * @category getters
 * @since 0.1.0
 */
export const get = (headers: Headers, name: string): Option.Option<string> =>
  Option.fromUndefinedOr(headers.get(name)?.[0])

/**
 * The bytes that `encode` gives; 0 for no headers.
 *
 * @category getters
 * @since 0.1.0
 */
export const sizeOf = (headers: Headers): number => {
  let bytes = 0
  for (const [name, values] of headers) {
    for (const value of values) {
      bytes += name.length + Buffer.byteLength(value) + SEPARATORS
    }
  }
  return bytes === 0 ? 0 : bytes + VERSION.length + SEPARATORS
}

/**
 * A copy in which `name` has this one value.
 *
 * **Gotchas**
 *
 * Throws `Malformed` for a name or value that must not go on the wire: names and values of the program's own are right
 * or a bug. What comes from outside goes through `fromRecord`, or through `sanitize` if losing characters is better
 * than failing. The number of names and the total size are not checked here.
 *
 * @category combinators
 * @since 0.1.0
 */
export const set = (headers: Headers, name: string, value: string): Headers =>
  new Map(headers).set(name, [checked(name, value)]) as ReadonlyMap<string, ReadonlyArray<string>> as Headers

/**
 * A copy in which `name` has this value after those it had. Throws as `set` does.
 *
 * @category combinators
 * @since 0.1.0
 */
export const append = (headers: Headers, name: string, value: string): Headers =>
  make([...headers, [name, [...headers.get(name) ?? [], checked(name, value)]]])

/**
 * A copy without `name`; the case of the name matters.
 *
 * @category combinators
 * @since 0.1.0
 */
export const remove = (headers: Headers, name: string): Headers =>
  make([...headers].filter(([other]) => other !== name))

/**
 * A copy without any header that means something to the broker (`Nats-…`, in whatever case): to be used before a message
 * is sent on. `Nats-Msg-Id` would have the copy dropped as a duplicate, and `Nats-Rollup: all` has purged streams.
 *
 * **Example** (Sending on)
 *
 * ```ts import.meta.vitest
 * import * as Headers from "effect-sluice/Headers"
 * import * as Option from "effect/Option"
 *
 * const received = Headers.set(Headers.set(Headers.empty, "nats-rollup", "all"), "error", "late")
 * const sent = Headers.set(Headers.withoutReserved(received), "error", Headers.sanitize("late\nagain "))
 * Headers.get(sent, "error") // => Option.some("late again")
 * Headers.remove(sent, "error") // => Headers.empty
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withoutReserved = (headers: Headers): Headers =>
  make([...headers].filter(([name]) => !/^nats-/i.test(name)))

/**
 * Makes any text a header value: CR, LF and NUL become spaces, lone surrogates U+FFFD, and what goes beyond 4 KiB or
 * stands around it as white space is cut off. For texts that explain; never for ids, because two texts may become one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sanitize = (text: string): string => {
  const safe = text.slice(0, limits.valueBytes).replace(/[\r\n\0]/g, " ").toWellFormed()
  const { read } = new TextEncoder().encodeInto(safe, new Uint8Array(limits.valueBytes))
  return trim(safe.slice(0, read))
}

/**
 * The header block as it goes on the wire; no bytes for no headers.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (headers: Headers): Uint8Array => {
  if (headers.size === 0) {
    return NO_BYTES
  }
  let block = VERSION
  for (const [name, values] of headers) {
    for (const value of values) {
      block += `\r\n${name}: ${value}`
    }
  }
  return utf8(`${block}\r\n\r\n`)
}

/**
 * Reads a header block, with or without an inline status; no bytes are no headers.
 *
 * **Details**
 *
 * Takes linear time and never throws. Refuses more than 64 names, 16 KiB in all or 4 KiB in a value, names that are not
 * printable ASCII, a stray CR, LF or NUL, invalid UTF-8, and a block that does not end with an empty line.
 *
 * **Example** (There and back)
 *
 * ```ts import.meta.vitest
 * import * as Headers from "effect-sluice/Headers"
 * import * as Result from "effect/Result"
 *
 * const headers = Headers.append(Headers.set(Headers.empty, "via", "a"), "via", "b")
 * Headers.decode(Headers.encode(headers)) // => Result.succeed(headers)
 * Headers.decode(new Uint8Array()) // => Result.succeed(Headers.empty)
 * Headers.encode(headers).length === Headers.sizeOf(headers) // => true
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (bytes: Uint8Array): Result.Result<Headers, Malformed> => {
  if (bytes.length === 0) {
    return NONE
  }
  if (bytes.length > limits.bytes) {
    return malformed(TOO_MUCH)
  }
  return isUtf8(bytes) ? read(decoder.decode(bytes)) : malformed("they are not UTF-8")
}

/**
 * A message by which the broker says something itself: an HTTP-like code, words for people, and headers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Status {
  readonly code: number
  readonly description: string
  readonly headers: Headers
}

/**
 * The status that a header block carries inline, as in `NATS/1.0 408 Request Timeout`; `undefined` if it carries none,
 * or is malformed.
 *
 * **Example** (The answer to a pull request that ran out)
 *
 * ```ts import.meta.vitest
 * import * as Headers from "effect-sluice/Headers"
 *
 * const bytes = new TextEncoder().encode("NATS/1.0 408 Request Timeout\r\n\r\n")
 * Headers.decodeStatus(bytes) // => { code: 408, description: "Request Timeout", headers: Headers.empty }
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeStatus = (bytes: Uint8Array): Status | undefined => {
  if (bytes[VERSION.length] !== SPACE) {
    return undefined
  }
  const headers = decode(bytes)
  const line = Result.isFailure(headers) ? null : STATUS.exec(decoder.decode(bytes))
  return line?.[1] === undefined || Result.isFailure(headers)
    ? undefined
    : { code: Number(line[1]), description: trim(line[2] ?? ""), headers: headers.success }
}

/**
 * Makes an error without paying for its stack trace: of a message that came from outside it would tell nothing.
 *
 * @internal
 */
export const withoutStack = <A>(make: () => A): A => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return make()
  } finally {
    Error.stackTraceLimit = limit
  }
}

/**
 * Text as bytes, five times as fast as `TextEncoder`: small results lie in memory that Node shares out, so their
 * `buffer` must not be transferred.
 *
 * @internal
 */
export const utf8 = (text: string): Uint8Array => {
  const { buffer, byteOffset, length } = Buffer.from(text)
  return new Uint8Array(buffer, byteOffset, length)
}

// internals

const VERSION = "NATS/1.0"
const SPACE = 0x20
const FIRST_LINE = `${VERSION}\r\n`
/** A colon and a space, or two line ends of a block: what a value and a block need besides their content. */
const SEPARATORS = 4
const NO_BYTES = new Uint8Array()
const NONE: Result.Result<Headers> = Result.succeed(empty)
const TOO_MUCH = `they have more than ${limits.names} names or ${limits.bytes} bytes`
const decoder = new TextDecoder()

/** The first line: nothing but the version, or a code of three digits and words. */
const STATUS = /^NATS\/1\.0(?:[ \t]+([1-9]\d\d)(?:[ \t]([^\r\n\0]*))?|[ \t]*)\r\n/
const NAME = /^[!-9;-~]+$/
const UNSAFE = /[\r\n\0]/

/** By hand: a regular expression looks at every run of spaces again and again, and a value may be full of them. */
const trim = (text: string): string => {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) {
    start++
  }
  while (end > start && isBlank(text.charCodeAt(end - 1))) {
    end--
  }
  return start === 0 && end === text.length ? text : text.slice(start, end)
}

const isBlank = (code: number): boolean => code === SPACE || code === 0x09

const malformed = (problem: string): Result.Result<never, Malformed> =>
  Result.fail(
    withoutStack(() => new Malformed({ problem, hint: "Names are printable ASCII, values one line of UTF-8" }))
  )

const problemOf = (name: string, value: string): string | undefined =>
  !NAME.test(name)
    ? "a name is empty, or has characters that names must not have"
    : UNSAFE.test(value) || !value.isWellFormed()
    ? "a value has CR, LF, NUL or half a character"
    : value.length * 3 > limits.valueBytes && Buffer.byteLength(value) > limits.valueBytes
    ? `a value has more than ${limits.valueBytes} bytes`
    : undefined

const checked = (name: string, given: string): string => {
  const value = trim(given)
  const problem = problemOf(name, value)
  return problem === undefined ? value : Result.getOrThrow(malformed(problem))
}

const read = (block: string): Result.Result<Headers, Malformed> => {
  const first = block.startsWith(FIRST_LINE) ? FIRST_LINE : STATUS.exec(block)?.[0]
  if (first === undefined) {
    return malformed(`they do not begin with ${VERSION}`)
  }
  const headers = new Map<string, Array<string>>()
  let at = first.length
  while (true) {
    const end = block.indexOf("\r\n", at)
    if (end === at) {
      break
    }
    const colon = end === -1 ? -1 : block.indexOf(":", at)
    if (colon === -1 || colon > end) {
      return malformed(end === -1 ? "they do not end with an empty line" : "a line has no colon")
    }
    const name = block.slice(at, colon)
    const value = trim(block.slice(colon + 1, end))
    const problem = problemOf(name, value)
    if (problem !== undefined) {
      return malformed(problem)
    }
    const values = headers.get(name)
    if (values !== undefined) {
      values.push(value)
    } else if (headers.size < limits.names) {
      headers.set(name, [value])
    } else {
      return malformed(TOO_MUCH)
    }
    at = end + 2
  }
  return at + 2 === block.length
    ? Result.succeed(headers as ReadonlyMap<string, ReadonlyArray<string>> as Headers)
    : malformed("something follows their empty line")
}
