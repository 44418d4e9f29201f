/**
 * Server addresses and credentials, checked before anything goes out
 * ([connection URLs](https://docs.nats.io/using-nats/developer/connecting)).
 *
 * The vendor's client ignores both the `tls` scheme and credentials inside a URL; here they mean what they say.
 */
import { type ConnectionOptions, credsAuthenticator, nkeyAuthenticator } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { readFileSync } from "node:fs"
import { AuthFailed, because, invalid, type TransportError } from "../../TransportError.ts"

export interface Credentials {
  readonly user?: string
  readonly password?: Redacted.Redacted
  readonly token?: Redacted.Redacted
  readonly nkeySeed?: Redacted.Redacted
  readonly credsFile?: string
}

export interface TlsFiles {
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
  /** The TLS handshake comes before the server's INFO; the server must be set up for it (2.10.4 and newer). */
  readonly handshakeFirst?: boolean
}

export interface Server {
  /** `host:port`, without credentials: safe to show. */
  readonly address: string
  readonly tls: boolean
  readonly loopback: boolean
  readonly credentials: Credentials
}

const DEFAULT_PORT = "4222"
/** An address: anybody can own a name that begins with 127. */
const LOOPBACK = /^127(\.\d{1,3}){3}$/
const SCHEMES = ["nats:", "tls:", "nats+tls:"]

/** Reads one URL. Never shows it: it may hold a password. */
export const parse = (text: string): Effect.Effect<Server, TransportError> =>
  Effect.suspend(() => {
    const trimmed = text.trim()
    const url = URL.parse(trimmed.includes("://") ? trimmed : `nats://${trimmed}`)
    if (url === null || url.hostname === "" || !SCHEMES.includes(url.protocol)) {
      const hint = "Write nats://host:4222, or tls://host:4222 for TLS; several with commas between them."
      return Effect.fail(invalid("NATS_URL", "one of the addresses is not a NATS URL", hint))
    }
    const host = url.hostname
    const [user, password] = [decoded(url.username), decoded(url.password)]
    if (user === undefined || password === undefined) {
      const problem = "the user or the password in one of the addresses is not encoded as in a URL"
      return Effect.fail(
        invalid("NATS_URL", problem, "Write %25 for %, %40 for @; or use NATS_USER and NATS_PASSWORD.")
      )
    }
    return Effect.succeed({
      address: `${host}:${url.port === "" ? DEFAULT_PORT : url.port}`,
      tls: url.protocol !== "nats:",
      loopback: host === "localhost" || host === "[::1]" || LOOPBACK.test(host),
      credentials: user === ""
        ? {}
        : password === ""
        ? { token: Redacted.make(user) }
        : { user, password: Redacted.make(password) }
    })
  })

/** Refuses to send a password or a token in clear text to another machine. */
export const checkClearText = (
  server: Server,
  credentials: Credentials,
  tls: TlsFiles | undefined,
  allowed: boolean
): Effect.Effect<void, TransportError> => {
  const secret = [credentials, server.credentials].some((c) => c.password !== undefined || c.token !== undefined)
  if (!secret || server.tls || server.loopback || tls !== undefined || allowed) {
    return Effect.void
  }
  const problem = `the password or token for ${server.address} would travel in clear text`
  const hint =
    "Use tls://, an NKey or a creds file; or set NATS_ALLOW_PLAINTEXT_CREDENTIALS=true if the network is safe."
  return Effect.fail(invalid("credentials", problem, hint))
}

/** The vendor's options for one dial. Files are read anew, so that rotated credentials and certificates are found. */
export const dialOptions = (
  server: Server,
  credentials: Credentials,
  tls: TlsFiles | undefined
): Effect.Effect<ConnectionOptions, TransportError> =>
  Effect.try({
    try: () => ({ ...authOptions({ ...server.credentials, ...credentials }), ...tlsOptions(server, tls) }),
    catch: (cause) =>
      because(new AuthFailed({ detail: cause instanceof Error ? cause.message : "unreadable credentials" }))
  })

// internals

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const authOptions = (credentials: Credentials): ConnectionOptions => {
  if (credentials.credsFile !== undefined) {
    return { authenticator: credsAuthenticator(new Uint8Array(readFileSync(credentials.credsFile))) }
  }
  if (credentials.nkeySeed !== undefined) {
    return { authenticator: nkeyAuthenticator(new TextEncoder().encode(Redacted.value(credentials.nkeySeed))) }
  }
  if (credentials.token !== undefined) {
    return { token: Redacted.value(credentials.token) }
  }
  if (credentials.user !== undefined) {
    return {
      user: credentials.user,
      ...(credentials.password === undefined ? undefined : { pass: Redacted.value(credentials.password) })
    }
  }
  return {}
}

const tlsOptions = (server: Server, tls: TlsFiles | undefined): ConnectionOptions =>
  server.tls || tls !== undefined
    ? {
      tls: {
        ...(tls?.caFile === undefined ? undefined : { caFile: tls.caFile }),
        ...(tls?.certFile === undefined ? undefined : { certFile: tls.certFile }),
        ...(tls?.keyFile === undefined ? undefined : { keyFile: tls.keyFile }),
        ...(tls?.handshakeFirst === true ? { handshakeFirst: true } : undefined)
      }
    }
    : {}
