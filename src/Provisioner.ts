/**
 * Makes sure that streams and consumers exist as declared.
 *
 * `ensure` creates what is missing and touches nothing else. Where something of the same name stands with other
 * settings, it names every difference and fails before it has created anything: a running system's stream is not for a
 * starting program to reshape.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Topology from "./Topology.ts"
import { Transport } from "./Transport.ts"
import type { TopologyAdmin } from "./Transport.ts"
import * as TransportError from "./TransportError.ts"

/**
 * One declared object, and whether it was there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ensured {
  readonly _tag: "Stream" | "Consumer"
  readonly stream: string
  /** The consumer's name; empty for a stream. */
  readonly consumer: string
  /** `false`: it stood already, exactly as declared. */
  readonly created: boolean
}

/**
 * Creates the streams and consumers that are missing, streams first.
 *
 * **When to use**
 *
 * At the start of a program; `Worker.run` does it for the worker's topology. Idempotent, and safe when several programs
 * start at once: whoever finds that another was faster compares instead of creating.
 *
 * **Details**
 *
 * What exists and differs from its declaration fails with the reason `Conflict`, which lists all differences of all
 * objects; nothing is created then. A broker that cannot create streams fails with `Unsupported`.
 *
 * **Gotchas**
 *
 * `start` of a consumer that exists is not compared: it only says where a new one begins. Nothing is undone: when the
 * second of two streams cannot be created, the first stays.
 *
 * **Example** (A stream, made once and found from then on)
 *
 * ```ts import.meta.vitest
 * import * as Memory from "effect-sluice/layers/Memory"
 * import * as Provisioner from "effect-sluice/Provisioner"
 * import * as Topology from "effect-sluice/Topology"
 * import * as Effect from "effect/Effect"
 *
 * const orders = Topology.stream("ORDERS", { subjects: ["orders.>"] })
 *
 * const program = Effect.gen(function*() {
 *   const first = yield* Provisioner.ensure(orders)
 *   const second = yield* Provisioner.ensure(orders)
 *   return [...first, ...second].map((ensured) => ensured.created)
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Memory.layer())) // => [true, false]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const ensure = Effect.fnUntraced(function*(
  declared: Topology.Topology | Topology.Stream | ReadonlyArray<Topology.Stream>
): Effect.fn.Return<ReadonlyArray<Ensured>, TransportError.TransportError, Transport> {
  const transport = yield* Transport
  const objects = objectsOf(normalize(declared))
  if (objects.length === 0) {
    return []
  }
  if (Option.isNone(transport.topology)) {
    const { broker } = yield* transport.capabilities
    return yield* TransportError.because(
      new TransportError.Unsupported({
        feature: "creating streams",
        broker,
        needs: "a transport with a topology"
      })
    )
  }
  const admin = transport.topology.value
  const states = yield* Effect.forEach(objects, (object) => inspect(admin, object))
  yield* refuseConflicts(objects, states)
  return yield* Effect.forEach(objects, (object, index) =>
    states[index]?.exists === true
      ? Effect.succeed(ensured(object, false))
      : create(admin, object))
})

// internals

/** A stream to be, or a consumer to be: the same steps for both. */
type Declared =
  | { readonly _tag: "Stream"; readonly stream: Topology.Stream }
  | { readonly _tag: "Consumer"; readonly stream: string; readonly consumer: Topology.Consumer }

interface State {
  readonly exists: boolean
  readonly differences: ReadonlyArray<string>
}

const normalize = (
  declared: Topology.Topology | Topology.Stream | ReadonlyArray<Topology.Stream>
): Topology.Topology => {
  if ("streams" in declared) {
    return declared
  }
  return { streams: "name" in declared ? [declared] : declared, consumers: [] }
}

const objectsOf = (topology: Topology.Topology): ReadonlyArray<Declared> => [
  ...topology.streams.map((stream): Declared => ({ _tag: "Stream", stream })),
  ...topology.consumers.map(({ consumer, stream }): Declared => ({ _tag: "Consumer", stream, consumer }))
]

const nameOf = (object: Declared): string =>
  object._tag === "Stream"
    ? `stream "${object.stream.name}"`
    : `consumer "${object.consumer.name}" of stream "${object.stream}"`

const ensured = (object: Declared, created: boolean): Ensured =>
  object._tag === "Stream"
    ? { _tag: "Stream", stream: object.stream.name, consumer: "", created }
    : { _tag: "Consumer", stream: object.stream, consumer: object.consumer.name, created }

const missing: State = { exists: false, differences: [] }

const inspect = (admin: TopologyAdmin, object: Declared): Effect.Effect<State, TransportError.TransportError> => {
  if (object._tag === "Stream") {
    return Effect.map(admin.describeStream(object.stream.name), (info) =>
      Option.isNone(info)
        ? missing
        : { exists: true, differences: Topology.streamDifferences(object.stream, info.value.stream) })
  }
  if (object.consumer.name === "") {
    return Effect.fail(TransportError.invalid(
      `a consumer of stream "${object.stream}"`,
      "it has no name, and an unnamed consumer lives only as long as its reader",
      "Name it, or leave it out of the topology: its reader makes it."
    ))
  }
  // The stream may be missing too, and about to be created: then so is the consumer.
  return admin.describeConsumer(object.stream, object.consumer.name).pipe(
    Effect.map((info) =>
      Option.isNone(info)
        ? missing
        : { exists: true, differences: Topology.consumerDifferences(object.consumer, info.value.consumer) }
    ),
    Effect.catchReason("TransportError", "StreamNotFound", () => Effect.succeed(missing))
  )
}

const refuseConflicts = (
  objects: ReadonlyArray<Declared>,
  states: ReadonlyArray<State>
): Effect.Effect<void, TransportError.TransportError> => {
  const conflicts = objects.flatMap((object, index) => {
    const differences = states[index]?.differences ?? []
    return differences.length === 0 ? [] : [{ what: nameOf(object), differences }]
  })
  const [first, ...others] = conflicts
  if (first === undefined) {
    return Effect.void
  }
  return others.length === 0 ? Effect.fail(conflict(first.what, first.differences)) : Effect.fail(conflict(
    conflicts.map(({ what }) => what).join(", "),
    conflicts.flatMap(({ differences, what }) => differences.map((difference) => `${what}: ${difference}`))
  ))
}

const conflict = (what: string, differences: ReadonlyArray<string>): TransportError.TransportError =>
  TransportError.because(new TransportError.Conflict({ what, differences }))

/**
 * A creation that failed is judged by what stands afterwards: another program may have been faster, or the broker's
 * answer may have been lost on the way. Only if nothing stands there is the failure ours.
 */
const create = (admin: TopologyAdmin, object: Declared): Effect.Effect<Ensured, TransportError.TransportError> => {
  const creating = object._tag === "Stream"
    ? admin.createStream(object.stream)
    : admin.createConsumer(object.stream, object.consumer)
  return Effect.catch(
    Effect.as(creating, ensured(object, true)),
    (failure) =>
      inspect(admin, object).pipe(
        Effect.mapError(() => failure),
        Effect.flatMap((state) => {
          if (!state.exists) {
            return Effect.fail(failure)
          }
          return state.differences.length === 0
            ? Effect.succeed(ensured(object, false))
            : Effect.fail(conflict(nameOf(object), state.differences))
        })
      )
  )
}
