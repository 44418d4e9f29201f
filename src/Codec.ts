/**
 * How a topic's values become bytes, and bytes become values again.
 *
 * A codec is a value; a topic names the one it uses. It is the first to look at what came from outside, so it takes
 * linear time, never throws, and says of a payload that it refuses where and why, but never what it contains.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import * as Headers from "./Headers.ts"

/**
 * Why a codec refuses a value or a payload. Must not contain anything of either.
 *
 * @category models
 * @since 0.1.0
 */
export interface Refusal {
  readonly stage: "json" | "schema"
  readonly problem: string
  readonly hint: string
}

/**
 * How values become bytes. `compile` runs once per topic; what it returns runs per message, and never throws.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec<A> {
  readonly compile: (schema: Schema.Codec<A, unknown>) => {
    readonly encode: (value: A) => Result.Result<Uint8Array, Refusal>
    readonly decode: (payload: Uint8Array) => Result.Result<A, Refusal>
  }
}

/**
 * JSON in UTF-8, checked by the schema; the default of `make`.
 *
 * **Details**
 *
 * The schema's canonical JSON form is written: a `Date` becomes ISO text, a `BigInt` decimal digits. Refused in both
 * directions: more than 64 levels, and the keys `__proto__` and `constructor.prototype`.
 *
 * **Gotchas**
 *
 * `Schema.Number` also stands for `NaN` and the infinities, and costs more to check than `Schema.Finite` or
 * `Schema.Int`. The module `effect/schema/SchemaJITCompiler/enable`, imported first, makes schemas several times faster.
 *
 * @category codecs
 * @since 0.1.0
 */
export const json: Codec<any> = { compile: (schema) => compileJson(schema) }

/**
 * The payload as it is. The schema only gives the type, and does not run.
 *
 * **Example** (Pictures)
 *
 * ```ts import.meta.vitest
 * import * as Topic from "effect-sluice/Topic"
 * import * as Schema from "effect/Schema"
 *
 * const pictures = Topic.make("pictures.{id}", { schema: Schema.Uint8Array, codec: Topic.bytes, maxBytes: 512 * 1024 })
 * pictures.pattern // => "pictures.*"
 * ```
 *
 * @category codecs
 * @since 0.1.0
 */
export const bytes: Codec<Uint8Array> = {
  compile: () => ({
    encode: (value) => value instanceof Uint8Array ? Result.succeed(value) : Result.fail(NOT_BYTES),
    decode: Result.succeed
  })
}

// internals

const LEVELS_MAX = 64

const NOT_BYTES: Refusal = { stage: "schema", problem: "it is no Uint8Array", hint: "Pass the bytes themselves." }

const NOT_JSON: Refusal = {
  stage: "json",
  problem: "the payload is not JSON in UTF-8",
  hint: "Does something else publish on this subject, or the same in another format? Give the topic the codec it needs."
}

const NO_JSON: Refusal = {
  stage: "json",
  problem: "the value has no JSON form",
  hint: "Give the schema an encoding that consists of texts, numbers, lists and records."
}

const TOO_DEEP: Refusal = {
  stage: "json",
  problem: `it has more than ${LEVELS_MAX} levels`,
  hint: "Refer to what lies deeper by an id."
}

const TRAP: Refusal = {
  stage: "json",
  problem: "it has a key __proto__ or constructor.prototype",
  hint: "Such keys change objects that code merges them into. Rename them, or find out who sends this."
}

const FOREIGN =
  "Publisher and reader have different schemas, or something else publishes here. New fields need defaults."
const OWN = "The value is not what the topic's schema describes: check it where it is made."

const decoder = new TextDecoder("utf-8", { fatal: true })

const compileJson = (schema: Schema.Codec<any, unknown>): ReturnType<Codec<any>["compile"]> => {
  const wire = Schema.toCodecJson(schema)
  const decodeWire = run(SchemaParser.decodeUnknownExit(wire), FOREIGN)
  const encodeWire = run(SchemaParser.encodeUnknownExit(wire), OWN)
  return {
    decode: (payload) => {
      let text: string
      let parsed: unknown
      try {
        text = decoder.decode(payload)
        if (isTooDeep(text)) {
          return Result.fail(TOO_DEEP)
        }
        parsed = JSON.parse(text)
      } catch {
        return Result.fail(NOT_JSON)
      }
      return mayTrap(text) && isTrap(parsed) ? Result.fail(TRAP) : decodeWire(parsed)
    },
    encode: (value) => {
      const encoded = encodeWire(value)
      if (Result.isFailure(encoded)) {
        return Result.fail(encoded.failure)
      }
      let text: string | undefined
      try {
        text = JSON.stringify(encoded.success)
      } catch {
        // A cycle, or a value that JSON does not know.
      }
      return text === undefined
        ? Result.fail(NO_JSON)
        : isTooDeep(text)
        ? Result.fail(TOO_DEEP)
        : mayTrap(text) && isTrap(encoded.success)
        ? Result.fail(TRAP)
        : Result.succeed(Headers.utf8(text))
    }
  }
}

