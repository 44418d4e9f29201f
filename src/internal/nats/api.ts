/** JetStream's management API: JSON requests on `$JS.API.…`, answers told apart by code. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Topology from "../../Topology.ts"
import type { TopologyAdmin } from "../../Transport.ts"
import { because, Rejected, type TransportError } from "../../TransportError.ts"
import * as Codes from "./codes.ts"
import * as Mapping from "./mapping.ts"
import type { Raw } from "./link.ts"
import type { Requests } from "./requests.ts"

type Json = { readonly [key: string]: unknown }

export interface Api extends TopologyAdmin {
  /** As `describeConsumer`, with the limits that the consumer sets for pulls. */
  readonly consumer: (stream: string, name: string) => Effect.Effect<Option.Option<Mapping.ConsumerState>, TransportError>
  readonly makeConsumer: (
    stream: string,
    consumer: Topology.Consumer,
    options?: { readonly ephemeral: boolean }
  ) => Effect.Effect<Mapping.ConsumerState, TransportError>
}

const ATTEMPT_MS = 2_000
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** One budget for an operation: leader elections and short outages pass unseen, everything else is told within 5 s. */
const patience = Schedule.min([Schedule.exponential(100), Schedule.spaced(1_000)]).pipe(
  Schedule.jittered,
  Schedule.upTo({ duration: 5_000 }),
  Schedule.setInputType<TransportError>(),
  Schedule.while(({ input }) => input.isRetryable)
)

export const make = (requests: Requests): Api => {
  const call = (
    operation: string,
    target: { readonly stream?: string; readonly consumer?: string },
    body: Json | undefined
  ): Effect.Effect<Json, TransportError> =>
    requests.request(`$JS.API.${operation}`, encode(body), ATTEMPT_MS).pipe(
      Effect.flatMap((raw) => decode(raw, operation, target)),
      Effect.retry(patience)
    )
  const find = <A>(effect: Effect.Effect<A, TransportError>, gone: ReadonlyArray<string>) =>
    effect.pipe(
      Effect.map(Option.some),
      Effect.catchIf((error) => gone.includes(error.reason._tag), () => Effect.succeed(Option.none<A>()))
    )
  const consumer = (stream: string, name: string) =>
    find(
      Effect.map(call(`CONSUMER.INFO.${stream}.${name}`, { stream, consumer: name }, undefined), Mapping.consumerState),
      ["ConsumerNotFound"]
    )
  const makeConsumer: Api["makeConsumer"] = (stream, wanted, options) => {
    const config = Mapping.consumerConfig(wanted, options?.ephemeral ?? false)
    // With exactly one filter the filter is part of the subject, so that permissions can speak of it (ADR-37).
    const filter = wanted.filters.length === 1 ? `.${wanted.filters[0]}` : ""
    return call(`CONSUMER.CREATE.${stream}.${wanted.name}${filter}`, { stream, consumer: wanted.name }, {
      stream_name: stream,
      config,
      action: "create"
    }).pipe(Effect.map(Mapping.consumerState))
  }
  return {
    consumer,
    makeConsumer,
    describeConsumer: (stream, name) => Effect.map(consumer(stream, name), Option.map((state) => state.info)),
    createConsumer: (stream, wanted) => Effect.asVoid(makeConsumer(stream, wanted)),
    deleteConsumer: (stream, name) =>
      Effect.asVoid(call(`CONSUMER.DELETE.${stream}.${name}`, { stream, consumer: name }, undefined)),
    describeStream: (name) =>
      find(Effect.map(call(`STREAM.INFO.${name}`, { stream: name }, undefined), Mapping.streamInfo), ["StreamNotFound"]),
    createStream: (stream) =>
      Effect.asVoid(call(`STREAM.CREATE.${stream.name}`, { stream: stream.name }, Mapping.streamConfig(stream))),
    deleteStream: (name) => Effect.asVoid(call(`STREAM.DELETE.${name}`, { stream: name }, undefined))
  }
}

// internals

const encode = (body: Json | undefined): Uint8Array =>
  body === undefined ? new Uint8Array(0) : encoder.encode(JSON.stringify(body))

const decode = (
  raw: Raw,
  operation: string,
  target: { readonly stream?: string; readonly consumer?: string }
): Effect.Effect<Json, TransportError> =>
  Effect.suspend(() => {
    let answer: Json
    try {
      answer = JSON.parse(decoder.decode(raw.payload)) as Json
    } catch {
      const detail = "the answer is not JSON"
      return Effect.fail(because(new Rejected({ operation, code: 0, detail, transient: true })))
    }
    const error = answer["error"]
    return Codes.isApiError(error)
      ? Effect.fail(because(Codes.toReason(error, operation, target)))
      : Effect.succeed(answer)
  })
