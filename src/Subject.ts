/**
 * Names what messages are about.
 *
 * A `Subject` is concrete: one address. A `Pattern` may have wildcards and stands for many. A `Template` has holes, and
 * builds subjects from values of any origin: each hole becomes exactly one token, never a wildcard and never two levels.
 * Whatever the server would close the whole connection for is refused here.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * One or more subjects: tokens separated by dots, where a token may be `*` (any one token) and the last may be `>` (one
 * token or more).
 *
 * @category models
 * @since 0.1.0
 */
export type Pattern = Brand.Branded<string, "effect-sluice/Subject/Pattern">

/**
 * One concrete subject, safe to publish to. It is also the pattern that matches nothing but itself.
 *
 * @category models
 * @since 0.1.0
 */
export type Subject = Brand.Branded<Pattern, "effect-sluice/Subject">

/**
 * A string that is no subject, pattern or template, and why. `subject` is shortened, and free of control characters.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSubject extends Schema.TaggedError<InvalidSubject>()("InvalidSubject", {
  subject: Schema.String,
  problem: Schema.String,
  hint: Schema.String
}) {
  override get message(): string {
    return `invalid subject "${this.subject}": ${this.problem}. ${this.hint}`
  }
}

/**
 * Checks a concrete subject.
 *
 * **Details**
 *
 * Up to 16 tokens of 1 to 64 characters, 255 together. A character is printable ASCII (0x21 to 0x7e), and none of `.`,
 * `*`, `>`. The first token must not start with `$` (the server's own) and not be an inbox (`_INBOX`, `_INBOX_…`).
 *
 * **Gotchas**
 *
 * Joining strings, as in `make("orders." + tenant)`, lets a tenant `eu.us` name two levels. Use a `template`.
 *
 * **Example** (A subject, and none)
 *
 * ```ts import.meta.vitest
 * import * as Subject from "effect-sluice/Subject"
 * import * as Result from "effect/Result"
 *
 * Subject.make("orders.eu.placed") // => Result.succeed(Subject.makeUnsafe("orders.eu.placed"))
 * Result.isSuccess(Subject.make("orders.*.placed")) // => false
 * Result.isSuccess(Subject.pattern("orders.*.placed")) // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (subject: string): Result.Result<Subject, InvalidSubject> => {
  const problem = findProblem(subject, false)
  return problem === undefined ? Result.succeed(subject as Subject) : invalid(subject, problem)
}

/**
 * As `make`, but throws the `InvalidSubject`: for subjects that stand in the program's text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeUnsafe = (subject: string): Subject => Result.getOrThrow(make(subject))

/**
 * Checks a pattern: as `make`, and a whole token may be `*`, the last one `>`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const pattern = (text: string): Result.Result<Pattern, InvalidSubject> => {
  const problem = findProblem(text, true)
  return problem === undefined ? Result.succeed(text as Pattern) : invalid(text, problem)
}

/**
 * As `pattern`, but throws the `InvalidSubject`: for patterns that stand in the program's text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const patternUnsafe = (text: string): Pattern => Result.getOrThrow(pattern(text))

/**
 * Whether `subject` is one of those that `pattern` stands for. Allocates nothing: it may run per message.
 *
 * **Example** (Wildcards)
 *
 * ```ts import.meta.vitest
 * import * as Subject from "effect-sluice/Subject"
 *
 * const anyRegion = Subject.patternUnsafe("orders.*.placed")
 * Subject.matches(anyRegion, "orders.eu.placed") // => true
 * Subject.matches(anyRegion, "orders.eu.west.placed") // => false
 * Subject.overlaps(anyRegion, Subject.patternUnsafe("orders.eu.>")) // => true
 * Subject.matches(Subject.patternUnsafe("orders.>"), "orders") // => false
 * ```
 *
 * @category predicates
 * @since 0.1.0
 */
export const matches = (pattern: Pattern, subject: string): boolean => {
  let at = 0
  let here = 0
  while (here < subject.length) {
    const first = pattern.charCodeAt(at)
    if (first === TAIL) {
      return true
    }
    if (first === ANY) {
      at++
      here = tokenEnd(subject, here)
    } else {
      while (at < pattern.length && pattern.charCodeAt(at) !== DOT) {
        if (pattern.charCodeAt(at++) !== subject.charCodeAt(here++)) {
          return false
        }
      }
    }
    if (at === pattern.length || here === subject.length) {
      return at === pattern.length && here === subject.length
    }
    at++
    if (subject.charCodeAt(here++) !== DOT) {
      return false
    }
  }
  return false
}

/**
 * Whether some subject is matched by both patterns.
 *
 * @category predicates
 * @since 0.1.0
 */
export const overlaps = (a: Pattern, b: Pattern): boolean => {
  let inA = 0
  let inB = 0
  while (inA < a.length && inB < b.length) {
    const firstA = a.charCodeAt(inA)
    const firstB = b.charCodeAt(inB)
    if (firstA === TAIL || firstB === TAIL) {
      return true
    }
    const endA = tokenEnd(a, inA)
    const endB = tokenEnd(b, inB)
    if (firstA !== ANY && firstB !== ANY && a.slice(inA, endA) !== b.slice(inB, endB)) {
      return false
    }
    inA = endA + 1
    inB = endB + 1
  }
  return inA > a.length && inB > b.length
}

