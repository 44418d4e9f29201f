/**
 * Runs the command line as a process: signals, exit codes, and everything written before the process ends.
 *
 * Not `NodeRuntime.runMain`: that answers every signal with 130 and has no answer to a second one.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import { isCliError } from "effect/cli/CliError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { cli } from "./cli.ts"
import { type Code, escapeControls, ExitWith, oneLine } from "./exit.ts"
import * as Logging from "./logging.ts"
import { flush } from "./output.ts"
import * as Status from "./status.ts"
import * as Stop from "./stop.ts"

export const main = (args: ReadonlyArray<string>): void => {
  const stop = Stop.make()
  onSignals(stop)
  // Nobody reads any more (`sluice read … | head`): reason to stop, none to fail.
  process.stdout.on("error", () => stop.request())
  process.stderr.on("error", () => {})
  const fiber = Effect.runFork(
    cli(args).pipe(
      Effect.provideService(Stop.Stop, stop),
      Effect.provide(Layer.merge(NodeServices.layer, Logging.layer("pretty")))
    )
  )
  // Effects alone do not keep a process alive.
  const alive = setInterval(() => {}, 2 ** 30)
  fiber.addObserver((exit) => {
    clearInterval(alive)
    const code = codeOf(exit)
    void flush().then(() => process.exit(code))
  })
}

const onSignals = (stop: Stop.Stop["Service"]): void => {
  let asked = false
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (asked) {
        Status.end()
        process.exit(130)
      }
      asked = true
      stop.request()
    })
  }
}

/** Says why, in one line, and returns the exit code. */
const codeOf = (exit: Exit.Exit<void, unknown>): Code => {
  if (Exit.isSuccess(exit)) {
    return 0
  }
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (isCliError(error)) {
    // The presenter has said what is wrong; help that was asked for is no error.
    return error._tag === "ShowHelp" && error.errors.length === 0 ? 0 : 2
  }
  if (error instanceof ExitWith) {
    say(error.message)
    return error.code
  }
  if (Cause.hasInterruptsOnly(exit.cause)) {
    return 130
  }
  if (error === undefined) {
    // A defect is a bug, and its stack is what its report needs.
    Status.print(escapeControls(`sluice: unexpected: ${Cause.pretty(exit.cause)}`))
    return 1
  }
  say(messageOf(error))
  return 1
}

/** A reader may fail with anything; an error without a message still has a name. */
const messageOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null) {
    return String(error)
  }
  const { _tag, message, name } = error as { readonly [key: string]: unknown }
  return [message, _tag, name].find((text) => typeof text === "string" && text !== "") as string ?? "failed"
}

const say = (message: string): void => {
  if (message !== "") {
    Status.print(`sluice: ${oneLine(message)}`)
  }
}
