/**
 * Chooses the broker: the only place above the layers that knows one by name.
 */
import { Flag } from "effect/cli"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Memory from "../layers/Memory.ts"
import * as Nats from "../layers/Nats.ts"
import * as NatsThread from "../layers/NatsThread.ts"
import type { Transport } from "../Transport.ts"
import { ExitWith } from "./exit.ts"
import { Stop } from "./stop.ts"

export const server = Flag.String("server").pipe(
  Flag.withAlias("s"),
  Flag.withMetavar("URL"),
  Flag.withDescription("Where NATS listens. Default: NATS_URL, else nats://127.0.0.1:4222"),
  Flag.optional
)

/** A broker in this process, or NATS by a connection in a thread of its own, or by one on the thread of all. */
export type Place =
  | { readonly _tag: "embedded" | "inline" }
  | { readonly _tag: "thread"; readonly health: NatsThread.Options["health"] }

export const inline: Place = { _tag: "inline" }

/** Everything but the address (credentials, TLS) comes from the environment, also when `--server` is given. */
const layer = (server: Option.Option<string>, place: Place) =>
  place._tag === "embedded" ? Memory.layer() : nats(place).pipe(
    Layer.provide(Option.match(server, {
      onNone: () => Layer.empty,
      onSome: (url) => ConfigProvider.layerAdd(ConfigProvider.fromEnvRecord({ NATS_URL: url }), { asPrimary: true })
    }))
  )

const nats = (place: Place) =>
  place._tag === "thread"
    ? Layer.unwrap(Effect.map(Nats.config, (options) => NatsThread.layer({ ...options, health: place.health })))
    : Nats.layerConfig

/** Connects and then runs. Being told to stop while connecting ends the program there, with `code`. */
export const connected = <A, E, R>(options: {
  readonly server: Option.Option<string>
  readonly place: Place
  readonly whenStopped: 0 | 130
}, effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const stop = yield* Stop
    const scope = yield* Scope.Scope
    const context = yield* Effect.raceFirst(
      Layer.buildWithScope(layer(options.server, options.place), scope),
      Effect.andThen(stop.requested, Effect.fail(new ExitWith({ code: options.whenStopped, message: "" })))
    )
    return yield* Effect.provideContext(effect, context)
  })) as Effect.Effect<
    A,
    E | ExitWith | Layer.Error<ReturnType<typeof layer>>,
    Exclude<R, Transport | Scope.Scope> | Stop
  >
