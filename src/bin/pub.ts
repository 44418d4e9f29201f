/**
 * `sluice pub`: lines become messages.
 */
import * as Arr from "effect/Array"
import { Argument, Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { createReadStream, existsSync, statSync } from "node:fs"
import type * as Message from "../Message.ts"
import * as Publisher from "../Publisher.ts"
import { Transport } from "../Transport.ts"
import type { Receipt } from "../Transport.ts"
import * as Connect from "./connect.ts"
import * as Duration from "./duration.ts"
import { ExitWith, failed, usage } from "./exit.ts"
import { type Line, lines } from "./lines.ts"
import { type Build, builder } from "./outgoing.ts"
import * as Status from "./status.ts"
import { Stop } from "./stop.ts"

export const pub = Command.make("pub", {
  subject: Argument.String("subject").pipe(
    Argument.withMetavar("SUBJECT"),
    Argument.withDescription("The subject of every message; leave it out with --topic"),
    Argument.optional
  ),
  topic: Flag.String("topic").pipe(
    Flag.withMetavar("FILE#EXPORT"),
    Flag.withDescription(
      "Publish through a Topic of a module: its schema checks every line, its template makes the subject"
    ),
    Flag.optional
  ),
  params: Flag.KeyValuePair("param").pipe(
    Flag.withMetavar("NAME=VALUE"),
    Flag.withDescription("Fills a hole of the topic's subject; @FIELD takes the value from each line. Repeatable"),
    Flag.withDefault({})
  ),
  file: Flag.String("file").pipe(
    Flag.withAlias("f"),
    Flag.withMetavar("PATH"),
    Flag.withDescription("Read lines from a file instead of stdin"),
    Flag.optional
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withoutNegation,
    Flag.withDefault(false),
    Flag.withDescription("Every line must be JSON; empty lines are passed over")
  ),
  idField: Flag.String("id-field").pipe(
    Flag.withMetavar("FIELD"),
    Flag.withDescription(
      "Take the message id from this field of each JSON line, so that a second run stores nothing twice"
    ),
    Flag.optional
  ),
  headers: Flag.KeyValuePair("header").pipe(
    Flag.withMetavar("NAME=VALUE"),
    Flag.withDescription("A header for every message. Repeatable"),
    Flag.withDefault({})
  ),
  budget: Flag.String("budget").pipe(
    Flag.filterMap(Duration.parse, () => "a duration such as 500ms, 30s or 1m"),
    Flag.withMetavar("DURATION"),
    Flag.withDescription(
      "How long to keep trying to store a line. Default: 30s. Must stay below the stream's dedupe window"
    ),
    Flag.withDefault("30 seconds" as const)
  ),
  server: Connect.server
}, (options) =>
  Effect.gen(function*() {
    const build = yield* builder(options)
    const input = yield* openInput(options.file)
    yield* Connect.connected(
      { server: options.server, place: Connect.inline, whenStopped: 130 },
      publishLines(input, build, options.budget)
    )
  })).pipe(
    Command.withDescription(
      "Publish each line of stdin, or of a file, as one message, and wait until the broker has stored it. A line that "
        + "cannot be read ends the run before it is sent; what was before it is stored."
    ),
    Command.withShortDescription("Publish lines"),
    Command.withExamples([
      { command: "echo hello | sluice pub greetings", description: "One message" },
      {
        command: "sluice pub orders.eu.placed --json --id-field orderId < orders.ndjson",
        description: "Safe to repeat"
      },
      {
        command: "sluice pub --topic topics.ts#placed --param region=@region -f orders.ndjson",
        description: "Checked by a schema"
      }
    ])
  )

interface Input {
  readonly open: () => NodeJS.ReadStream | ReturnType<typeof createReadStream>
  /** The size in bytes; 0 if unknown. */
  readonly size: number
}

const openInput = (file: Option.Option<string>): Effect.Effect<Input, ExitWith> => {
  if (Option.isNone(file)) {
    return Effect.succeed({ open: () => process.stdin, size: 0 })
  }
  const path = file.value
  if (!existsSync(path)) {
    return Effect.fail(usage(`${path}: there is no such file`))
  }
  return Effect.succeed({ open: () => createReadStream(path), size: statSync(path).size })
}

type Budget = Publisher.RetryOptions["budget"] & {}

interface Counts {
  confirmed: number
  duplicates: number
  failed: number
  bytes: number
}

/** How many failed lines are named one by one; the rest is counted. */
const namedMax = 10

const publishLines = (input: Input, build: Build, budget: Budget) =>
  Effect.scoped(Effect.gen(function*() {
    const stop = yield* Stop
    const transport = yield* Transport
    const { maxPayload } = yield* transport.capabilities
    const counts: Counts = { confirmed: 0, duplicates: 0, failed: 0, bytes: 0 }
    let stopped = false
    yield* showProgress(counts, input.size)
    const source = lines(input.open, maxPayload, (bytes) => {
      counts.bytes += bytes
    }).pipe(
      Stream.interruptWhen(Effect.andThen(
        stop.requested,
        Effect.sync(() => {
          stopped = true
        })
      ))
    )
    // Whatever has arrived goes out; waiting for a full batch would hold back the lines of a slow producer.
    const outcome = yield* Effect.result(Stream.runForEachArray(source, (arrived) =>
      Effect.forEach(Arr.chunksOf(arrived, 512), (batch) =>
        publishBatch(batch, build, budget, counts), { discard: true })))
    Status.print(summary(counts))
    if (Result.isFailure(outcome)) {
      return yield* Effect.fail(outcome.failure)
    }
    if (stopped) {
      return yield* new ExitWith({ code: 130, message: "stopped before the end of the input" })
    }
    if (counts.failed > 0) {
      return yield* new ExitWith({ code: 1, message: "" })
    }
  }))

/**
 * Publishes what is good in front of the first bad line, and then fails because of that. Ends, too, when a line could
 * not be stored although the budget was spent on it: the lines behind it would fare no better, one budget after another.
 */
const publishBatch = (batch: ReadonlyArray<Line>, build: Build, budget: Budget, counts: Counts) =>
  Effect.gen(function*() {
    const outgoing: Array<Message.Outgoing> = []
    const numbers: Array<number> = []
    let bad: ExitWith | undefined
    for (const line of batch) {
      const built = line.oversized ? Result.fail("longer than the server's max_payload") : build(line.bytes)
      if (Result.isFailure(built)) {
        bad = usage(`line ${line.number}: ${built.failure}`)
        break
      }
      if (built.success !== undefined) {
        outgoing.push(built.success)
        numbers.push(line.number)
      }
    }
    if (Arr.isArrayNonEmpty(outgoing)) {
      const receipts = yield* Publisher.publishRaw(outgoing, { budget })
      receipts.forEach((receipt, index) => tally(counts, receipt, numbers[index]!))
      if (receipts.some(gaveUp)) {
        return yield* failed(
          `gave up at line ${numbers[receipts.findIndex(gaveUp)]}; nothing behind line ${numbers.at(-1)} was sent`
        )
      }
    }
    if (bad !== undefined) {
      return yield* Effect.fail(bad)
    }
  })

const gaveUp = (receipt: Receipt): boolean =>
  receipt._tag === "Ambiguous" || (receipt._tag === "NotSent" && receipt.reason.isRetryable)

const tally = (counts: Counts, receipt: Receipt, line: number): void => {
  if (receipt._tag === "Confirmed") {
    counts.confirmed += 1
    counts.duplicates += receipt.duplicate ? 1 : 0
    return
  }
  counts.failed += 1
  if (counts.failed <= namedMax) {
    const outcome = receipt._tag === "NotSent" ? "not stored" : "perhaps stored"
    Status.print(`line ${line}: ${outcome}: ${receipt.reason.problem}. ${receipt.reason.hint}`)
  }
}

const summary = (counts: Counts): string =>
  `${Status.count(counts.confirmed)} confirmed, ${Status.count(counts.duplicates)} of them duplicates, `
  + `${Status.count(counts.failed)} failed`

const showProgress = (counts: Counts, size: number) => {
  const rate = Status.rate(() => performance.now())
  return Status.show(() => {
    const total = counts.confirmed + counts.failed
    return `${Status.bar(counts.bytes, size)}${summary(counts)} (${Status.count(rate(total))}/s)`
  })
}
