/**
 * What a test needs of the thing a nats-server runs on, be it a process or a container.
 */
export interface Machine {
  readonly host: string
  /** Where the server has to listen inside so that it is reached from outside at `host:port`. */
  readonly listen: (port: number) => string
  /** Where JetStream keeps its files; outlives the server, not the machine. */
  readonly storeDir: string
  /** Lays files into the server's working directory; `nats.conf` among them before the first boot. */
  readonly write: (files: Readonly<Record<string, string>>) => Promise<void>
  /** Starts a server with `nats.conf`. Resolves when it runs, not when it is ready. */
  readonly boot: (port: number) => Promise<void>
  readonly signal: (name: Signal) => Promise<void>
  readonly pause: () => Promise<void>
  readonly resume: () => Promise<void>
  readonly isRunning: () => Promise<boolean>
  /** Everything the server has said since the first boot. */
  readonly logs: () => Promise<string>
  /** Ends whatever still runs and removes every trace. */
  readonly dispose: () => Promise<void>
}

/** `SIGHUP` reloads the configuration, `SIGUSR2` enters lame duck mode. */
export type Signal = "SIGKILL" | "SIGTERM" | "SIGHUP" | "SIGUSR2"

export const configFile = "nats.conf"
