/**
 * Real nats-servers for tests: started on a free port, killed, frozen, restarted, and gone afterwards.
 *
 * Which servers: `TEST_NATS_VERSIONS` (`2.9,2.10,latest`; without it, the first one the machine offers), through
 * `wantedVersions()`. Where they come from: see `nats/find.ts`.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { setTimeout as sleep } from "node:timers/promises"
import { makeContainer } from "./nats/container.ts"
import { find, wantedVersions } from "./nats/find.ts"
import type { Found } from "./nats/find.ts"
import { readInfo } from "./nats/info.ts"
import type { ServerInfo } from "./nats/info.ts"
import { configFile } from "./nats/machine.ts"
import type { Machine, Signal } from "./nats/machine.ts"
import { freePort, isFree } from "./nats/port.ts"
import { makeProcess } from "./nats/process.ts"

export { freePort, readInfo, wantedVersions }
export type { ServerInfo }

export interface Options {
  /** One of `wantedVersions()`: `2.9`, `2.10.27`, `latest`, or `any` for the first the machine offers. */
  readonly version?: string | undefined
  /** Default: a free one. */
  readonly port?: number | undefined
  /**
   * Default: on, with nothing but a store directory. Text goes inside the `jetstream { … }` block; `false` leaves it
   * out.
   */
  readonly jetstream?: boolean | string | undefined
  /** More configuration, in the server's own language: accounts, permissions, tls, limits. */
  readonly config?: string | undefined
  /** Files laid beside the configuration, which may name them without a directory: certificates, keys. */
  readonly files?: Readonly<Record<string, string>> | undefined
  /** How long it may take until it answers. Default: 15 s. */
  readonly readyWithinMillis?: number | undefined
}

export interface NatsServer {
  /** `nats://127.0.0.1:<port>`; without credentials. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** As the server itself says it, like `2.10.27`. */
  readonly version: string
  readonly via: "binary" | "docker"
  /** Ends it as a crash would (SIGKILL). The store stays. */
  readonly kill: () => Promise<void>
  /**
   * Starts it again on the same port and store, killing it first if it still runs. New `config` replaces the old one.
   */
  readonly restart: (changes?: Pick<Options, "config" | "files">) => Promise<void>
  /** Stops it in time, connections open: the peer that neither answers nor goes away. */
  readonly freeze: () => Promise<void>
  readonly thaw: () => Promise<void>
  /** `SIGHUP` with new `config` reloads it; `SIGUSR2` enters lame duck mode. */
  readonly signal: (name: Signal, changes?: Pick<Options, "config" | "files">) => Promise<void>
  /** Asks over a fresh connection. */
  readonly info: () => Promise<ServerInfo>
  readonly logs: () => Promise<string>
  /** Ends it and removes its store and files. Asking twice is fine. */
  readonly stop: () => Promise<void>
}

const configText = (machine: Machine, port: number, options: Options): string => {
  const jetstream = options.jetstream ?? true
  const inside = typeof jetstream === "string" ? `\n${jetstream}\n` : ""
  return [
    `listen: "${machine.listen(port)}"`,
    `server_name: "sluice-test-${port}"`,
    jetstream === false ? "" : `jetstream {\n  store_dir: "${machine.storeDir}"\n${inside}}`,
    options.config ?? "",
    ""
  ].join("\n")
}

const filesOf = (machine: Machine, port: number, options: Options): Record<string, string> => ({
  ...options.files,
  [configFile]: configText(machine, port, options)
})

class StartFailed extends Error {
  override readonly name = "StartFailed"
  readonly portWasTaken: boolean

  constructor(problem: string, logs: string) {
    super(`nats-server ${problem}. Its log ends with:\n${logs.trim().split("\n").slice(-12).join("\n")}`)
    this.portWasTaken = /address already in use|port is already allocated/i.test(logs)
  }
}

/** Boots and waits until the server says INFO, which it does only after JetStream has recovered its streams. */
const bootAndWait = async (machine: Machine, port: number, options: Options): Promise<ServerInfo> => {
  await machine.write(filesOf(machine, port, options))
  await machine.boot(port)
  const within = options.readyWithinMillis ?? 15_000
  const deadline = performance.now() + within
  while (performance.now() < deadline) {
    const info = await readInfo(machine.host, port).catch(() => undefined)
    const isRunning = await machine.isRunning()
    // Asked in this order: whoever answers on the port of a server that has ended is somebody else.
    if (!isRunning) throw new StartFailed("ended while starting", await machine.logs())
    if (info !== undefined) return info
    await sleep(15)
  }
  throw new StartFailed(`did not answer within ${within} ms`, await machine.logs())
}

const makeMachine = (found: Found): Promise<Machine> =>
  found.via === "binary" ? makeProcess(found.path) : Promise.resolve(makeContainer(found.image))

/** Another process may take the free port before the server does; then there are other ports. */
const startSomewhere = async (found: Found, options: Options) => {
  for (let attempt = 1;; attempt++) {
    const machine = await makeMachine(found)
    const port = options.port ?? await freePort()
    try {
      return { machine, port, info: await bootAndWait(machine, port, options) }
    } catch (error) {
      await machine.dispose()
      const again = error instanceof StartFailed && error.portWasTaken && options.port === undefined && attempt < 5
      if (!again) throw error
    }
  }
}

/**
 * Starts a server and waits until it answers. The caller stops it; when the caller dies first, it is stopped all the
 * same.
 */
export const start = async (options: Options = {}): Promise<NatsServer> => {
  const found = await find(options.version ?? wantedVersions().at(-1)!)
  // Whoever listens there would be taken for the new server, which needs a moment to find out and end.
  if (options.port !== undefined && !(await isFree(options.port))) {
    throw new Error(`port ${options.port} of 127.0.0.1 is taken: choose another, or leave it out for a free one`)
  }
  const { info, machine, port } = await startSomewhere(found, options)
  let current = options
  let isFrozen = false
  const kill = async () => {
    isFrozen = false
    await machine.signal("SIGKILL")
  }
  return {
    url: `nats://${machine.host}:${port}`,
    host: machine.host,
    port,
    version: info.version,
    via: found.via,
    kill,
    restart: async (changes = {}) => {
      current = { ...current, ...changes }
      await kill()
      await bootAndWait(machine, port, current)
    },
    freeze: async () => {
      if (!isFrozen) await machine.pause()
      isFrozen = true
    },
    thaw: async () => {
      if (isFrozen) await machine.resume()
      isFrozen = false
    },
    signal: async (name, changes) => {
      if (changes !== undefined) {
        current = { ...current, ...changes }
        await machine.write(filesOf(machine, port, current))
      }
      await machine.signal(name)
    },
    // A busy machine keeps it waiting; one that is down is known at once.
    info: () => readInfo(machine.host, port, 10_000),
    logs: machine.logs,
    stop: async () => {
      // A frozen process hears nothing but SIGKILL.
      await machine.signal(isFrozen ? "SIGKILL" : "SIGTERM")
      await machine.dispose()
    }
  }
}

/** A server for as long as the scope is open. Not finding or starting one is a defect: no test can go on without. */
export const scoped = (options: Options = {}): Effect.Effect<NatsServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => start(options)),
    (server) => Effect.promise(() => server.stop())
  )
