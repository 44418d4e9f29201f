import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Subject from "../src/Subject.ts"

const between = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const oneOf = <const A>(values: ReadonlyArray<A>) => Arbitrary.map(between(0, values.length - 1), (at) => values[at]!)

const special: Arbitrary.Arbitrary<string | number> = oneOf(
  ".|*|>|%|{|}|$| |\0|\r|\n|_|-|a|Z|0|9|\u00a0|\u00e9".split("|").concat("\u{1f600}", "_INBOX", "%41", "%")
)

/** Any string of UTF-16 units, halves of characters included, with a liking for what is special in a subject. */
const anyString = Arbitrary.map(
  Arbitrary.array(
    Arbitrary.flatMap(
      between(0, 9),
      (kind) =>
        kind < 3
          ? between(0, 0xffff)
          : kind === 3
          ? between(0xd800, 0xdfff)
          : special
    ),
    { maxLength: 12 }
  ),
  (parts) => parts.map((part) => typeof part === "number" ? String.fromCharCode(part) : part).join("")
)

const token = oneOf(["a", "b", "ab", "aa", "orders"])
const subjectText = Arbitrary.map(Arbitrary.array(token, { minLength: 1, maxLength: 5 }), (tokens) => tokens.join("."))
const patternText = Arbitrary.map(
  Arbitrary.all([Arbitrary.array(oneOf(["a", "b", "ab", "*", "*"]), { minLength: 1, maxLength: 4 }), between(0, 2)]),
  ([tokens, tail]) => [...tokens, ...(tail === 0 ? [">"] : [])].join(".")
)

/** What `matches` means, said as slowly and plainly as possible. */
const oracle = (pattern: string, subject: string): boolean =>
  new RegExp(`^${pattern.split(".").map((part) => part === "*" ? "[^.]+" : part === ">" ? ".+" : part).join("\\.")}$`)
    .test(subject)

const problem = <A>(result: Result.Result<A, Subject.InvalidSubject>): string =>
  Result.isFailure(result) ? result.failure.problem : "none"