/**
 * What may be put into a hole. Numbers and bigints stand for their decimal text.
 *
 * @category models
 * @since 0.1.0
 */
export type Hole = string | number | bigint

/**
 * A subject with holes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Template<Params> {
  /** As it was written: `orders.{region}.placed`. */
  readonly text: string
  /** The names of the holes, from left to right. */
  readonly holes: ReadonlyArray<string>
  /** Every subject that the template can build: `orders.*.placed`. */
  readonly pattern: Pattern
  /**
   * The subject for these values. Fails if one of them is missing, is no finite number, or is too long for a token, or
   * if the whole becomes too long: never by building something else than was asked for.
   */
  readonly subject: (params: Params) => Result.Result<Subject, InvalidSubject>
  /** The values that `subject` was built from; none if this template cannot have built it. */
  readonly parse: (subject: string) => Option.Option<Template.Parsed<Params>>
}

/**
 * What types can tell of a template.
 *
 * @category type-level
 * @since 0.1.0
 */
export declare namespace Template {
  /** The names of the holes in a text. */
  export type Holes<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}` ? Name | Holes<Rest>
    : never
  /** What fills the holes of a text: `{ readonly region: Hole }`. */
  export type Params<Text extends string> = string extends Text ? { readonly [hole: string]: Hole }
    : { readonly [Name in Holes<Text>]: Hole }
  /** The parameters as they are read back from a subject: `{ readonly region: string }`. */
  export type Parsed<Params> = { readonly [Name in keyof Params]: string }
}

/**
 * Makes a template from a text of the program. Throws the `InvalidSubject` if it is malformed.
 *
 * **Details**
 *
 * A hole is `{name}` and a whole token; each name occurs once. Letters, digits, `-` and `_` of a value stay as they are;
 * everything else becomes `%XX`, byte by byte in UTF-8. So every string has its own token, and gets it back by `parse`:
 * the empty one is `%`, and a leading `_INBOX` becomes `%5FINBOX`. A value whose token would be longer than 64
 * characters is refused, because cutting it would give two values one subject.
 *
 * **Gotchas**
 *
 * `parse` answers only for subjects that a template can have built. A publisher in another language has to encode the
 * same way: a raw `orders.a@b.placed` matches the pattern, and has no parameters.
 *
 * **Example** (A hostile tenant is one token)
 *
 * ```ts import.meta.vitest
 * import * as Subject from "effect-sluice/Subject"
 * import * as Option from "effect/Option"
 * import * as Result from "effect/Result"
 *
 * const orders = Subject.template("orders.{tenant}.placed")
 * orders.pattern // => "orders.*.placed"
 * orders.subject({ tenant: "eu-1" }) // => Result.succeed("orders.eu-1.placed")
 * orders.subject({ tenant: ">" }) // => Result.succeed("orders.%3E.placed")
 * orders.parse("orders.%3E.placed") // => Option.some({ tenant: ">" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const template = <const Text extends string>(text: Text): Template<Template.Params<Text>> =>
  compile<Template.Params<Text>>(text)

// internals

const DOT = 0x2e
const ANY = 0x2a
const TAIL = 0x3e
const TOKENS_MAX = 16
const TOKEN_MAX = 64
const SUBJECT_MAX = 255
const LIMITS = `At most ${TOKENS_MAX} tokens of ${TOKEN_MAX} characters, ${SUBJECT_MAX} together`
const CHARACTERS = "Printable ASCII without spaces and wildcards; Subject.template encodes values from outside"

const tokenEnd = (text: string, from: number): number => {
  const dot = text.indexOf(".", from)
  return dot === -1 ? text.length : dot
}

type Problem = readonly [problem: string, hint: string]

/** The length is looked at first, so that a huge string costs nothing. */
const findProblem = (text: string, wildcards: boolean): Problem | undefined => {
  if (text.length === 0 || text.length > SUBJECT_MAX) {
    return [`it has ${text.length} characters`, LIMITS]
  }
  let tokens = 0
  for (let start = 0; start <= text.length; tokens++) {
    const end = tokenEnd(text, start)
    const problem = findTokenProblem(text, start, end, wildcards)
    if (problem !== undefined) {
      return problem
    }
    start = end + 1
  }
  if (tokens > TOKENS_MAX) {
    return [`it has ${tokens} tokens`, LIMITS]
  }
  return text.startsWith("$") || /^_INBOX([._]|$)/.test(text)
    ? ["subjects of the server and inboxes are not for the application", "Begin with another token"]
    : undefined
}

