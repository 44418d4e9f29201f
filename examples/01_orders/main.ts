/**
 * Publishes orders and charges them: in each customer's order, many customers at a time.
 *
 * `npm start` runs on the embedded transport, `NATS_URL=nats://… npm start` on a server. See `--help`.
 */
import { NodeRuntime } from "@effect/platform-node"
import * as Memory from "effect-sluice/layers/Memory"
import * as NatsThread from "effect-sluice/layers/NatsThread"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import { access, constants } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { DoesNotAddUp, Unusable } from "./errors.ts"
import { program } from "./program.ts"
import { forPeople, isRight } from "./tally.ts"

const HELP = `Publishes orders and charges them, in each customer's order.

  npm start                              10,000 orders on the embedded transport
  npm start -- --input FILE              other orders, one JSON object a line ("-" for stdin)
  npm start -- --json                    the summary as one JSON object on the last line
  npm start -- --work-ms 20              each charge takes 20 ms, as a bank would
  npm start -- --fixed                   mends the handler at the end, and brings back what it had failed
  NATS_URL=nats://host:4222 npm start    the same on a NATS server with JetStream; leaves nothing behind
  NATS_URL=… npm start -- --keep         leaves its streams there, for "sluice dlq ls"

An order: {"id":"o-1","customer":"c-1","region":"eu","total":12.5,"card":"ok"}   (card: ok, flaky or declined)`

const options = Effect.try({
  try: () => {
    const { values } = parseArgs({
      options: {
        input: { type: "string", default: fileURLToPath(new URL("orders.ndjson", import.meta.url)) },
        json: { type: "boolean", default: false },
        fixed: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        "work-ms": { type: "string", default: "0" },
        help: { type: "boolean", short: "h", default: false }
      }
    })
    return { ...values, workMs: Number(values["work-ms"]) }
  },
  catch: (error) => new Unusable({ message: `${error instanceof Error ? error.message : String(error)} (see --help)` })
})

/** Opened before anything else, so that a typing mistake costs one line. */
const checkInput = (input: string) =>
  input === "-" ? Effect.void : Effect.tryPromise({
    try: () => access(input, constants.R_OK),
    catch: () => new Unusable({ message: `cannot read the input "${input}": no such file, or no right to read it` })
  })

const main = Effect.gen(function*() {
  const given = yield* options
  if (given.help) {
    process.stdout.write(`${HELP}\n`)
    return
  }
  if (!(given.workMs >= 0)) {
    return yield* new Unusable({ message: `--work-ms takes a number of milliseconds, not "${given["work-ms"]}"` })
  }
  const onServer = (process.env["NATS_URL"] ?? "") !== ""
  if (given.keep && !onServer) {
    return yield* new Unusable({ message: "--keep needs a server that keeps the streams: set NATS_URL" })
  }
  yield* checkInput(given.input)
  const { summary, tooLarge } = yield* program(given).pipe(
    Effect.provide(onServer ? NatsThread.layerConfig : Memory.layer())
  )
  process.stdout.write(
    given.json
      ? `${JSON.stringify(summary)}\n`
      : `${forPeople(summary, onServer ? "on a NATS server" : "on the embedded transport", tooLarge)}\n`
  )
  if (!isRight(summary, tooLarge)) {
    return yield* new DoesNotAddUp({ message: "the summary does not add up" })
  }
})

/** Logs are for people who watch; stdout is for the summary. */
const logs = Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])

NodeRuntime.runMain(Effect.provide(main, logs), {
  disableErrorReporting: true,
  teardown: (exit, onExit) => {
    if (Exit.isSuccess(exit)) {
      onExit(0)
      return
    }
    const error = Cause.squash(exit.cause)
    if (Cause.hasInterruptsOnly(exit.cause)) {
      onExit(130)
      return
    }
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    onExit(error instanceof Unusable ? 2 : 1)
  }
})
