import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Headers from "../src/Headers.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const block = (...lines: ReadonlyArray<string>): Uint8Array => bytes(["NATS/1.0", ...lines, "", ""].join("\r\n"))
const headersOf = (record: Record<string, string | ReadonlyArray<string>>) =>
  Result.getOrThrow(Headers.fromRecord(record))
const problem = <A>(result: Result.Result<A, Headers.Malformed>): string =>
  Result.isFailure(result) ? result.failure.problem : "none"

const between = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))
const name = Arbitrary.map(
  Arbitrary.array(between(0x21, 0x7e), { minLength: 1, maxLength: 4 }),
  (codes) => String.fromCharCode(...codes.map((code) => code === 0x3a ? 0x2d : code))
)
const text = Arbitrary.map(
  Arbitrary.array(Arbitrary.flatMap(between(0, 3), (kind) => kind === 0 ? between(0, 0xffff) : between(0, 0x7e))),
  (codes) => String.fromCharCode(...codes)
)
const record = Arbitrary.map(
  Arbitrary.array(Arbitrary.all([name, Arbitrary.array(text, { maxLength: 3 })]), { maxLength: 6 }),
  (entries) => Object.fromEntries(entries)
)
/** Bytes that look like a block often enough to come far. */
const anyBytes = Arbitrary.map(
  Arbitrary.array(
    Arbitrary.flatMap(between(0, 5), (kind) =>
      kind === 0
        ? Arbitrary.map(between(0, 255), (byte) => Uint8Array.of(byte))
        : Arbitrary.map(
          between(0, 9),
          (at) => bytes(["NATS/1.0", "\r\n", "\r\n", "a", ":", " ", "408", "\r", "\n", "é"][at]!)
        )),
    { maxLength: 12 }
  ),
  (parts) => new Uint8Array([...bytes("NATS/1.0"), ...parts.flatMap((part) => [...part])])
)

describe("fromRecord", () => {
  it("takes names with one value or several", () => {
    const headers = headersOf({ tenant: "eu", via: ["a", "b"], none: [] })
    assert.deepStrictEqual([...headers], [["tenant", ["eu"]], ["via", ["a", "b"]]])
  })

  it("cuts white space off, as the wire does", () => {
    assert.deepStrictEqual(Headers.get(headersOf({ a: " \t x y \t" }), "a"), Option.some("x y"))
  })

  it.each<[Record<string, string>, string]>([
    [{ "": "x" }, "a name is empty, or has characters that names must not have"],
    [{ "a b": "x" }, "a name is empty, or has characters that names must not have"],
    [{ "a:b": "x" }, "a name is empty, or has characters that names must not have"],
    [{ "a\r\nb": "x" }, "a name is empty, or has characters that names must not have"],
    [{ "é": "x" }, "a name is empty, or has characters that names must not have"],
    [{ a: "x\r\nNats-Rollup: all" }, "a value has CR, LF, NUL or half a character"],
    [{ a: "x\ny" }, "a value has CR, LF, NUL or half a character"],
    [{ a: "x\0" }, "a value has CR, LF, NUL or half a character"],
    [{ a: "\ud83d" }, "a value has CR, LF, NUL or half a character"],
    [{ a: "x".repeat(4097) }, "a value has more than 4096 bytes"],
    [{ a: "é".repeat(2049) }, "a value has more than 4096 bytes"],
    [
      { a: "x".repeat(4000), b: "x".repeat(4000), c: "x".repeat(4000), d: "x".repeat(4000), e: "x".repeat(4000) },
      "they have more than 64 names or 16384 bytes"
    ],
    [
      Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`n${index}`, "x"])),
      "they have more than 64 names or 16384 bytes"
    ]
  ])("refuses %j", (given, expected) => {
    assert.strictEqual(problem(Headers.fromRecord(given)), expected)
  })
})

