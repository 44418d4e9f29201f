/**
 * Carries a trace over the broker, in the headers of [W3C Trace Context](https://www.w3.org/TR/trace-context/).
 *
 * Pure functions between headers and spans. Sluice opens no span per message, because one span costs as much as
 * delivering the message; a handler that wants one opens it and names the message's span as its parent.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import * as Headers from "./Headers.ts"
import type * as Message from "./Message.ts"

/**
 * The names of the headers.
 *
 * @category constants
 * @since 0.1.0
 */
export const names = { traceparent: "traceparent", tracestate: "tracestate" } as const

/**
 * The vendors' part of a trace (`tracestate`), kept beside the span that it came with and passed on as it is.
 *
 * @category services
 * @since 0.1.0
 */
export const TraceState: Context.Reference<string> = Context.Reference("effect-sluice/Tracing/TraceState", {
  defaultValue: () => ""
})

/**
 * Reads a `traceparent`. `None` if it is malformed, or of the invalid all-zero kind.
 *
 * **Example** (A span from elsewhere)
 *
 * ```ts import.meta.vitest
 * import * as Tracing from "effect-sluice/Tracing"
 * import * as Option from "effect/Option"
 *
 * const span = Tracing.parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
 * Option.getOrThrow(span).sampled // => true
 * Option.isNone(Tracing.parse("00-nonsense")) // => true
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (traceparent: string, tracestate = ""): Option.Option<Tracer.ExternalSpan> => {
  const match = traceparent.length > parentLengthMax ? null : PARENT.exec(traceparent)
  const [, version, traceId, spanId, flags, rest] = match ?? []
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) {
    return Option.none()
  }
  // A later version may append fields; version 00 has none, and ff is none.
  if (version === "ff" || (version === "00" && rest !== undefined) || !/[^0]/.test(traceId) || !/[^0]/.test(spanId)) {
    return Option.none()
  }
  const annotations = tracestate === "" ? Context.empty() : Context.make(TraceState, tracestate)
  return Option.some(
    Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1, annotations })
  )
}

/**
 * The span that a message was published in, if its headers say so.
 *
 * **Example** (There and back)
 *
 * ```ts import.meta.vitest
 * import * as Headers from "effect-sluice/Headers"
 * import * as Tracing from "effect-sluice/Tracing"
 * import * as Option from "effect/Option"
 *
 * const span = Option.getOrThrow(Tracing.parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
 * const back = Tracing.fromHeaders(Tracing.toHeaders(Headers.empty, span))
 * Tracing.format(Option.getOrThrow(back)) // => "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromHeaders = (headers: Headers.Headers): Option.Option<Tracer.ExternalSpan> =>
  Option.flatMap(
    Headers.get(headers, names.traceparent),
    // Several `tracestate` headers are one list, in order.
    (traceparent) => parse(traceparent, (headers.get(names.tracestate) ?? []).join(","))
  )

/**
 * As `fromHeaders`, for a delivery. Malformed headers are no headers: a trace is never worth a message.
 *
 * **When to use**
 *
 * In a handler that is worth a span of its own. For a batch, name the spans of its messages as links of one span.
 *
 * **Example** (A handler with a span)
 *
 * ```ts import.meta.vitest
 * import type * as Message from "effect-sluice/Message"
 * import * as Tracing from "effect-sluice/Tracing"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const bill = (order: string, message: Message.Delivery) =>
 *   Effect.log(`charging ${order}`).pipe(
 *     Effect.withSpan("bill", { kind: "consumer", parent: Option.getOrUndefined(Tracing.fromDelivery(message)) })
 *   )
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromDelivery = (delivery: Message.Delivery): Option.Option<Tracer.ExternalSpan> =>
  Result.match(delivery.headers, { onFailure: () => Option.none(), onSuccess: fromHeaders })

/**
 * A span as a `traceparent`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (span: Tracer.AnySpan): string =>
  `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}`

/**
 * A copy of `headers` that carries `span`; nothing else changes. A trace that is already in there is replaced.
 *
 * **Details**
 *
 * `tracestate` is passed on from the span that came over the broker, however many spans lie between. A span that must
 * not be propagated (`Tracer.DisablePropagation`), or whose ids are not of the W3C's form, leaves the headers as they
 * are.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toHeaders = (headers: Headers.Headers, span: Tracer.AnySpan): Headers.Headers => {
  const traceparent = format(span)
  if (Context.get(span.annotations, Tracer.DisablePropagation) || !PARENT.test(traceparent)) {
    return headers
  }
  const state = stateOf(span)
  const carrying = Headers.set(headers, names.traceparent, traceparent)
  return state === ""
    ? Headers.remove(carrying, names.tracestate)
    : Headers.set(carrying, names.tracestate, state)
}

/**
 * Headers that carry the current span; `headers` itself where there is none.
 *
 * **When to use**
 *
 * Once per batch of messages: a batch that is published in one span has the same trace headers throughout.
 *
 * **Example** (The headers of a publish)
 *
 * ```ts import.meta.vitest
 * import * as Headers from "effect-sluice/Headers"
 * import * as Tracing from "effect-sluice/Tracing"
 * import * as Effect from "effect/Effect"
 *
 * const headers = Effect.runSync(Tracing.inject(Headers.empty).pipe(Effect.withSpan("publish")))
 * headers.get("traceparent")?.[0]?.length // => 55
 * Effect.runSync(Tracing.inject(Headers.empty)).size // => 0
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const inject = (headers: Headers.Headers): Effect.Effect<Headers.Headers> =>
  Effect.map(
    Effect.serviceOption(Tracer.ParentSpan),
    (span) => Option.isNone(span) ? headers : toHeaders(headers, span.value)
  )

// internals

const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
/** More than any version so far needs; what is longer is not looked at. */
const parentLengthMax = 256

/** The nearest `tracestate` up the line of parents. */
const stateOf = (span: Tracer.AnySpan): string => {
  let at: Tracer.AnySpan | undefined = span
  while (at !== undefined) {
    const state = Context.get(at.annotations, TraceState)
    if (state !== "") {
      return state
    }
    at = at._tag === "Span" ? Option.getOrUndefined(at.parent) : undefined
  }
  return ""
}
