import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import * as Headers from "../src/Headers.ts"
import * as Message from "../src/Message.ts"
import * as Tracing from "../src/Tracing.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const headersOf = (record: Record<string, string | ReadonlyArray<string>>) =>
  Result.getOrThrow(Headers.fromRecord(record))

describe("parse", () => {
  it("reads the W3C's form", () => {
    const span = Option.getOrThrow(Tracing.parse(`00-${traceId}-${spanId}-01`))
    assert.deepInclude(span, { _tag: "ExternalSpan", traceId, spanId, sampled: true })
    assert.isFalse(Option.getOrThrow(Tracing.parse(`00-${traceId}-${spanId}-00`)).sampled)
    assert.isTrue(Option.getOrThrow(Tracing.parse(`00-${traceId}-${spanId}-03`)).sampled)
  })

  it("reads a later version, whatever it appends", () => {
    assert.isTrue(Option.isSome(Tracing.parse(`01-${traceId}-${spanId}-01-more-of-it`)))
    assert.isTrue(Option.isSome(Tracing.parse(`cc-${traceId}-${spanId}-01`)))
  })

  for (
    const [name, text] of Object.entries({
      "an empty one": "",
      "a version that is none": `ff-${traceId}-${spanId}-01`,
      "version 00 with more": `00-${traceId}-${spanId}-01-more`,
      "a trace of zeros": `00-${"0".repeat(32)}-${spanId}-01`,
      "a span of zeros": `00-${traceId}-${"0".repeat(16)}-01`,
      "upper case": `00-${traceId.toUpperCase()}-${spanId}-01`,
      "a short trace": `00-${traceId.slice(1)}-${spanId}-01`,
      "something around it": ` 00-${traceId}-${spanId}-01`,
      "a later version without a dash": `01-${traceId}-${spanId}-01more`,
      "far too much": `01-${traceId}-${spanId}-01-${"x".repeat(100_000)}`
    })
  ) {
    it(`refuses ${name}`, () => assert.isTrue(Option.isNone(Tracing.parse(text))))
  }
})

describe("headers", () => {
  it("carry a span there and back, and tracestate with it", () => {
    const from = headersOf({ traceparent: `00-${traceId}-${spanId}-01`, tracestate: ["a=1", "b=2"], other: "x" })
    const span = Option.getOrThrow(Tracing.fromHeaders(from))
    const to = Tracing.toHeaders(headersOf({ mine: "y" }), span)
    assert.deepStrictEqual([...to], [["mine", ["y"]], ["traceparent", [`00-${traceId}-${spanId}-01`]], ["tracestate", [
      "a=1,b=2"
    ]]])
  })

  it("are never changed in place, and lose a trace that is not this one's", () => {
    const before = headersOf({ traceparent: "old", tracestate: "old=1" })
    const after = Tracing.toHeaders(before, Tracer.externalSpan({ traceId, spanId, sampled: false }))
    assert.deepStrictEqual([...after], [["traceparent", [`00-${traceId}-${spanId}-00`]]])
    assert.deepStrictEqual([...before], [["traceparent", ["old"]], ["tracestate", ["old=1"]]])
  })

  it("stay as they are for a span that is not to be propagated, or has ids of another kind", () => {
    const annotations = Context.make(Tracer.DisablePropagation, true)
    assert.strictEqual(
      Tracing.toHeaders(Headers.empty, Tracer.externalSpan({ traceId, spanId, annotations })),
      Headers.empty
    )
    assert.strictEqual(
      Tracing.toHeaders(Headers.empty, Tracer.externalSpan({ traceId: "a\r\nb", spanId })),
      Headers.empty
    )
  })

  it("of a delivery that are malformed, or say nothing, name no span", () => {
    const delivery = (headerBytes: Uint8Array) =>
      new Message.Delivery({
        subject: "s",
        payload: new Uint8Array(),
        headerBytes,
        stream: "S",
        consumer: "c",
        streamSequence: 1,
        consumerSequence: 1,
        deliveryCount: 1,
        timestamp: 0,
        pending: 0,
        overheadBytes: 0
      })
    assert.isTrue(Option.isNone(Tracing.fromDelivery(delivery(new Uint8Array([1, 2, 3])))))
    assert.isTrue(Option.isNone(Tracing.fromDelivery(delivery(new Uint8Array()))))
    const good = Headers.encode(headersOf({ traceparent: `00-${traceId}-${spanId}-01` }))
    assert.strictEqual(Option.getOrThrow(Tracing.fromDelivery(delivery(good))).spanId, spanId)
  })
})

describe("inject", () => {
  it.effect("carries the current span, and tracestate over the spans between", () =>
    Effect.gen(function*() {
      const parent = Option.getOrThrow(Tracing.parse(`00-${traceId}-${spanId}-01`, "vendor=7"))
      const headers = yield* Tracing.inject(Headers.empty).pipe(
        Effect.withSpan("inner"),
        Effect.withSpan("outer", { parent })
      )
      const back = Option.getOrThrow(Tracing.fromHeaders(headers))
      assert.strictEqual(back.traceId, traceId)
      assert.notStrictEqual(back.spanId, spanId)
      assert.deepStrictEqual(headers.get("tracestate"), ["vendor=7"])
    }))

  it.effect("without a span, leaves the headers as they are", () =>
    Effect.gen(function*() {
      const headers = headersOf({ a: "b" })
      assert.strictEqual(yield* Tracing.inject(headers), headers)
    }))
})
