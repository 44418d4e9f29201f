/** The options of a connection as they cross to the I/O thread: a secret, a duration and a list of servers as plain data. */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import type { Address } from "../../internal/health/endpoint.ts"
import type * as Nats from "../Nats.ts"

type Options = Omit<Nats.Options, "reconnect">

const SECRETS = ["password", "token", "nkeySeed"] as const
const DURATIONS = ["connectTimeout", "publishTimeout"] as const

export interface Portable {
  /** With commas; it may hold a password, and goes no other way than through the port. */
  readonly servers: string
  readonly secrets: Readonly<Partial<Record<typeof SECRETS[number], string>>>
  readonly durations: Readonly<Partial<Record<typeof DURATIONS[number], number>>>
  /** Where the thread answers questions about its health; nowhere if it is not told. */
  readonly health: Address | undefined
  readonly rest: Omit<Options, "servers" | typeof SECRETS[number] | typeof DURATIONS[number]>
}

export const portable = (options: Options, health?: Address): Portable => {
  const { connectTimeout: _c, nkeySeed: _n, password: _p, publishTimeout: _u, servers, token: _t, ...rest } = options
  const secrets: Record<string, string> = {}
  for (const name of SECRETS) {
    const secret = options[name]
    if (secret !== undefined) {
      secrets[name] = Redacted.value(secret)
    }
  }
  const durations: Record<string, number> = {}
  for (const name of DURATIONS) {
    const duration = options[name]
    if (duration !== undefined) {
      durations[name] = Duration.toMillis(Duration.fromInputUnsafe(duration))
    }
  }
  return { servers: textOf(servers), secrets, durations, health, rest }
}

export const optionsOf = ({ durations, rest, secrets, servers }: Portable): Nats.Options => ({
  ...rest,
  ...durations,
  ...Object.fromEntries(Object.entries(secrets).map(([name, secret]) => [name, Redacted.make(secret)])),
  servers: Redacted.make(servers)
})

// internals

const textOf = (servers: Options["servers"]): string =>
  typeof servers === "string" ? servers : Redacted.isRedacted(servers) ? Redacted.value(servers) : servers.join(",")