/** Runs a schema's parser, whatever the schema's own code does. */
const run =
  (parser: (input: unknown) => Exit.Exit<unknown, SchemaIssue.Issue>, hint: string) =>
  (input: unknown): Result.Result<unknown, Refusal> => {
    let issue: SchemaIssue.Issue | undefined
    try {
      const exit = parser(input)
      if (Exit.isSuccess(exit)) {
        return Result.succeed(exit.value)
      }
      issue = exit.cause.reasons.find(Cause.isFailReason)?.error
    } catch {
      // The schema's own code threw; what it said may contain the value.
    }
    return Result.fail({
      stage: "schema",
      problem: issue === undefined ? "the schema itself failed: it threw, or is asynchronous" : describe(issue),
      hint
    })
  }

/** Two searches say of nearly every payload that it cannot be too deep; only the others are looked at in detail. */
const isTooDeep = (text: string): boolean => {
  let openings = 0
  for (const bracket of ["{", "["]) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) {
      if (++openings > LEVELS_MAX) {
        return levels(text) > LEVELS_MAX
      }
    }
  }
  return false
}

/** How deep the brackets go that are not part of a string. */
const levels = (text: string): number => {
  let level = 0
  let deepest = 0
  let isInString = false
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (character === BACKSLASH) {
      at++
    } else if (character === QUOTE) {
      isInString = !isInString
    } else if (!isInString && (character === OPEN_BRACE || character === OPEN_BRACKET)) {
      deepest = Math.max(deepest, ++level)
    } else if (!isInString && (character === CLOSE_BRACE || character === CLOSE_BRACKET)) {
      level--
    }
  }
  return deepest
}

const BACKSLASH = 0x5c
const QUOTE = 0x22
const OPEN_BRACE = 0x7b
const OPEN_BRACKET = 0x5b
const CLOSE_BRACE = 0x7d
const CLOSE_BRACKET = 0x5d

/** The words, or an escape that could hide a letter of them. */
const SUSPECT = /__proto__|constructor|\\u00/

const mayTrap = (text: string): boolean => SUSPECT.test(text)

const isTrap = (value: unknown): boolean =>
  typeof value === "object" && value !== null
  && (Array.isArray(value)
    ? value.some(isTrap)
    : Object.entries(value).some(([key, inner]) =>
      key === "__proto__" || isTrap(inner)
      || (key === "constructor" && typeof inner === "object" && inner !== null && Object.hasOwn(inner, "prototype"))
    ))

/**
 * Where a value went wrong and what was expected there, from what the schema says alone: the messages of issues, keys
 * that no schema declares, and reported inputs can contain the value, so none of them is used.
 */
const describe = (issue: SchemaIssue.Issue, path = "", at?: SchemaAST.AST): string => {
  switch (issue._tag) {
    case "Pointer":
      return describe(issue.issue, path + issue.path.map((key) => shown(key, at)).join(""), at)
    case "Composite":
      return describe(issue.issues[0], path, issue.ast)
    case "Encoding":
      return describe(issue.issue, path, issue.ast)
    case "AnyOf":
      return issue.issues.length === 0
        ? place(path, expectation(issue.ast))
        : [...new Set(issue.issues.slice(0, 3).map((inner) => describe(inner, path, issue.ast)))].join("; or ")
    case "Filter": {
      const expected = issue.filter.annotations?.["expected"]
      return place(path, typeof expected === "string" ? `expected ${expected}` : "a check of the schema failed")
    }
    case "InvalidType":
      return place(path, expectation(issue.ast))
    case "InvalidValue":
      return place(path, at === undefined ? "expected a valid value" : expectation(at))
    case "MissingKey":
      return place(path, "missing")
    case "UnexpectedKey":
      return place(path, "not expected")
    case "OneOf":
      return place(path, "more than one alternative fits")
    case "Forbidden":
      return place(path, "cannot be done synchronously and without services")
  }
}

const place = (path: string, problem: string): string => `at ${path === "" ? "the top" : path}: ${problem}`

const expectation = (ast: SchemaAST.AST): string => {
  const text = SchemaIssue.defaultLeafHook(new SchemaIssue.InvalidType(ast))
  return text.charAt(0).toLowerCase() + text.slice(1, 200)
}

/** Keys are the schema's if it declares them, and otherwise the payload's. */
const shown = (key: PropertyKey, at: SchemaAST.AST | undefined): string =>
  typeof key === "number"
    ? `[${key}]`
    : at?._tag === "Objects" && at.propertySignatures.some(({ name }) => name === key)
    ? `.${String(key)}`
    : "[…]"
