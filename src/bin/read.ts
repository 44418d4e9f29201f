/**
 * `sluice read`: shows a stream without leaving anything behind in it.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Arr from "effect/Array"
import { Argument, Command, Flag } from "effect/cli"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type { Delivery } from "../Message.ts"
import * as Queue from "../Queue.ts"
import * as Settlement from "../Settlement.ts"
import * as Subject from "../Subject.ts"
import type { ConsumerStart } from "../Topology.ts"
import { Transport } from "../Transport.ts"
import type { Inlet } from "../Transport.ts"
import * as TransportError from "../TransportError.ts"
import * as Connect from "./connect.ts"
import * as Durations from "./duration.ts"
import { escapeControls, type ExitWith, usage } from "./exit.ts"
import { write } from "./output.ts"
import * as Stop from "./stop.ts"

export const read = Command.make("read", {
  stream: Argument.String("stream").pipe(
    Argument.withMetavar("STREAM"),
    Argument.withDescription("The stream's name")
  ),
  filter: Flag.String("filter").pipe(
    Flag.withMetavar("PATTERN"),
    Flag.withDescription("Only subjects that match, for instance orders.*.placed; repeatable"),
    Flag.atLeast(0)
  ),
  from: Flag.String("from").pipe(
    Flag.withMetavar("all|new|last|N|TIME"),
    Flag.withDescription(
      "Where to begin, by default at the first: a sequence, a date such as 2026-01-31T12:00:00Z, or how long ago, such as 15m"
    ),
    Flag.withDefault("all")
  ),
  count: Flag.Int("count").pipe(
    Flag.withMetavar("N"),
    Flag.withDescription("End after so many messages"),
    Flag.filter((count) => count > 0, () => "a whole number from 1"),
    Flag.optional
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withoutNegation,
    Flag.withDefault(false),
    Flag.withDescription(
      "One JSON object per line: sequence, time, subject, headers, and the payload as data, text or base64"
    )
  ),
  follow: Flag.Boolean("follow").pipe(
    Flag.withDescription("Wait for more at the end of the stream; --no-follow ends there"),
    Flag.withDefault(true)
  ),
  server: Connect.server
}, (options) =>
  Effect.gen(function*() {
    const start = yield* parseFrom(options.from)
    yield* checkNames(options)
    const limit = Option.getOrElse(options.count, () => Number.POSITIVE_INFINITY)
    const reading = tail({ ...options, start, limit })
    yield* Stop.endingWith(
      Connect.connected({ server: options.server, place: Connect.inline, whenStopped: 0 }, reading),
      0
    )
  })).pipe(
    Command.withDescription(
      "Print a stream's messages in order, each once. Reads without acknowledging, and no consumer is left behind. "
        + "The text form is sequence, time, subject and payload, separated by tabs, with control characters escaped."
    ),
    Command.withShortDescription("Print a stream's messages"),
    Command.withExamples([
      { command: "sluice read ORDERS", description: "Everything, then what comes" },
      { command: "sluice read ORDERS --from new --filter 'orders.eu.>'", description: "What comes for one region" },
      {
        command: "sluice read ORDERS --from 15m --no-follow --json | jq .data",
        description: "The last quarter of an hour"
      }
    ])
  )

interface Reading {
  readonly stream: string
  readonly filter: ReadonlyArray<string>
  readonly start: ConsumerStart
  readonly limit: number
  readonly json: boolean
  readonly follow: boolean
}

const tail = (reading: Reading) =>
  Effect.scoped(Effect.gen(function*() {
    const transport = yield* Transport
    const until = reading.follow ? Number.POSITIVE_INFINITY : yield* lastSequence(reading.stream)
    if (until < 1) {
      return
    }
    const inlet = yield* transport.open(
      { _tag: "ordered", stream: reading.stream, filters: reading.filter, start: reading.start },
      { queue: Queue.suspend({ messages: 1024 }), ack: { _tag: "onProcess" }, timeBudgetMs: 60_000 }
    )
    const format = reading.json ? jsonLine : textLine
    let left = reading.limit
    let started = false
    while (left > 0) {
      const batch = yield* nextBatch(inlet, Math.min(256, left), reading.follow || started)
      if (batch === undefined) {
        return
      }
      started = true
      yield* write(batch.map(format).join(""))
      // The reader holds no ack to send; this only makes room for more.
      yield* inlet.settle(batch.map((delivery) => ({ delivery, settlement: Settlement.ack })))
      const last = Arr.lastNonEmpty(batch)
      if (!reading.follow && (last.pending === 0 || last.streamSequence >= until)) {
        return
      }
      left -= batch.length
    }
  }))

/** Before anything is sent: the broker would not even answer to some of them. */
const checkNames = (options: { readonly stream: string; readonly filter: ReadonlyArray<string> }) => {
  if (!/^[\w-]{1,128}$/u.test(options.stream)) {
    return Effect.fail(usage(`"${options.stream}" names no stream: a name has 1 to 128 letters, digits, - and _`))
  }
  const wrong = options.filter.map(Subject.pattern).find(Result.isFailure)
  return wrong === undefined ? Effect.void : Effect.fail(usage(`--filter: ${wrong.failure.message}`))
}

