/** Finds, compares or makes the consumer that a source asks for. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Topology from "../../Topology.ts"
import type { Flow, Source, TopologyAdmin } from "../../Transport.ts"
import { because, Conflict, ConsumerNotFound, type TransportError } from "../../TransportError.ts"
import { checkAcks } from "../port.ts"
import { CONSUMER_EXISTS } from "./codes.ts"
import type { ConsumerState } from "./mapping.ts"
import * as Names from "./names.ts"

/** What can be asked of the server about consumers. */
export interface ConsumerCalls {
  /** The consumer, with the limits that it sets for pulls. */
  readonly consumer: (stream: string, name: string) => Effect.Effect<Option.Option<ConsumerState>, TransportError>
  readonly makeConsumer: (
    stream: string,
    consumer: Topology.Consumer,
    options?: { readonly ephemeral: boolean }
  ) => Effect.Effect<ConsumerState, TransportError>
  readonly streamState: (name: string) => Effect.Effect<
    Option.Option<{ readonly lastSequence: number; readonly createdMs: number }>,
    TransportError
  >
}

/** A consumer that disappears by itself when this process is gone, but survives an outage of some minutes. */
const INACTIVE_MS = 5 * 60_000
const EPHEMERAL_ACK_WAIT_MS = 30_000
const DELETE_WITHIN_MS = 1_000
const STREAM_POLL_MS = 100
const STREAM_AWAY_MS = 2_000

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
  api: ConsumerCalls,
  source: Source,
  want: Option.Option<Topology.Consumer>,
  flow: Flow
): Effect.Effect<ConsumerState, TransportError> =>
  Effect.gen(function*() {
    const state = source._tag === "durable"
      ? yield* durable(api, source.stream, source.consumer, want)
      : yield* api.makeConsumer(source.stream, Option.getOrThrow(want), { ephemeral: true })
    yield* checkAcks(source, flow, state.info.consumer)
    return state
  })

/**
 * Makes a consumer of ours anew, beginning where reading stopped. If the stream is younger than the consumer that was, or
 * does not reach that far, it is another one of the same name: then all of it is new, `forget` is called, and reading
 * begins at its beginning. Without the right to ask for the stream that stays unseen.
 */
export const makeAgain = (
  api: ConsumerCalls,
  source: Source,
  { lastMadeMs, resumeAt }: { readonly lastMadeMs: number; readonly resumeAt: number },
  forget: () => void
): Effect.Effect<ConsumerState, TransportError> =>
  Effect.flatMap(Effect.option(api.streamState(source.stream)), (found) => {
    const stream = Option.getOrUndefined(Option.flatten(found))
    if (stream === undefined || (stream.createdMs <= lastMadeMs && stream.lastSequence + 1 >= resumeAt)) {
      return makeAt(api, source, resumeAt)
    }
    forget()
    return makeAt(api, source, 1)
  })

/** Somebody who deletes a stream often makes it anew at once: not being there counts only when it lasts. */
export const untilStreamStaysAway = <A>(effect: Effect.Effect<A, TransportError>): Effect.Effect<A, TransportError> =>
  Effect.retry(effect, {
    schedule: Schedule.upTo(Schedule.spaced(STREAM_POLL_MS), { duration: STREAM_AWAY_MS }),
    while: (error) => error.reason._tag === "StreamNotFound"
  })

const makeAt = (
  api: ConsumerCalls,
  source: Source,
  sequence: number
): Effect.Effect<ConsumerState, TransportError> => {
  const want = Option.getOrThrow(wanted(source))
  const asDeclared = sequence === 1 && want.start._tag === "lastPerSubject"
  const consumer: Topology.Consumer = asDeclared ? want : { ...want, start: { _tag: "sequence", sequence } }
  return source._tag === "durable"
    ? durable(api, source.stream, source.consumer, Option.some(consumer))
    : api.makeConsumer(source.stream, consumer, { ephemeral: true })
}

/**
 * A consumer that nobody else can use is not left behind. When it is not sure that it exists, the request to make it may
 * still be under way.
 */
export const cleanUp = (
  api: Pick<TopologyAdmin, "deleteConsumer">,
  source: Source,
  made: Option.Option<string>,
  isSure: boolean
): Effect.Effect<void> => {
  if (source._tag === "durable" || Option.isNone(made)) {
    return Effect.void
  }
  const deleted = Effect.retry(api.deleteConsumer(source.stream, made.value), {
    schedule: Schedule.spaced(50),
    times: isSure ? 0 : 3
  })
  return Effect.ignore(Effect.timeoutOption(deleted, DELETE_WITHIN_MS))
}

/**
 * The durable as it is, if it agrees with what is wanted; made, if it is missing and wanted. The server's own "create"
 * would overwrite an existing one before 2.10.
 */
export const durable = (
  api: ConsumerCalls,
  stream: string,
  name: string,
  want: Option.Option<Topology.Consumer>
): Effect.Effect<ConsumerState, TransportError> =>
  Effect.gen(function*() {
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

// internals

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