describe("copies", () => {
  const headers = headersOf({ a: ["1", "2"], b: "3" })

  it("are changed, and the original is not", () => {
    assert.deepStrictEqual([...Headers.set(headers, "a", "9")], [["a", ["9"]], ["b", ["3"]]])
    assert.deepStrictEqual([...Headers.append(headers, "a", "9")], [["a", ["1", "2", "9"]], ["b", ["3"]]])
    assert.deepStrictEqual([...Headers.append(headers, "A", "9")], [["a", ["1", "2"]], ["b", ["3"]], ["A", ["9"]]])
    assert.deepStrictEqual([...Headers.remove(headers, "a")], [["b", ["3"]]])
    assert.deepStrictEqual([...Headers.remove(headers, "B")], [["a", ["1", "2"]], ["b", ["3"]]])
    assert.deepStrictEqual([...headers], [["a", ["1", "2"]], ["b", ["3"]]])
    assert.deepStrictEqual([...Headers.empty], [])
  })

  it("names are case-sensitive", () => {
    assert.deepStrictEqual(Headers.get(headers, "a"), Option.some("1"))
    assert.deepStrictEqual(Headers.get(headers, "A"), Option.none())
  })

  it("never take in what must not go on the wire", () => {
    assert.throws(() => Headers.set(headers, "a", "x\r\nb: y"), Headers.Malformed)
    assert.throws(() => Headers.append(headers, "a b", "x"), Headers.Malformed)
  })

  it("without what means something to the broker", () => {
    const all = headersOf({
      "Nats-Msg-Id": "1",
      "nats-rollup": "all",
      "NATS-TTL": "1s",
      "X-Nats-Like": "kept",
      nats: "kept"
    })
    assert.deepStrictEqual([...Headers.withoutReserved(all).keys()], ["X-Nats-Like", "nats"])
  })

  it.prop("sanitize makes any text a value", [text], ([given]) => {
    const value = Headers.sanitize(given)
    assert.deepStrictEqual(Headers.get(Headers.set(Headers.empty, "a", value), "a"), Option.some(value))
  })

  it("sanitize cuts", () => {
    assert.lengthOf(Headers.sanitize("x".repeat(10_000)), 4096)
    assert.lengthOf(bytes(Headers.sanitize("€".repeat(10_000))), 4095)
    assert.strictEqual(Headers.sanitize(" line one\r\nline two\n"), "line one  line two")
  })
})

