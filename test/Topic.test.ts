import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import { inspect } from "node:util"
import * as Headers from "../src/Headers.ts"
import * as Message from "../src/Message.ts"
import * as Subject from "../src/Subject.ts"
import * as Topic from "../src/Topic.ts"

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const delivery = (
  payload: Uint8Array | string,
  headerBytes = new Uint8Array() as Uint8Array,
  subject = "orders.eu.placed"
) =>
  new Message.Delivery({
    subject,
    payload: typeof payload === "string" ? utf8(payload) : payload,
    headerBytes,
    stream: "ORDERS",
    consumer: "test",
    streamSequence: 1,
    consumerSequence: 1,
    deliveryCount: 1,
    timestamp: 0,
    pending: 0,
    overheadBytes: 0
  })

class Order extends Schema.Class<Order>("Order")({
  id: Schema.String,
  quantity: Schema.Int.check(Schema.isGreaterThan(0)),
  at: Schema.Date,
  note: Schema.optionalKey(Schema.String)
}) {}

const placed = Topic.make("orders.{region}.placed", {
  schema: Order,
  id: (order) => order.id,
  key: (order) => order.id
})
const order = new Order({ id: "o1", quantity: 2, at: new Date(0) })

/** A topic that takes any JSON, to look at what is refused before the schema. */
const anything = Topic.make("anything", { schema: Schema.Unknown })
const failure = <A, E>(result: Result.Result<A, E>): E => Result.getOrThrow(Result.flip(result))
const stages = (payload: Uint8Array | string): string => {
  const value = anything.decode(delivery(payload))
  return Result.isSuccess(value) ? "read" : value.failure.stage
}

describe("make", () => {
  it("has types", () => {
    const ping = Topic.make("ping", { schema: Schema.String })
    expectTypeOf(placed).toEqualTypeOf<Topic.Topic<{ readonly region: Subject.Hole }, Order>>()
    expectTypeOf<Topic.HasParams<typeof placed>>().toEqualTypeOf<true>()
    expectTypeOf<Topic.HasParams<typeof ping>>().toEqualTypeOf<false>()
    expectTypeOf<Topic.Arguments<typeof ping>>().toEqualTypeOf<[value: string]>()
    expectTypeOf<Topic.Arguments<typeof placed>>().toEqualTypeOf<
      [params: { readonly region: Subject.Hole }, value: Order]
    >()
    const withoutParams = (_topic: Topic.Topic<{}, string>) => true
    assert.isTrue(withoutParams(ping))
    // @ts-expect-error a topic with parameters is none without
    assert.isTrue(withoutParams(placed))
  })

  it("knows its place", () => {
    assert.strictEqual(placed.name, "orders.{region}.placed")
    assert.strictEqual(placed.pattern, "orders.*.placed")
    assert.strictEqual(placed.maxBytes, 1_048_576)
    assert.deepStrictEqual(placed.params("orders.eu%2Ewest.placed"), Option.some({ region: "eu.west" }))
    assert.deepStrictEqual(placed.params("orders.placed"), Option.none())
    assert.strictEqual(placed.key(order), "o1")
    assert.isUndefined(anything.key(1))
  })

  it("refuses a malformed template", () => {
    assert.throws(() => Topic.make("orders.x{region}", { schema: Order }), Subject.InvalidSubject)
  })
})

