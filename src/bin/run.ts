/**
 * `sluice run`: a module's worker as a program.
 */
import * as Cause from "effect/Cause"
import { Argument, Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Transport } from "../Transport.ts"
import type { ConnectionStatus } from "../Transport.ts"
import * as Worker from "../Worker.ts"
import * as Connect from "./connect.ts"
import * as Duration from "./duration.ts"
import { ExitWith, usage } from "./exit.ts"
import { describe, load } from "./load.ts"
import * as Logging from "./logging.ts"
import { write } from "./output.ts"
import * as Status from "./status.ts"
import { Stop } from "./stop.ts"

interface Health {
  readonly port: number
  readonly host?: string
}

const PORT_MAX = 65_535

const addressOf = (text: string): Option.Option<Health> => {
  const [, host, port] = /^(?:(.+):)?(\d{1,5})$/u.exec(text.trim()) ?? []
  return port === undefined || Number(port) < 1 || Number(port) > PORT_MAX
    ? Option.none()
    : Option.some({ port: Number(port), ...(host === undefined ? undefined : { host: host.replace(/^\[|\]$/gu, "") }) })
}

export const run = Command.make("run", {
  file: Argument.String("file").pipe(
    Argument.withMetavar("FILE"),
    Argument.withDescription("A .ts or .js module whose default export is Worker.make({ … })")
  ),
  grace: Flag.String("grace").pipe(
    Flag.filterMap(Duration.parse, () => "a duration such as 500ms, 30s or 2m"),
    Flag.withMetavar("DURATION"),
    Flag.withDescription(
      "How long the shutdown may take, for instance 30s: what is held is worked off as far as it reaches. Default: 10s"
    ),
    Flag.withDefault("10 seconds" as const)
  ),
  embedded: Flag.Boolean("embedded").pipe(
    Flag.withoutNegation,
    Flag.withDefault(false),
    Flag.withDescription(
      "Use a broker inside this process: for a first try. Only the worker itself can publish to it, and it forgets "
        + "everything when it ends"
    )
  ),
  health: Flag.String("health").pipe(
    Flag.filterMap(addressOf, () => "a port such as 8080, or an address and a port such as 0.0.0.0:8080"),
    Flag.withMetavar("[HOST:]PORT"),
    Flag.withDescription(
      "Answer GET /livez, /readyz, /health and /metrics there, also while a handler computes. On 127.0.0.1 unless told "
        + "otherwise; there is no password"
    ),
    Flag.optional
  ),
  inline: Flag.Boolean("inline").pipe(
    Flag.withoutNegation,
    Flag.withDefault(false),
    Flag.withDescription(
      "Keep the connection to NATS on the thread of the handlers: one thread less, but a handler that computes for long "
        + "stops pings, acks and leases with it"
    )
  ),
  logFormat: Flag.Literals("log-format", ["pretty", "json"]).pipe(
    Flag.withDescription("How logs and the ledger are written. Default: pretty"),
    Flag.withDefault("pretty" as const)
  ),
  server: Connect.server
}, ({ embedded, file, grace, health, inline, logFormat, server }) =>
  Effect.gen(function*() {
    if (Option.isSome(health) && (embedded || inline)) {
      return yield* usage("--health needs a connection in a thread of its own: leave out --embedded and --inline")
    }
    const worker = yield* loadWorker(file)
    yield* Connect.connected(
      { server, place: placeOf({ embedded, inline, health }), whenStopped: 0 },
      runWorker(worker, file, grace, logFormat)
    )
  }).pipe(Effect.provide(Logging.layer(logFormat)))).pipe(
    Command.withDescription(
      "Run a worker until SIGTERM or SIGINT, then drain: stop pulling, work off what is held, hand back the rest, "
        + "confirm the acks. Prints what became of every message. A second signal ends at once."
    ),
    Command.withShortDescription("Run a worker"),
    Command.withExamples([
      { command: "sluice run worker.ts", description: "Against NATS_URL, or nats://127.0.0.1:4222" },
      { command: "sluice run worker.ts --embedded", description: "Without a broker" },
      { command: "sluice run worker.ts --health 8080", description: "With probes for whoever watches it" },
      {
        command: "sluice run dist/worker.js --grace 25s --log-format json",
        description: "In a container that gets 30s"
      }
    ])
  )