/** How long to wait for a first message, where waiting at the end was not asked for and nothing may match. */
const patience = Duration.seconds(2)

const nextBatch = (
  inlet: Inlet,
  max: number,
  wait: boolean
): Effect.Effect<NonEmptyReadonlyArray<Delivery> | undefined, TransportError.TransportError> => {
  const take = Pull.catchDone(inlet.take(max), () => Effect.succeed(undefined))
  return wait ? take : Effect.map(Effect.timeoutOption(take, patience), Option.getOrUndefined)
}

/** Where a stream ends now: without it, `--no-follow` would never catch up with a fast writer. */
const lastSequence = (stream: string) =>
  Effect.gen(function*() {
    const { topology } = yield* Transport
    if (Option.isNone(topology)) {
      return Number.POSITIVE_INFINITY
    }
    const info = yield* topology.value.describeStream(stream)
    if (Option.isNone(info)) {
      return yield* TransportError.because(new TransportError.StreamNotFound({ stream }))
    }
    return info.value.messages === 0 ? 0 : info.value.lastSequence
  })

export const parseFrom = (text: string): Effect.Effect<ConsumerStart, ExitWith> =>
  Effect.gen(function*() {
    if (text === "all" || text === "new" || text === "last") {
      return { _tag: text }
    }
    if (/^[0-9]+$/u.test(text)) {
      return { _tag: "sequence", sequence: Math.max(1, Number(text)) }
    }
    const ago = Durations.parse(text)
    if (Option.isSome(ago)) {
      return { _tag: "time", millis: (yield* Clock.currentTimeMillis) - Duration.toMillis(ago.value) }
    }
    const millis = Date.parse(text)
    if (Number.isNaN(millis)) {
      return yield* usage(
        `--from ${text}: expected all, new, last, a sequence, a date, or how long ago (30s, 15m, 2h, 7d)`
      )
    }
    return { _tag: "time", millis }
  })

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** The payload as text, if it is any. */
export const textOf = (payload: Uint8Array): string | undefined => {
  try {
    return utf8.decode(payload)
  } catch {
    return undefined
  }
}

export const base64 = (payload: Uint8Array): string => Buffer.from(payload).toString("base64")

const textLine = (delivery: Delivery): string => {
  const text = textOf(delivery.payload) ?? `base64:${base64(delivery.payload)}`
  const payload = escapeControls(text).replaceAll("\n", "\\n")
  return `${delivery.streamSequence}\t${new Date(delivery.timestamp).toISOString()}\t${
    escapeControls(delivery.subject)
  }\t${payload}\n`
}

const jsonLine = (delivery: Delivery): string => {
  const { streamSequence, subject, timestamp } = delivery
  const headers = Result.match(delivery.headers, {
    onSuccess: (headers) => ({ headers: Object.fromEntries(headers) }),
    onFailure: () => ({ headers: {}, malformedHeaders: true })
  })
  const head = JSON.stringify({
    sequence: streamSequence,
    time: new Date(timestamp).toISOString(),
    subject,
    ...headers
  })
  return `${head.slice(0, -1)},${payloadMember(delivery.payload)}}\n`
}

/** The payload as a member of a JSON object: what it is, or text, or base64. */
export const payloadMember = (payload: Uint8Array): string => {
  const text = textOf(payload)
  if (text === undefined) {
    return `"base64":${JSON.stringify(base64(payload))}`
  }
  try {
    const value: unknown = JSON.parse(text)
    // As it is, where it fits on a line: reading and writing it again would round large numbers.
    return `"data":${text.includes("\n") || text.includes("\r") ? JSON.stringify(value) : text}`
  } catch {
    return `"text":${JSON.stringify(text)}`
  }
}