describe("encode", () => {
  it("makes a message", () => {
    const headers = Headers.set(Headers.empty, "tenant", "eu")
    const expect = { lastSubjectSequence: 0 }
    assert.deepStrictEqual(Result.getOrThrow(placed.encode({ region: ">" }, order, { headers, expect })), {
      subject: "orders.%3E.placed",
      payload: utf8(`{"id":"o1","quantity":2,"at":"1970-01-01T00:00:00.000Z"}`),
      headers,
      id: "orders.{region}.placed:o1",
      expect
    })
    assert.notProperty(Result.getOrThrow(placed.encode({ region: "eu" }, order)), "expect")
  })

  it("says at which stage it fails", () => {
    const small = Topic.make("small", { schema: Schema.String, maxBytes: 10 })
    const many = Array.from({ length: 49 }, (_, index) => [`n${index}`, "x"])
    const headers = Result.getOrThrow(Headers.fromRecord(Object.fromEntries(many)))
    const large = Result.getOrThrow(Headers.fromRecord({ a: Array(4).fill("x".repeat(4000)) }))
    const cycle: Array<unknown> = []
    cycle.push(cycle)
    const deep = JSON.parse("[".repeat(65) + "]".repeat(65))
    const cases: ReadonlyArray<readonly [string, Result.Result<unknown, Topic.EncodeError>]> = [
      ["subject", placed.encode({ region: "x".repeat(65) }, order)],
      ["headers", placed.encode({ region: "eu" }, order, { headers })],
      ["headers", placed.encode({ region: "eu" }, order, { headers: large })],
      ["headers", placed.encode({ region: "eu" }, order, { id: "" })],
      ["headers", placed.encode({ region: "eu" }, order, { id: "x".repeat(1025) })],
      ["size", small.encode({}, "123456789")],
      ["json", anything.encode({}, deep)],
      ["json", anything.encode({}, JSON.parse(`{"__proto__":1}`))],
      ["schema", placed.encode({ region: "eu" }, { id: "o1", quantity: 0, at: new Date(0) })]
    ]
    for (const [stage, result] of cases) {
      assert.strictEqual(failure(result).stage, stage)
    }
    assert.isTrue(Result.isSuccess(small.encode({}, "12345678")))
    assert.isTrue(Result.isFailure(anything.encode({}, cycle)))
    assert.isTrue(Result.isFailure(anything.encode({}, 1n)))
  })

  it("what has no JSON of its own gets one", () => {
    const Rich = Schema.Struct({
      n: Schema.Number,
      b: Schema.BigInt,
      u: Schema.Uint8Array,
      o: Schema.Option(Schema.Date)
    })
    const rich = Topic.make("rich", { schema: Rich })
    const value = { n: Number.NaN, b: 2n ** 70n, u: Uint8Array.of(1, 2), o: Option.some(new Date(0)) }
    const { payload } = Result.getOrThrow(rich.encode({}, value))
    assert.deepStrictEqual(rich.decode(delivery(payload)), Result.succeed(value))
  })
})

describe("message ids", () => {
  const idOf = (topic: Topic.Topic<{}, string>, id?: string): string =>
    Result.getOrThrow(topic.encode({}, "v", id === undefined ? {} : { id })).id
  const a = Topic.make("a", { schema: Schema.String })
  const unit = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff })))
  const nasty = Arbitrary.map(unit, (code) => code % 2 === 0 ? code : [37, 58, 32, 13, 10, 0, 117][code % 7]!)
  const text = Arbitrary.map(Arbitrary.array(nasty, { maxLength: 6 }), (codes) => String.fromCharCode(...codes))

  it("are random unless the topic or the caller says otherwise", () => {
    assert.notStrictEqual(idOf(a), idOf(a))
    assert.match(idOf(a), /^[0-9a-f-]{36}$/)
    assert.strictEqual(idOf(a, "x"), "a:x")
    assert.strictEqual(Result.getOrThrow(placed.encode({ region: "eu" }, order, { id: "y" })).id, `${placed.name}:y`)
  })

  it("are escaped so that no other id looks the same", () => {
    assert.strictEqual(idOf(a, "x\r\n é"), "a:x%u000d%u000a%u0020%u00e9")
    assert.strictEqual(idOf(a, "%u000d"), "a:%u0025u000d")
  })

  it("of different topics differ", () => {
    const ab = Topic.make("a:b", { schema: Schema.String })
    assert.notStrictEqual(idOf(a, "b:c"), idOf(ab, "c"))
  })

  it.prop("can stand in a header, and different ones stay different", [text, text], ([one, other]) => {
    for (const id of [one, other]) {
      if (id.length > 0) {
        const written = idOf(a, id)
        assert.deepStrictEqual(
          Headers.get(Headers.set(Headers.empty, "Nats-Msg-Id", written), "Nats-Msg-Id"),
          Option.some(written)
        )
        assert.match(written, /^[!-~]+$/)
      }
    }
    if (one.length > 0 && other.length > 0) {
      assert.strictEqual(idOf(a, one) === idOf(a, other), one === other)
    }
  }, { arbitrary: { runs: 2000 } })
})

