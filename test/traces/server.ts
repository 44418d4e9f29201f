/** A nats-server as a stage: many programs at once, each with a connection of its own, through a gate if it is cut. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Nats from "../../src/layers/Nats.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { gates } from "./gates.ts"
import type { Program } from "./program.ts"
import type { Stage } from "./stage.ts"

export interface Server {
  readonly version: string
  /** A place for one program, for as long as the scope is open. */
  readonly stage: (program: Program) => Effect.Effect<Stage, never, Scope.Scope>
}

/** A cut connection is dialled again so soon after it is mended. */
const REDIAL_MS = 25
/** From a publish to what it brings about. */
const REST_MS = 8
const SPREAD = 50
const SPREAD_MS = 30
/** Whoever begins does so a moment later, when everything stands. */
const HEAD_START_MS = 20

/** The newest of the wanted servers, for as long as the scope is open. */
export const scoped: Effect.Effect<Server, never, Scope.Scope> = Effect.gen(function*() {
  const server = yield* NatsServer.scoped({ version: NatsServer.wantedVersions().at(-1) })
  const open = yield* gates(server)
  const witness = yield* connect(server.url)
  let stages = 0
  return {
    version: server.version,
    stage: (program) =>
      Effect.gen(function*() {
        const isCut = program.steps.some(({ operation }) => operation._tag === "cut")
        const gate = isCut ? yield* open : undefined
        // Not all at once: whoever connects, makes everybody late.
        yield* Effect.sleep((stages++ % SPREAD) * SPREAD_MS)
        const client = yield* connect(gate?.url ?? server.url)
        const beganAt = Date.now() + HEAD_START_MS
        return {
          client,
          witness,
          beganAt,
          rest: Effect.sleep(REST_MS),
          until: (ms) => Effect.suspend(() => Effect.sleep(Math.max(0, beganAt + ms - Date.now()))),
          cut: gate?.close ?? Effect.void,
          mend: gate === undefined ? Effect.void : Effect.andThen(gate.open, connected(client))
        }
      })
  }
})

/** Waits until it stands again; a moment later everybody who lives on it has asked anew. */
const connected = (client: Transport["Service"]): Effect.Effect<void> =>
  client.status.pipe(
    Stream.filter((status) => status._tag === "Connected"),
    Stream.runHead,
    Effect.andThen(Effect.sleep(4 * REST_MS))
  )

const connect = (url: string): Effect.Effect<Transport["Service"], never, Scope.Scope> =>
  Layer.build(Nats.layer({ servers: url, reconnect: Schedule.spaced(REDIAL_MS) })).pipe(
    Effect.map((context) => Context.get(context, Transport)),
    Effect.orDie,
    Effect.provide(Logger.layer([]))
  )