const placeOf = (chosen: {
  readonly embedded: boolean
  readonly inline: boolean
  readonly health: Option.Option<Health>
}): Connect.Place =>
  chosen.embedded
    ? { _tag: "embedded" }
    : chosen.inline
    ? Connect.inline
    : { _tag: "thread", health: Option.getOrUndefined(chosen.health) }

/** As far as can be known: what it needs besides a transport was a matter of types. */
type Runnable = Worker.Worker<unknown>

const loadWorker = (file: string): Effect.Effect<Runnable, ExitWith> =>
  Effect.flatMap(load(file), (module) => {
    if (!("default" in module)) {
      return Effect.fail(usage(`${file}: has no default export; write \`export default Worker.make({ … })\``))
    }
    return Worker.isWorker(module["default"])
      ? Effect.succeed(module["default"] as Runnable)
      : Effect.fail(usage(
        `${file}: its default export is ${describe(module["default"])}, not a worker; `
          + "write `export default Worker.make({ … })`"
      ))
  })

const runWorker = (
  worker: Runnable,
  file: string,
  grace: Worker.Options["grace"] & {},
  format: Logging.Format
) =>
  Effect.gen(function*() {
    const stop = yield* Stop
    let ledger: (() => Worker.Ledger) | undefined
    let draining = false
    const drain = Effect.andThen(
      stop.requested,
      Effect.sync(() => {
        draining = true
      })
    )
    yield* Effect.logInfo(`running ${file}`).pipe(Effect.annotateLogs({ readers: worker.readers.length }))
    const running = Worker.run(worker, {
      grace,
      drain,
      observe: (current) => {
        ledger = current
      }
    })
    const status = showStatus(worker.name, () => ledger?.(), () => draining)
    const exit = yield* Effect.exit(Effect.scoped(Effect.andThen(status, running)))
    // Also after a failure: what was done is done.
    if (ledger !== undefined) {
      yield* write(`${format === "json" ? JSON.stringify(ledger()) : Worker.format(ledger())}\n`)
    }
    return yield* Exit.isFailure(exit) ? explainMissing(exit.cause, file) : Effect.void
  })

/** A module's types are gone when it is loaded, so a service that nobody provides shows only here. */
const explainMissing = (cause: Cause.Cause<unknown>, file: string): Effect.Effect<never, unknown> => {
  const defect = cause.reasons.find(Cause.isDieReason)?.defect
  return defect instanceof Error && defect.message.startsWith("Service not found: ")
    ? Effect.fail(usage(`${file}: ${defect.message}; provide it with Worker.make({ layer: … })`))
    : Effect.failCause(cause)
}

const showStatus = (name: string, ledger: () => Worker.Ledger | undefined, draining: () => boolean) =>
  Effect.gen(function*() {
    const transport = yield* Transport
    let connection = ""
    yield* Effect.forkScoped(Stream.runForEach(transport.status, (status) =>
      Effect.sync(() => {
        connection = connectionText(status)
      })))
    const rate = Status.rate(() => performance.now())
    yield* Status.show(() => {
      const total = ledger()?.total
      const finished = total?.finished ?? 0
      const failed = (total?.failed ?? 0) + (total?.rejected ?? 0)
      return [
        draining() ? `${name}: draining` : name,
        `${Status.count(finished)} done (${Status.count(rate(finished))}/s)`,
        ...(failed === 0 ? [] : [`${Status.count(failed)} failed`]),
        connection
      ].join("  ")
    })
  })

const connectionText = (status: ConnectionStatus): string =>
  status._tag === "Connected"
    ? status.server
    : status._tag === "Connecting"
    ? `connecting, attempt ${status.attempt}`
    : "closed"
