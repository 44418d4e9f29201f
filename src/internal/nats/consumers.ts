/** Finds, compares or makes the consumer that a source asks for. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Topology from "../../Topology.ts"
import type { Capabilities, Flow, Source } from "../../Transport.ts"
import { because, Conflict, ConsumerNotFound, invalid, type TransportError, Unsupported } from "../../TransportError.ts"
import type { Api } from "./api.ts"
import { CONSUMER_EXISTS } from "./codes.ts"
import type { ConsumerState } from "./mapping.ts"
import * as Names from "./names.ts"

/** A consumer that disappears by itself when this process is gone, but survives an outage of some minutes. */
const INACTIVE_MS = 5 * 60_000
const EPHEMERAL_ACK_WAIT_MS = 30_000

/** What to make, for a source whose consumer is ours; `None` where it is only bound. */
export const wanted = (source: Source): Option.Option<Topology.Consumer> => {
  if (source._tag === "durable") {
    return source.create
  }
  return Option.some(Topology.consumer(`sluice_${Names.random()}`, {
    filters: source.filters,
    start: source.start,
    ack: source._tag === "ordered" ? "none" : "explicit",
    ackWait: EPHEMERAL_ACK_WAIT_MS,
    maxDeliver: source._tag === "ordered" ? 1 : -1,
    inactiveThreshold: INACTIVE_MS
  }))
}

/** Makes sure that the consumer is there and can do what the flow needs. */
export const ensure = (
  api: Api,
  source: Source,
  flow: Flow,
  capabilities: Capabilities
): Effect.Effect<ConsumerState, TransportError> =>
  Effect.gen(function*() {
    yield* Names.token("stream", source.stream)
    const want = wanted(source)
    if (Option.isSome(want) && want.value.filters.length > 1 && !capabilities.filterSubjects) {
      const feature = "a consumer with several filter subjects"
      return yield* Effect.fail(
        because(new Unsupported({ feature, broker: capabilities.broker, needs: "nats-server 2.10" }))
      )
    }
    const state = source._tag === "durable"
      ? yield* durable(api, source.stream, source.consumer, want)
      : yield* api.makeConsumer(source.stream, Option.getOrThrow(want), { ephemeral: true })
    yield* checkAcks(source, flow, state)
    return state
  })

/** Makes a consumer of ours anew, beginning where reading stopped. */
export const makeAgain = (api: Api, source: Source, resumeAt: number): Effect.Effect<ConsumerState, TransportError> => {
  const want = Option.getOrThrow(wanted(source))
  const consumer: Topology.Consumer = resumeAt > 1 ? { ...want, start: { _tag: "sequence", sequence: resumeAt } } : want
  return source._tag === "durable"
    ? durable(api, source.stream, source.consumer, Option.some(consumer))
    : api.makeConsumer(source.stream, consumer, { ephemeral: true })
}

// internals

const durable = (
  api: Api,
  stream: string,
  name: string,
  want: Option.Option<Topology.Consumer>
): Effect.Effect<ConsumerState, TransportError> =>
  Effect.gen(function*() {
    yield* Names.token("consumer", name)
    const existing = yield* api.consumer(stream, name)
    if (Option.isSome(existing)) {
      return yield* agreeing(stream, name, want, existing.value)
    }
    if (Option.isNone(want)) {
      return yield* Effect.fail(because(new ConsumerNotFound({ stream, consumer: name })))
    }
    return yield* api.makeConsumer(stream, want.value).pipe(
      // Another replica was faster; what it made must be what we want.
      Effect.catchIf(
        (error) => error.reason._tag === "Rejected" && CONSUMER_EXISTS.includes(error.reason.code),
        (error) =>
          Effect.flatMap(api.consumer(stream, name), (found) =>
            Option.isSome(found) ? agreeing(stream, name, want, found.value) : Effect.fail(error))
      )
    )
  })

const agreeing = (
  stream: string,
  name: string,
  want: Option.Option<Topology.Consumer>,
  have: ConsumerState
): Effect.Effect<ConsumerState, TransportError> => {
  const differences = Option.isNone(want) ? [] : Topology.consumerDifferences(want.value, have.info.consumer)
  return differences.length === 0
    ? Effect.succeed(have)
    : Effect.fail(because(new Conflict({ what: `consumer "${name}" of stream "${stream}"`, differences })))
}

/** One ack for a prefix needs `ack_policy: all`; everything else would settle more than it means to under it. */
const checkAcks = (source: Source, flow: Flow, state: ConsumerState): Effect.Effect<void, TransportError> => {
  const needs = source._tag === "ordered" ? "none" : flow.ack._tag === "upTo" ? "all" : "explicit"
  const has = state.info.consumer.ack
  if (has === needs) {
    return Effect.void
  }
  const problem = `the consumer has ack_policy "${has}", but the ack policy "${flow.ack._tag}" needs "${needs}"`
  return Effect.fail(invalid(`consumer "${state.info.consumer.name}"`, problem, "Change one of the two."))
}
