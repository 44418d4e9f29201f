/** Clients in this very process, ours and the vendor's, for what is asked of one connection. */
import { connect } from "@nats-io/transport-node"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Headers from "../../../src/Headers.ts"
import * as Nats from "../../../src/layers/Nats.ts"
import * as NatsThread from "../../../src/layers/NatsThread.ts"
import type { Outgoing } from "../../../src/Message.ts"
import { Transport } from "../../../src/Transport.ts"
import type { TransportError } from "../../../src/TransportError.ts"
import { type NatsServer, type Options, start } from "../../support/nats-server.ts"
import type { Mode } from "../orders.ts"
import type { Outcome } from "./Row.ts"

export interface User {
  readonly name: string
  readonly inbox: string
}

export const ADMIN: User = { name: "admin", inbox: "_INBOX" }
export const WITHIN_MS = 5_000

export const layer = (
  mode: Mode,
  { url }: NatsServer,
  { inbox, name }: User
): Layer.Layer<Transport, TransportError> => {
  const options = { servers: url, user: name, password: Redacted.make("p"), inboxPrefix: inbox }
  return mode === "thread" ? NatsThread.layer(options) : Nats.layer(options)
}

export const ours = <A, E>(
  mode: Mode,
  server: NatsServer,
  user: User,
  program: Effect.Effect<A, E, Transport>
): Promise<A> => Effect.runPromise(Effect.provide(program, layer(mode, server, user)))

export const raw = ({ url }: NatsServer, { inbox, name }: User) =>
  connect({
    servers: url,
    user: name,
    pass: "p",
    inboxPrefix: inbox,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    ignoreAuthErrorAbort: true
  })

export const withServer = async (options: Options, use: (server: NatsServer) => Promise<Outcome>): Promise<Outcome> => {
  const server = await start(options)
  try {
    return await use(server)
  } finally {
    await server.stop()
  }
}

export const message = (id: string, bytes: number): Outgoing => ({
  subject: "s.a",
  payload: new Uint8Array(bytes),
  headers: Headers.empty,
  id
})

export const batch = (...messages: ReadonlyArray<Outgoing>) => messages as unknown as NonEmptyReadonlyArray<Outgoing>