describe("decode", () => {
  it.prop("gives back what was encoded", [Order, Schema.String], ([value, region]) => {
    const message = placed.encode({ region }, value)
    if (Result.isSuccess(message)) {
      const { payload, subject } = message.success
      assert.deepStrictEqual(placed.decode(delivery(payload, new Uint8Array(), subject)), Result.succeed(value))
      assert.deepStrictEqual(placed.params(subject), Option.some({ region }))
    }
  })

  it.prop("never throws", [
    Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))))
  ], ([bytes]) => {
    assert.isTrue(Result.isResult(placed.decode(delivery(Uint8Array.from(bytes)))))
    assert.isTrue(Result.isResult(placed.decode(delivery("1", Uint8Array.from(bytes)))))
  })

  it("refuses malformed headers, and reads around good ones", () => {
    const headers = utf8("NATS/1.0\r\na b: c\r\n\r\n")
    assert.strictEqual(failure(anything.decode(delivery("1", headers))).stage, "headers")
    assert.deepStrictEqual(anything.decode(delivery("1", utf8("NATS/1.0\r\na: c\r\n\r\n"))), Result.succeed(1))
  })

  it("refuses what is too large, before it looks at it", () => {
    const small = Topic.make("small", { schema: Schema.Unknown, maxBytes: 3 })
    assert.deepStrictEqual(small.decode(delivery("123")), Result.succeed(123))
    const error = failure(small.decode(delivery("{{{{")))
    assert.strictEqual(error.stage, "size")
    assert.strictEqual(error.problem, "the payload has 4 bytes, 3 are allowed")
  })

  it("refuses what is not JSON in UTF-8", () => {
    for (
      const payload of [
        "",
        "{",
        "nul",
        "1 2",
        "{'a':1}",
        Uint8Array.of(0x22, 0xff, 0x22),
        Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)
      ]
    ) {
      assert.strictEqual(stages(payload), "json")
    }
  })

  it("refuses more than 64 levels, wherever they are", () => {
    const nested = (levels: number) => `${`{"a":[`.repeat(levels / 2)}${"]}".repeat(levels / 2)}`
    assert.strictEqual(stages(nested(64)), "read")
    assert.strictEqual(stages(nested(66)), "json")
    assert.strictEqual(stages(`[${nested(64)}]`), "json")
    assert.strictEqual(stages(`[${Array(500).fill(`{"a":[1,{}]}`).join(",")}]`), "read")
    assert.strictEqual(stages(JSON.stringify({ "[[\"[\\": "[".repeat(1000), b: "\\\"{".repeat(1000) })), "read")
    assert.strictEqual(stages("[".repeat(1_000_000)), "json")
  })

  it.each([
    `{"__proto__":{"isAdmin":true}}`,
    `[{"a":{"__proto__":1}}]`,
    `{"\\u005f_proto__":1}`,
    `{"__pr\\u006Fto__":1}`,
    `{"constructor":{"prototype":{"isAdmin":true}}}`,
    `{"\\u0063onstructor":{"prototyp\\u0065":1}}`,
    `{"a":{"constructor":{"prototype":1}},"b":1}`
  ])("refuses %s", (payload) => assert.strictEqual(stages(payload), "json"))

  it.each([
    `"__proto__"`,
    `{"text":"__proto__ constructor prototype"}`,
    `{"constructor":"x"}`,
    `{"constructor":{"name":"x"}}`,
    `{"prototype":1}`,
    `{"a":"\\u00e9"}`,
    `{"constructor":null}`
  ])(
    "reads %s",
    (payload) => assert.deepStrictEqual(anything.decode(delivery(payload)), Result.succeed(JSON.parse(payload)))
  )

  it("gives a fresh value of the schema's own shape", () => {
    const value = Result.getOrThrow(
      placed.decode(delivery(`{"id":"o1","quantity":1,"at":"2026-01-01T00:00:00Z","x":1}`))
    )
    assert.instanceOf(value, Order)
    assert.notProperty(value, "x")
  })

  it("tells the place and what was expected", () => {
    const problem = (payload: string) => failure(placed.decode(delivery(payload))).problem
    assert.strictEqual(problem(`{"id":1,"quantity":1,"at":""}`), "at .id: expected string")
    assert.strictEqual(problem(`{"quantity":1,"at":""}`), "at .id: missing")
    assert.strictEqual(problem(`{"id":"o","quantity":0,"at":""}`), "at .quantity: expected a value greater than 0")
    assert.strictEqual(problem(`[]`), "at the top: expected object")
    const nested = Topic.make("nested", {
      schema: Schema.Struct({ items: Schema.Array(Schema.Struct({ price: Schema.Finite })) })
    })
    assert.strictEqual(
      failure(nested.decode(delivery(`{"items":[{"price":1},{"price":"1"}]}`))).problem,
      "at .items[1].price: expected number"
    )
  })

  it("costs no stack trace", () => {
    const limit = Error.stackTraceLimit
    const error = failure(placed.decode(delivery("{}")))
    assert.notInclude(error.stack ?? "", "Topic.ts")
    assert.strictEqual(Error.stackTraceLimit, limit)
  })
})