const findTokenProblem = (text: string, start: number, end: number, wildcards: boolean): Problem | undefined => {
  if (start === end || end - start > TOKEN_MAX) {
    return [`it has a token of ${end - start} characters`, LIMITS]
  }
  for (let index = start; index < end; index++) {
    const code = text.charCodeAt(index)
    if (code < 0x21 || code > 0x7e) {
      return [`the character at ${index} is not allowed`, CHARACTERS]
    }
    if (code === ANY || code === TAIL) {
      if (!wildcards) {
        return [`the character at ${index} is a wildcard`, CHARACTERS]
      }
      if (end - start > 1 || (code === TAIL && end < text.length)) {
        return [`the wildcard at ${index} stands where it is none`, "* is a whole token, > is the last one"]
      }
    }
  }
  return undefined
}

const invalid = (subject: string, [problem, hint]: Problem): Result.Result<never, InvalidSubject> => {
  const begin = subject.slice(0, 80).replace(/[^\x20-\x7e]/g, "?")
  return Result.fail(new InvalidSubject({ subject: subject.length > 80 ? `${begin}…` : begin, problem, hint }))
}

/** Names begin with a letter, so that none is `__proto__`. */
const HOLE = /^\{([A-Za-z]\w*)\}$/

const compile = <Params>(text: string): Template<Params> => {
  const tokens = text.split(".")
  const places = tokens.flatMap((token, place) => HOLE.test(token) ? [place] : [])
  const holes = places.map((place) => tokens[place]!.slice(1, -1))
  if (new Set(holes).size < holes.length || tokens.some((token) => !HOLE.test(token) && /[{}*>]/.test(token))) {
    Result.getOrThrow(invalid(text, ["it has something else than holes", "A hole is a whole token: {name}, each once"]))
  }
  const whole = patternUnsafe(tokens.map((token) => HOLE.test(token) ? "*" : token).join("."))
  const literals = text.split(/\{\w+\}/)
  const constant = Result.succeed(text as Subject)
  const subject = (params: Params): Result.Result<Subject, InvalidSubject> => {
    let built = literals[0]!
    for (let index = 0; index < holes.length; index++) {
      const token = tokenOf((params as { readonly [hole: string]: unknown })[holes[index]!])
      if (token === undefined) {
        return invalid(text, [`{${holes[index]}} is missing, not a finite number, or too long`, LIMITS])
      }
      built += token + literals[index + 1]!
    }
    return built.length > SUBJECT_MAX
      ? invalid(built, [`it has ${built.length} characters`, LIMITS])
      : Result.succeed(built as Subject)
  }
  const parse = (subject: string): Option.Option<Template.Parsed<Params>> => {
    const found = matches(whole, subject) ? subject.split(".") : []
    const values = places.map((place) => found.length === 0 ? undefined : decodeToken(found[place]!))
    return found.length === 0 || values.includes(undefined)
      ? Option.none()
      : Option.some(Object.fromEntries(holes.map((name, index) => [name, values[index]])) as Template.Parsed<Params>)
  }
  return { text, holes, pattern: whole, subject: holes.length === 0 ? () => constant : subject, parse }
}

const tokenOf = (value: unknown): string | undefined => {
  const isText = typeof value === "string" || typeof value === "bigint" || Number.isFinite(value)
  const text = isText ? String(value) : undefined
  const token = text === undefined || text.length > TOKEN_MAX ? undefined : encodeToken(text)
  return token === undefined || token.length > TOKEN_MAX ? undefined : token
}

/** What stays as it is. A leading `_INBOX` does not: the first token of a subject must not be one. */
const PLAIN = /^(?!_INBOX)[\w-]+$/
const ESCAPED = /^_(?=INBOX)|[^\w-]/gu

/** `%XX` for each byte of UTF-8. A lone surrogate gets the three bytes that UTF-8 leaves free for it. */
const encodeToken = (text: string): string =>
  PLAIN.test(text) ? text : text === "" ? "%" : text.replace(ESCAPED, (character) => {
    const code = character.codePointAt(0)!
    if (code < 0x80) {
      return hex(code)
    }
    const rest = (bits: number): string => hex(0x80 | (code >> bits) & 0x3f)
    return code < 0x800
      ? hex(0xc0 | code >> 6) + rest(0)
      : code < 0x10000
      ? hex(0xe0 | code >> 12) + rest(6) + rest(0)
      : hex(0xf0 | code >> 18) + rest(12) + rest(6) + rest(0)
  })

const hex = (byte: number): string => `%${byte < 16 ? "0" : ""}${byte.toString(16).toUpperCase()}`

/** Reads generously, and then accepts only what would be written the same way: one token, one value. */
const decodeToken = (token: string): string | undefined => {
  const text = token.replace(/%(?:E.%..%..|F.%..%..%..|[CD].%..|..|$)/g, (escape) => {
    const [lead, ...rest] = escape.split("%").slice(1).map((digits) => Number.parseInt(digits, 16))
    const mask = 0x7f >> (rest.length === 0 ? 0 : rest.length + 1)
    const code = rest.reduce((high, byte) => high << 6 | byte & 0x3f, lead! & mask)
    return code > 0x10ffff || escape === "%" ? "" : String.fromCodePoint(code)
  })
  return encodeToken(text) === token ? text : undefined
}
