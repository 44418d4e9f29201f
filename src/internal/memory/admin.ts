/** Streams and consumers of a broker in memory, for whoever may reach it. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { TopologyAdmin } from "../../Transport.ts"
import type { Reason, TransportError } from "../../TransportError.ts"
import { checkPurge } from "../purge.ts"
import type { Broker } from "./broker.ts"
import { ensure } from "./reading.ts"

/** Answers as the broker does, if `reachable` succeeds. */
export const admin = (broker: Broker, reachable: Effect.Effect<void, TransportError>): TopologyAdmin => {
  const ask = <A>(run: () => Result.Result<A, TransportError>): Effect.Effect<A, TransportError> =>
    Effect.andThen(reachable, Effect.suspend(() => Effect.fromResult(run())))
  const find = <A>(reason: Reason["_tag"], run: () => Result.Result<A, TransportError>) =>
    ask(run).pipe(
      Effect.map(Option.some),
      Effect.catchIf((error) => error.reason._tag === reason, () => Effect.succeed(Option.none<A>()))
    )
  return {
    describeStream: (name) => find("StreamNotFound", () => Result.map(broker.stream(name), (stream) => stream.info)),
    createStream: (stream) => ask(() => broker.createStream(stream)),
    deleteStream: (name) => ask(() => broker.deleteStream(name)),
    purgeStream: (name, purge) => Effect.andThen(checkPurge(purge), ask(() => broker.purgeStream(name, purge ?? {}))),
    deleteMessage: (stream, sequence) => ask(() => broker.deleteMessage(stream, sequence)),
    describeConsumer: (stream, name) =>
      find("ConsumerNotFound", () => Result.map(broker.consumer(stream, name), (consumer) => consumer.info)),
    createConsumer: (stream, consumer) =>
      Effect.asVoid(ask(() => ensure(broker, { stream, consumer: consumer.name }, Option.some(consumer), false))),
    deleteConsumer: (stream, name) => ask(() => broker.deleteConsumer(stream, name))
  }
}