describe("make", () => {
  it("takes concrete subjects", () => {
    for (const subject of ["a", "orders.eu.placed", "A-b_c.1", "!.~", "a.$b", "x._INBOX", "_INBOXES.a"]) {
      assert.strictEqual(Result.getOrThrow(Subject.make(subject)), subject)
    }
    assert.isTrue(Result.isSuccess(Subject.make(Array(16).fill("a").join("."))))
    assert.isTrue(Result.isSuccess(Subject.make("a".repeat(64))))
    assert.isTrue(
      Result.isSuccess(Subject.make(["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".")))
    )
  })

  it.each([
    ["", "it has 0 characters"],
    [".a", "it has a token of 0 characters"],
    ["a.", "it has a token of 0 characters"],
    ["a..b", "it has a token of 0 characters"],
    ["a.*", "the character at 2 is a wildcard"],
    ["a.b>", "the character at 3 is a wildcard"],
    ["a*b", "the character at 1 is a wildcard"],
    ["a b", "the character at 1 is not allowed"],
    ["a\tb", "the character at 1 is not allowed"],
    ["a\r\nPUB b 0", "the character at 1 is not allowed"],
    ["a\0", "the character at 1 is not allowed"],
    ["a\u000bb", "the character at 1 is not allowed"],
    ["a\u00a0b", "the character at 1 is not allowed"],
    ["a\u007f", "the character at 1 is not allowed"],
    ["ordérs", "the character at 3 is not allowed"],
    ["a".repeat(65), "it has a token of 65 characters"],
    [Array(17).fill("a").join("."), "it has 17 tokens"],
    ["a".repeat(256), "it has 256 characters"],
    ["$JS.API.INFO", "subjects of the server and inboxes are not for the application"],
    ["_INBOX.x", "subjects of the server and inboxes are not for the application"],
    ["_INBOX_P.x", "subjects of the server and inboxes are not for the application"]
  ])("refuses %j", (subject, expected) => {
    assert.strictEqual(problem(Subject.make(subject)), expected)
    assert.throws(() => Subject.makeUnsafe(subject), Subject.InvalidSubject)
  })

  it("shows of a bad subject only what is safe to log", () => {
    const error = Result.getOrThrow(Result.flip(Subject.make(`a\r\n\u001b[31m${"x".repeat(10_000)}`)))
    assert.match(error.subject, /^[\x20-\x7e]{80}…$/)
    assert.isBelow(error.message.length, 400)
  })

  it.prop("is what a pattern without wildcards is", [anyString], ([text]) => {
    assert.strictEqual(
      Result.isSuccess(Subject.make(text)),
      Result.isSuccess(Subject.pattern(text)) && !/[*>]/.test(text)
    )
  })
})

describe("pattern", () => {
  it("takes wildcards where they are some", () => {
    for (const text of [">", "*", "*.*", "orders.>", "orders.*.>", "orders.eu"]) {
      assert.strictEqual(Subject.patternUnsafe(text), text)
    }
  })

  it.each(["a.>.b", "a.b>", "*a", "**", ">>", "a.*b.c", "", "a..*", "$JS.>", "_INBOX.*"])("refuses %j", (text) => {
    assert.isTrue(Result.isFailure(Subject.pattern(text)))
    assert.throws(() => Subject.patternUnsafe(text), Subject.InvalidSubject)
  })
})

describe("matches", () => {
  it.prop("is what the plain definition says", [patternText, subjectText], ([pattern, subject]) => {
    assert.strictEqual(Subject.matches(Subject.patternUnsafe(pattern), subject), oracle(pattern, subject))
  }, { arbitrary: { runs: 5000 } })

  it("knows where tokens end", () => {
    const cases: ReadonlyArray<readonly [string, string, boolean]> = [
      ["a.b", "a.bc", false],
      ["a.bc", "a.b", false],
      ["a.*", "a", false],
      ["a.*", "a.b.c", false],
      ["a.>", "a", false],
      ["a.>", "a.b.c", true],
      [">", "a", true],
      ["*", "a.b", false],
      ["ab.c", "a.bc", false],
      ["*", "", false]
    ]
    for (const [pattern, subject, expected] of cases) {
      assert.strictEqual(Subject.matches(Subject.patternUnsafe(pattern), subject), expected, `${pattern} ${subject}`)
    }
  })
})

describe("overlaps", () => {
  const subjects = ["a", "b", "ab"].flatMap((
    x
  ) => [x, ...["a", "b", "ab"].flatMap((y) => [`${x}.${y}`, `${x}.${y}.a`])])
  const short = Arbitrary.map(
    Arbitrary.all([Arbitrary.array(oneOf(["a", "b", "ab", "*"]), { minLength: 1, maxLength: 2 }), between(0, 2)]),
    ([tokens, tail]) => Subject.patternUnsafe([...tokens, ...(tail === 0 ? [">"] : [])].join("."))
  )

  it.prop("means that some subject is matched by both", [short, short], ([a, b]) => {
    const both = subjects.some((subject) => Subject.matches(a, subject) && Subject.matches(b, subject))
    assert.strictEqual(Subject.overlaps(a, b), both)
    assert.strictEqual(Subject.overlaps(b, a), both)
  }, { arbitrary: { runs: 2000 } })
})

describe("template", () => {
  const template = Subject.template("orders.{tenant}.{order}.placed")
  const build = (tenant: Subject.Hole, order: Subject.Hole = 1) => template.subject({ tenant, order })

  it("has types for its holes", () => {
    expectTypeOf<Subject.Template.Params<"orders.{region}.{id}">>().toEqualTypeOf<
      { readonly region: string | number | bigint; readonly id: string | number | bigint }
    >()
    expectTypeOf(Subject.template("orders.placed").subject).parameter(0).toEqualTypeOf<{}>()
    expectTypeOf(Subject.template("a.{b}").parse).returns.toEqualTypeOf<Option.Option<{ readonly b: string }>>()
    // @ts-expect-error a hole is missing
    assert.isTrue(Result.isFailure(template.subject({ tenant: "a" })))
  })

  it("has a pattern and names its holes", () => {
    assert.strictEqual(template.pattern, "orders.*.*.placed")
    assert.deepStrictEqual(template.holes, ["tenant", "order"])
    assert.strictEqual(template.text, "orders.{tenant}.{order}.placed")
  })

  it.each([
    ["eu-1_X", "eu-1_X"],
    ["", "%"],
    ["*", "%2A"],
    [">", "%3E"],
    ["a.b", "a%2Eb"],
    ["a b", "a%20b"],
    ["%", "%25"],
    ["%41", "%2541"],
    ["é", "%C3%A9"],
    ["€", "%E2%82%AC"],
    ["😀", "%F0%9F%98%80"],
    ["\ud83d", "%ED%A0%BD"],
    ["\ude00\ud83d", "%ED%B8%80%ED%A0%BD"],
    ["\r\n", "%0D%0A"],
    ["$JS", "%24JS"],
    ["_INBOX", "%5FINBOX"],
    ["_inbox", "_inbox"],
    [42, "42"],
    [-0.5, "-0%2E5"],
    [2n ** 64n, "18446744073709551616"]
  ])("writes %s as %s", (value, expected) => {
    assert.strictEqual(Result.getOrThrow(build(value)), `orders.${expected}.1.placed`)
    assert.deepStrictEqual(
      template.parse(`orders.${expected}.1.placed`),
      Option.some({ tenant: String(value), order: "1" })
    )
  })

  it.prop("every string is one token, and comes back", [anyString, anyString], ([tenant, order]) => {
    const subject = build(tenant, order)
    if (Result.isFailure(subject)) {
      assert.isAbove(Math.max(new TextEncoder().encode(tenant).length, new TextEncoder().encode(order).length) * 3, 64)
      return
    }
    assert.lengthOf(subject.success.split("."), 4)
    assert.deepStrictEqual(Subject.make(subject.success), subject)
    assert.isTrue(Subject.matches(template.pattern, subject.success))
    assert.deepStrictEqual(template.parse(subject.success), Option.some({ tenant, order }))
  }, { arbitrary: { runs: 5000 } })

  it.prop("as the first token, too", [anyString], ([tenant]) => {
    const subject = Subject.template("{tenant}.orders").subject({ tenant })
    if (Result.isSuccess(subject)) {
      assert.deepStrictEqual(Subject.make(subject.success), subject)
    }
  }, { arbitrary: { runs: 5000 } })

  it.prop("different strings are different subjects", [anyString, anyString], ([a, b]) => {
    const [first, second] = [build(a), build(b)]
    if (Result.isSuccess(first) && Result.isSuccess(second)) {
      assert.strictEqual(first.success === second.success, a === b)
    }
  }, { arbitrary: { runs: 5000 } })

  it.prop("what parses is what it builds", [anyString], ([text]) => {
    const subject = `orders.${text}.1.placed`
    const parsed = template.parse(subject)
    if (Option.isSome(parsed)) {
      assert.strictEqual(Result.getOrThrow(template.subject(parsed.value)), subject)
    }
  }, { arbitrary: { runs: 5000 } })

  it.each([
    "*",
    ">",
    "a@b",
    "%41",
    "%2a",
    "%4",
    "%zz",
    "a%",
    "%%",
    "%C3",
    "%FF%FF%FF%FF",
    "%ED%A0%BD%ED%B8%80",
    "é",
    ""
  ])(
    "has not built the token %j",
    (text) => assert.deepStrictEqual(template.parse(`orders.${text}.1.placed`), Option.none())
  )

  it("parses no other subject", () => {
    for (const subject of ["orders.eu.1", "orders.eu.1.placed.x", "orders.eu.1.shipped", ""]) {
      assert.deepStrictEqual(template.parse(subject), Option.none())
    }
  })

  it("refuses what has no token of its own", () => {
    assert.isTrue(Result.isSuccess(build("a".repeat(64))))
    for (const value of ["a".repeat(65), "é".repeat(11), "x".repeat(1_000_000), Number.NaN, Infinity]) {
      assert.isTrue(Result.isFailure(build(value)))
    }
    // @ts-expect-error not a value for a hole
    assert.isTrue(Result.isFailure(build({ toString: () => "*" })))
    // @ts-expect-error holes that every object seems to have
    assert.isTrue(Result.isFailure(Subject.template("a.{constructor}").subject({})))
    const long = Subject.template("{a}.{b}.{c}.{d}")
    const x = "x".repeat(64)
    assert.strictEqual(problem(long.subject({ a: x, b: x, c: x, d: x })), "it has 259 characters")
  })

  it("without holes is its own subject", () => {
    const plain = Subject.template("orders.placed")
    assert.deepStrictEqual(plain.subject({}), Result.succeed(Subject.makeUnsafe("orders.placed")))
    assert.deepStrictEqual(plain.parse("orders.placed"), Option.some({}))
    assert.deepStrictEqual(plain.parse("orders.shipped"), Option.none())
  })

  it.each([
    "orders.x{id}",
    "orders.{id}x",
    "orders.{}",
    "orders.{a}{b}",
    "orders.{a.b}",
    "orders.{id",
    "orders.id}",
    "orders.*.{id}",
    "orders.>",
    "{id}.{id}",
    "{__proto__}",
    "{1}",
    "orders..{id}",
    "$JS.{id}",
    ""
  ])("refuses %j", (text) => assert.throws(() => Subject.template(text), Subject.InvalidSubject))
})
