/**
 * The command line as a whole: its commands, its help, its version.
 */
import { CliConfig, CliOutput, Command, GlobalFlag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { dlq } from "./dlq.ts"
import { oneLine } from "./exit.ts"
import { pub } from "./pub.ts"
import { read } from "./read.ts"
import { run } from "./run.ts"
import * as Status from "./status.ts"

const root = Command.make("sluice").pipe(
  Command.withDescription(
    "Typed, backpressured streaming over NATS JetStream. Data goes to stdout, everything else to stderr. Connects to "
      + "--server, else NATS_URL, else nats://127.0.0.1:4222, with the credentials of the environment. "
      + "Exit codes: 0 done (run and read: also when told to stop), 1 failed, 2 wrong usage or unreadable input, "
      + "130 stopped in the middle by a signal."
  ),
  Command.withExamples([
    { command: "sluice run worker.ts", description: "Run a worker until SIGTERM, then drain" },
    { command: "sluice pub orders.eu.placed --json < orders.ndjson", description: "Publish lines" },
    { command: "sluice read ORDERS --from new", description: "Watch a stream" },
    { command: "sluice dlq ls", description: "What handlers have given up" }
  ]),
  Command.withSubcommands([run, pub, read, dlq])
)

/** What is wrong, in one line, and where the help is; a screen of help would bury the one line that matters. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.sync(() => {
        const problems = event.errors.map((error) => oneLine(error.message)).join("; ")
        Status.print(`sluice: ${problems}. See: ${event.commandPath.join(" ")} --help`)
      })
      : CliOutput.defaultPresenter.present(event)
}

/** So few commands need no wizard. */
const builtIns = GlobalFlag.BuiltIns.filter((flag) => flag !== GlobalFlag.Wizard)

const version = (): string => {
  const text = readFileSync(join(import.meta.dirname, "..", "..", "package.json"), "utf8")
  return (JSON.parse(text) as { readonly version: string }).version
}

export const cli = (args: ReadonlyArray<string>) =>
  Effect.suspend(() => Command.runWith(root, { version: version() })(args)).pipe(
    Effect.provide(Layer.merge(CliOutput.layerPresenter(presenter), CliConfig.layer({ builtIns })))
  )
