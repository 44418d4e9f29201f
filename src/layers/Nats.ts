/**
 * NATS JetStream as a transport: one scoped connection under a supervisor.
 *
 * The layer connects, or fails fast with the last reason. After that the connection heals by itself, for as long as the
 * layer's scope is open; readers keep their place and their in-flight table, publishers learn what is known of each
 * message.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Api from "../internal/nats/api.ts"
import * as NatsInlet from "../internal/nats/inlet.ts"
import { Link, type LinkEvents } from "../internal/nats/link.ts"
import * as Names from "../internal/nats/names.ts"
import { Publishes } from "../internal/nats/publishes.ts"
import { Requests } from "../internal/nats/requests.ts"
import * as Server from "../internal/nats/server.ts"
import * as Supervisor from "../internal/nats/supervisor.ts"
import * as Spilling from "../internal/spill/inlet.ts"
import { Transport } from "../Transport.ts"
import { because, ConnectFailed, invalid, type Reason, type TransportError } from "../TransportError.ts"

/**
 * The files for TLS.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsFiles {
  /** Who signed the server's certificate, in PEM. Default: the authorities that Node trusts. */
  readonly caFile?: string
  /** This client's own certificate, in PEM, for a server that asks for one. Goes with `keyFile`. */
  readonly certFile?: string
  /** The private key of that certificate, in PEM. */
  readonly keyFile?: string
  /** The TLS handshake comes before the server's INFO; the server must be set up for it (2.10.4 and newer). */
  readonly handshakeFirst?: boolean
}

/**
 * How to reach NATS. Everything but `servers` has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** `nats://host:4222` or `tls://host:4222`; several are tried in turn. Redacted, because a URL may hold a password. */
  readonly servers: Redacted.Redacted | string | ReadonlyArray<string>
  readonly user?: string
  readonly password?: Redacted.Redacted
  readonly token?: Redacted.Redacted
  /** The seed of an NKey: it signs the server's challenge and is never sent. */
  readonly nkeySeed?: Redacted.Redacted
  /** A file with JWT and seed, as `nsc` writes it; read anew at each connect. */
  readonly credsFile?: string
  /** TLS files, read anew at each connect. Present, even empty: TLS is demanded whatever the URL says. */
  readonly tls?: TlsFiles
  /** How the server's monitoring shows this connection. Default `sluice`. */
  readonly name?: string
  /** The first part of private reply subjects; the user needs the right to subscribe below it. Default `_INBOX`. */
  readonly inboxPrefix?: string
  /** How long one attempt to connect may take. Default 5 seconds. */
  readonly connectTimeout?: Duration.Input
  /**
   * The pauses between attempts to connect again. Default: a tenth of the outage so far, at least 100 ms and at most 2 s,
   * jittered, without end. A schedule that ends closes the transport.
   */
  readonly reconnect?: Schedule.Schedule<unknown, TransportError>
  /** How many publishes may be unconfirmed at once; callers wait beyond that. Default 256. */
  readonly publishMessages?: number
  /** How many bytes they may have together. Default 8 MiB. */
  readonly publishBytes?: number
  /** How long one attempt to publish waits for its confirmation. Default 5 seconds. */
  readonly publishTimeout?: Duration.Input
  /** Sends a password or a token in clear text to another machine. Default `false`: refused. */
  readonly allowPlaintextCredentials?: boolean
}

/**
 * Connects to NATS.
 *
 * **Details**
 *
 * The first connect tries each server once and fails with `ConnectFailed` or `AuthFailed`. A connection that is lost
 * later, or silent for 3 seconds, is replaced. `tls://` means TLS. Servers that the cluster announces are not used.
 *
 * **Gotchas**
 *
 * What is stored is as durable as the server makes it: see `Topology.stream`.
 *
 * **Example** (A transport from the environment, and one by hand)
 *
 * ```ts import.meta.vitest
 * import * as Nats from "effect-sluice/layers/Nats"
 * import * as Layer from "effect/Layer"
 *
 * Layer.isLayer(Nats.layer({ servers: ["nats://127.0.0.1:4222"], name: "billing" })) // => true
 * Layer.isLayer(Nats.layerConfig) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Transport, TransportError> =>
  Layer.effect(Transport, make(options))

/**
 * The options from the environment: `NATS_URL` (default `nats://127.0.0.1:4222`; several with commas), `NATS_USER`,
 * `NATS_PASSWORD`, `NATS_TOKEN`, `NATS_NKEY_SEED`, `NATS_CREDS` (a file), `NATS_TLS_CA`, `NATS_TLS_CERT`,
 * `NATS_TLS_KEY` (files), `NATS_NAME`, `NATS_INBOX_PREFIX`, `NATS_ALLOW_PLAINTEXT_CREDENTIALS`. A value that cannot be
 * read fails with `ConfigError`.
 *
 * **Example** (From the environment, but for the name)
 *
 * ```ts import.meta.vitest
 * import * as Nats from "effect-sluice/layers/Nats"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const layer = Layer.unwrap(Effect.map(Nats.config, (options) => Nats.layer({ ...options, name: "billing" })))
 * Layer.isLayer(layer) // => true
 * ```
 *
 * @category config
 * @since 0.1.0
 */