describe("secrets", () => {
  const secret = "CANARY4111111111111111"
  const expectations: Record<string, readonly [Schema.Codec<any, unknown>, unknown]> = {
    type: [Schema.Finite, secret],
    literal: [Schema.Literals(["a", "b"]), secret],
    check: [Schema.String.check(Schema.isMinLength(100)), secret],
    pattern: [Schema.String.check(Schema.isPattern(/^x$/)), secret],
    "a check with words of its own": [Schema.String.check(Schema.makeFilter((text) => `what is ${text}?`)), secret],
    "a check that points": [
      Schema.Struct({ a: Schema.String }).check(Schema.makeFilter(({ a }) => ({ path: [a], issue: `no ${a}` }))),
      { a: secret }
    ],
    "a check that throws": [
      Schema.String.check(Schema.makeFilter((text) => {
        throw new Error(text)
      })),
      secret
    ],
    "a transformation": [
      Schema.String.pipe(Schema.decodeTo(Schema.String, {
        decode: SchemaGetter.transformEffect((text: string) =>
          Effect.fail(new SchemaIssue.InvalidValue({ message: `no ${text}`, expected: text }))
        ),
        encode: SchemaGetter.passthrough()
      })),
      secret
    ],
    "something asynchronous": [
      Schema.String.pipe(Schema.decodeTo(Schema.String, {
        decode: SchemaGetter.transformEffect((text: string) => Effect.delay(Effect.succeed(text), 1)),
        encode: SchemaGetter.passthrough()
      })),
      secret
    ],
    "a key": [Schema.Record(Schema.String, Schema.Finite), { [secret]: "x" }],
    union: [Schema.Union([Schema.Struct({ a: Schema.Finite }), Schema.Struct({ b: Schema.Finite })]), { a: secret }],
    date: [Schema.Date, secret],
    "big number": [Schema.BigInt, secret],
    "not JSON": [Schema.Unknown, undefined]
  }

  for (const [name, [schema, value]] of Object.entries(expectations)) {
    it(`in a payload stay there: ${name}`, () => {
      const topic = Topic.make("secrets", { schema })
      const payload = value === undefined ? `{"a": ${secret}` : JSON.stringify(value)
      const result = topic.decode(delivery(payload))
      const error = failure(result)
      for (
        const text of [error.message, error.stack, String(error), JSON.stringify(error), inspect(error, { depth: 9 })]
      ) {
        assert.notInclude(text, "CANARY")
        assert.notInclude(text, "4111")
      }
      assert.isNotEmpty(error.problem)
      assert.isNotEmpty(error.hint)
    })
  }
})

describe("bytes", () => {
  const pictures = Topic.make("pictures.{id}", { schema: Schema.Uint8Array, codec: Topic.bytes, maxBytes: 4 })
  const picture = Uint8Array.of(0xff, 0, 1)

  it("go through untouched", () => {
    assert.strictEqual(Result.getOrThrow(pictures.encode({ id: 1 }, picture)).payload, picture)
    assert.strictEqual(Result.getOrThrow(pictures.decode(delivery(picture))), picture)
  })

  it("have a limit, and are bytes", () => {
    assert.strictEqual(failure(pictures.encode({ id: 1 }, new Uint8Array(5))).stage, "size")
    assert.strictEqual(failure(pictures.decode(delivery(new Uint8Array(5)))).stage, "size")
    // @ts-expect-error no bytes
    assert.strictEqual(failure(pictures.encode({ id: 1 }, "text")).stage, "schema")
    // @ts-expect-error the codec is for bytes
    Topic.make("text", { schema: Schema.String, codec: Topic.bytes })
  })
})