describe("encode and decode", () => {
  it("write a name per value", () => {
    assert.deepStrictEqual(
      Buffer.from(Headers.encode(headersOf({ a: ["1", "2"], b: "ü" }))).toString(),
      [
        "NATS/1.0",
        "a: 1",
        "a: 2",
        "b: ü",
        "",
        ""
      ].join("\r\n")
    )
    assert.lengthOf(Headers.encode(Headers.empty), 0)
  })

  it.prop("give back what was put in", [record], ([given]) => {
    const headers = Headers.fromRecord(given)
    if (Result.isSuccess(headers)) {
      const encoded = Headers.encode(headers.success)
      assert.strictEqual(Headers.sizeOf(headers.success), encoded.length)
      assert.deepStrictEqual(Headers.decode(encoded), headers)
    }
  }, { arbitrary: { runs: 2000 } })

  it.prop("read anything without throwing, and only what can be written", [anyBytes], ([given]) => {
    const headers = Headers.decode(given)
    if (Result.isSuccess(headers)) {
      assert.deepStrictEqual(Headers.decode(Headers.encode(headers.success)), headers)
    }
    assert.isTrue(Headers.decodeStatus(given) === undefined || Result.isSuccess(headers))
  }, { arbitrary: { runs: 5000 } })

  it("read what others write", () => {
    assert.deepStrictEqual(
      [...Result.getOrThrow(Headers.decode(block("a:1", "a: \t 2 \t", "b:", "A: x: y")))],
      [["a", ["1", "2"]], ["b", [""]], ["A", ["x: y"]]]
    )
    assert.strictEqual(Result.getOrThrow(Headers.decode(new Uint8Array())), Headers.empty)
    assert.deepStrictEqual(Result.getOrThrow(Headers.decode(bytes("NATS/1.0 \r\n\r\n"))), Headers.empty)
  })

  it.each<[string, Uint8Array]>([
    ["they do not begin with NATS/1.0", bytes("HTTP/1.1\r\n\r\n")],
    ["they do not begin with NATS/1.0", bytes("NATS/1.0")],
    ["they do not begin with NATS/1.0", bytes("NATS/1.0x\r\n\r\n")],
    ["they do not begin with NATS/1.0", bytes("NATS/1.0 abc\r\n\r\n")],
    ["they do not begin with NATS/1.0", bytes("NATS/1.0 4080\r\n\r\n")],
    ["they do not end with an empty line", bytes("NATS/1.0\r\n")],
    ["they do not end with an empty line", bytes("NATS/1.0\r\na: b\r\n")],
    ["they do not end with an empty line", bytes("NATS/1.0\r\na: b")],
    ["something follows their empty line", bytes("NATS/1.0\r\n\r\na: b\r\n\r\n")],
    ["a line has no colon", block("a")],
    ["a line has no colon", block("a", "b: c")],
    ["a name is empty, or has characters that names must not have", block(": a")],
    ["a name is empty, or has characters that names must not have", block("a : b")],
    ["a name is empty, or has characters that names must not have", block("a: b", " folded: c")],
    ["a value has CR, LF, NUL or half a character", block("a: b\nc: d")],
    ["a value has CR, LF, NUL or half a character", block("a: b\rc")],
    ["a value has CR, LF, NUL or half a character", block("a: b\0")],
    ["they are not UTF-8", Uint8Array.of(...bytes("NATS/1.0\r\na: "), 0xff, 13, 10, 13, 10)],
    ["a value has more than 4096 bytes", block(`a: ${"x".repeat(4097)}`)],
    ["they have more than 64 names or 16384 bytes", block(...Array.from({ length: 65 }, (_, index) => `n${index}: x`))],
    ["they have more than 64 names or 16384 bytes", block(...Array.from({ length: 9 }, () => `a: ${"x".repeat(2000)}`))]
  ])("refuses: %s", (expected, given) => {
    assert.strictEqual(problem(Headers.decode(given)), expected)
  })

  it("a name cannot reach a prototype", () => {
    const headers = Result.getOrThrow(Headers.decode(block("__proto__: x", "constructor: y")))
    assert.deepStrictEqual(Headers.get(headers, "__proto__"), Option.some("x"))
    assert.strictEqual(Reflect.get({}, "x"), undefined)
    assert.deepStrictEqual(Headers.get(Headers.empty, "constructor"), Option.none())
  })

  it("hostile blocks cost next to nothing", () => {
    const names = block(...Array.from({ length: 5500 }, (_, index) => `name-${index}: x`))
    const repeated = block(...Array.from({ length: 3000 }, () => "a: x"))
    const blanks = block(...Array.from({ length: 3 }, (_, index) => `a${index}: x${" \t".repeat(2000)}x`))
    for (const given of [names, repeated, blanks]) {
      let fastest = Infinity
      for (let round = 0; round < 5; round++) {
        const start = performance.now()
        Headers.decode(given)
        Headers.decodeStatus(given)
        fastest = Math.min(fastest, performance.now() - start)
      }
      assert.isBelow(fastest, 2)
    }
    assert.isTrue(Result.isFailure(Headers.decode(names)))
  })
})

describe("decodeStatus", () => {
  it("reads code, words and headers", () => {
    assert.deepStrictEqual(
      Headers.decodeStatus(bytes("NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n")),
      { code: 408, description: "Request Timeout", headers: headersOf({ "Nats-Pending-Messages": "1" }) }
    )
    assert.deepStrictEqual(Headers.decodeStatus(bytes("NATS/1.0 503\r\n\r\n")), {
      code: 503,
      description: "",
      headers: Headers.empty
    })
  })

  it.each([
    "",
    "NATS/1.0\r\n\r\n",
    "NATS/1.0\r\na: 408\r\n\r\n",
    "NATS/1.0 \r\n\r\n",
    "NATS/1.0 abc\r\n\r\n",
    "NATS/1.0 408"
  ])(
    "finds none in %j",
    (given) => assert.isUndefined(Headers.decodeStatus(bytes(given)))
  )
})