export const config: Config.Config<Options> = Config.map(
  Config.all({
    servers: Config.Redacted("NATS_URL").pipe(Config.withDefault(Redacted.make("nats://127.0.0.1:4222"))),
    user: Config.option(Config.String("NATS_USER")),
    password: Config.option(Config.Redacted("NATS_PASSWORD")),
    token: Config.option(Config.Redacted("NATS_TOKEN")),
    nkeySeed: Config.option(Config.Redacted("NATS_NKEY_SEED")),
    credsFile: Config.option(Config.String("NATS_CREDS")),
    caFile: Config.option(Config.String("NATS_TLS_CA")),
    certFile: Config.option(Config.String("NATS_TLS_CERT")),
    keyFile: Config.option(Config.String("NATS_TLS_KEY")),
    name: Config.option(Config.String("NATS_NAME")),
    inboxPrefix: Config.option(Config.String("NATS_INBOX_PREFIX")),
    allowPlaintextCredentials: Config.Boolean("NATS_ALLOW_PLAINTEXT_CREDENTIALS").pipe(Config.withDefault(false))
  }),
  ({ caFile, certFile, keyFile, ...rest }) => {
    const files = present({ caFile, certFile, keyFile })
    const { allowPlaintextCredentials, servers, ...optional } = rest
    return {
      servers,
      allowPlaintextCredentials,
      ...present(optional),
      ...(Object.keys(files).length === 0 ? undefined : { tls: files })
    }
  }
)

/**
 * Connects as the environment says; see `config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<Transport, TransportError | Config.ConfigError> = Layer.effect(
  Transport,
  Effect.flatMap(config, (options) => make(options))
)

// internals

/** Keeps what is there. */
const present = <A extends Record<string, Option.Option<unknown>>>(options: A) => {
  const found: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(options)) {
    if (Option.isSome(value)) {
      found[key] = value.value
    }
  }
  return found as { [K in keyof A]?: A[K] extends Option.Option<infer V> ? V : never }
}

const millis = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))

const urls = (servers: Options["servers"]): ReadonlyArray<string> =>
  typeof servers === "string"
    ? servers.split(",")
    : Redacted.isRedacted(servers)
    ? Redacted.value(servers).split(",")
    : servers

/** Refuses what would wait for ever, or garble the protocol. */
const checkOptions = ({ inboxPrefix, publishBytes, publishMessages }: Options): Effect.Effect<void, TransportError> => {
  for (const [what, value] of Object.entries({ publishMessages, publishBytes })) {
    if (value !== undefined && !(value >= 1)) {
      return Effect.fail(invalid(what, `it is ${value}, so that nothing could ever be sent`, "Make it at least 1."))
    }
  }
  return inboxPrefix === undefined || INBOX.test(inboxPrefix)
    ? Effect.void
    : Effect.fail(
      invalid("inboxPrefix", "it is not a subject", "Use letters, digits, - and _, with dots between them.")
    )
}

const INBOX = /^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64})*$/

const make = (options: Options): Effect.Effect<Transport["Service"], TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    const servers = yield* Effect.forEach(urls(options.servers), Server.parse)
    yield* checkOptions(options)
    for (const server of servers) {
      yield* Server.checkClearText(server, options, options.tls, options.allowPlaintextCredentials ?? false)
    }
    const supervisor = yield* Supervisor.make({
      servers: servers.map((server) => server.address),
      dial: (address, events) => dial(servers.find((server) => server.address === address)!, options, events),
      reconnect: options.reconnect ?? Supervisor.backoff
    })
    const inbox = `${options.inboxPrefix ?? "_INBOX"}.${Names.random()}`
    const requests = yield* Requests.make(supervisor, `${inbox}.r`)
    const publishes = yield* Publishes.make(supervisor, `${inbox}.p`, {
      messages: options.publishMessages ?? 256,
      bytes: options.publishBytes ?? 8 * 1024 * 1024,
      ackWithinMs: millis(options.publishTimeout ?? 5_000),
      connectWithinMs: 2_000
    })
    const api = Api.make(requests, () => supervisor.capabilities)
    let inlets = 0
    return Transport.of({
      capabilities: Effect.sync(() => supervisor.capabilities),
      status: SubscriptionRef.changes(supervisor.status),
      publish: publishes.publish,
      open: Spilling.over((source, flow) =>
        NatsInlet.open({ supervisor, api, inbox: `${inbox}.c${++inlets}` }, source, flow)
      ),
      topology: Option.some(api)
    })
  })

const dial = (server: Server.Server, options: Options, events: LinkEvents): Effect.Effect<Link, TransportError> =>
  Effect.gen(function*() {
    const timeoutMs = millis(options.connectTimeout ?? 5_000)
    const vendor = yield* Server.dialOptions(server, options, options.tls)
    const connecting = Effect.callback<Link, TransportError>((resume) => {
      let wanted = true
      Link.connect(server.address, { ...vendor, name: options.name ?? "sluice", timeout: timeoutMs }, events).then(
        (link) => wanted ? resume(Effect.succeed(link)) : link.discard(),
        (reason: Reason) => resume(Effect.fail(because(reason)))
      )
      return Effect.sync(() => {
        wanted = false
      })
    })
    return yield* Effect.timeoutOrElse(connecting, {
      duration: timeoutMs + 500,
      orElse: () => {
        const detail = `no connection within ${timeoutMs} ms`
        return Effect.fail(because(new ConnectFailed({ servers: [server.address], detail })))
      }
    })
  })
