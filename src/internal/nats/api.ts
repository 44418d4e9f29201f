/** JetStream's management API: JSON requests on `$JS.API.…`, answers told apart by code. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Topology from "../../Topology.ts"
import type { Capabilities, TopologyAdmin } from "../../Transport.ts"
import { because, Rejected, type TransportError, Unsupported } from "../../TransportError.ts"
import { checkPurge } from "../purge.ts"
import * as Codes from "./codes.ts"
import * as Consumers from "./consumers.ts"
import * as Mapping from "./mapping.ts"
import * as Names from "./names.ts"
import type { Raw } from "./raw.ts"
import type { Requests } from "./requests.ts"

type Json = { readonly [key: string]: unknown }

type Call = (
  operation: string,
  target: { readonly stream?: string; readonly consumer?: string },
  body: Json | undefined
) => Effect.Effect<Json, TransportError>

export interface Api extends TopologyAdmin, Consumers.ConsumerCalls {}

const ATTEMPT_MS = 2_000
const decoder = new TextDecoder()

/** One budget for an operation: leader elections and short outages pass unseen, everything else is told within 5 s. */
const patience = Schedule.min([Schedule.exponential(100), Schedule.spaced(1_000)]).pipe(
  Schedule.jittered,
  Schedule.upTo({ duration: 5_000 }),
  Schedule.setInputType<TransportError>(),
  Schedule.while(({ input }) => input.isRetryable)
)

export const make = (requests: Requests, capabilities: () => Capabilities): Api => {
  const call: Call = (operation, target, body) =>
    Effect.gen(function*() {
      for (const [what, name] of Object.entries(target)) {
        yield* Names.token(what, name)
      }
      return yield* requests.request(`$JS.API.${operation}`, encode(body), ATTEMPT_MS).pipe(
        Effect.flatMap((raw) => decode(raw, operation, target)),
        Effect.retry(patience)
      )
    })
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
  const streamInfo = (name: string) =>
    find(call(`STREAM.INFO.${name}`, { stream: name }, undefined), ["StreamNotFound"])
  const api: Api = {
    consumer,
    streamState: (name) =>
      Effect.map(
        streamInfo(name),
        Option.map((json) => ({
          lastSequence: Mapping.streamInfo(json).lastSequence,
          createdMs: Mapping.createdMs(json)
        }))
      ),
    makeConsumer: maker(call, capabilities),
    describeConsumer: (stream, name) => Effect.map(consumer(stream, name), Option.map((state) => state.info)),
    createConsumer: (stream, wanted) => Effect.asVoid(Consumers.durable(api, stream, wanted.name, Option.some(wanted))),
    deleteConsumer: (stream, name) =>
      Effect.asVoid(call(`CONSUMER.DELETE.${stream}.${name}`, { stream, consumer: name }, undefined)),
    describeStream: (name) => Effect.map(streamInfo(name), Option.map(Mapping.streamInfo)),
    createStream: (stream) =>
      Effect.asVoid(call(`STREAM.CREATE.${stream.name}`, { stream: stream.name }, Mapping.streamConfig(stream))),
    deleteStream: (name) => Effect.asVoid(call(`STREAM.DELETE.${name}`, { stream: name }, undefined)),
    purgeStream: (name, purge) =>
      // nats-server 2.9 takes the first sequence for none, and would purge everything.
      Effect.flatMap(checkPurge(purge), () =>
        purge?.upTo === 1 && (purge.keep ?? 0) === 0
          ? Effect.as(call(`STREAM.INFO.${name}`, { stream: name }, undefined), 0)
          : Effect.map(call(`STREAM.PURGE.${name}`, { stream: name }, Mapping.purge(purge)), Mapping.purged)),
    deleteMessage: (stream, sequence) =>
      Effect.asVoid(call(`STREAM.MSG.DELETE.${stream}`, { stream }, { seq: sequence }))
  }
  return api
}

// internals

const maker = (call: Call, capabilities: () => Capabilities): Api["makeConsumer"] => (stream, wanted, options) => {
  const lacking = lacks(wanted, capabilities())
  if (lacking !== undefined) {
    return Effect.fail(lacking)
  }
  const config = Mapping.consumerConfig(wanted, options?.ephemeral ?? false)
  // With exactly one filter the filter is part of the subject, so that permissions can speak of it (ADR-37).
  const filters = Mapping.filtersOf(wanted)
  const filter = filters.length === 1 ? `.${filters[0]}` : ""
  return call(`CONSUMER.CREATE.${stream}.${wanted.name}${filter}`, { stream, consumer: wanted.name }, {
    stream_name: stream,
    config,
    action: "create"
  }).pipe(Effect.map(Mapping.consumerState))
}

/** What the server would ignore, or refuse without saying why. */
const lacks = (
  { backoffMs, filters, maxDeliver }: Topology.Consumer,
  { broker, filterSubjects, unlimitedBackoff }: Capabilities
): TransportError | undefined => {
  const unsupported = (feature: string) => because(new Unsupported({ feature, broker, needs: "nats-server 2.10" }))
  if (filters.length > 1 && !filterSubjects) {
    return unsupported("a consumer with several filter subjects")
  }
  const endless = backoffMs.length > 0 && (maxDeliver <= 0 || maxDeliver === backoffMs.length)
  return endless && !unlimitedBackoff ? unsupported("a backoff list without a higher limit of deliveries") : undefined
}

const encode = (body: Json | undefined): string => body === undefined ? "" : JSON.stringify(body)

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
