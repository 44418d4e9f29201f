/** The main job: lines go to the broker, orders come back, and every one of them comes to an end. */
import * as AckPolicy from "effect-sluice/AckPolicy"
import * as DeadLetter from "effect-sluice/DeadLetter"
import * as Headers from "effect-sluice/Headers"
import type * as Message from "effect-sluice/Message"
import * as Provisioner from "effect-sluice/Provisioner"
import * as Publisher from "effect-sluice/Publisher"
import * as Reader from "effect-sluice/Reader"
import * as Topology from "effect-sluice/Topology"
import { Transport } from "effect-sluice/Transport"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import { createReadStream } from "node:fs"
import { createInterface } from "node:readline"
import { NotPublished, Unusable } from "./errors.ts"
import { type Order, Orders } from "./orders.ts"
import { type Progress, progress } from "./progress.ts"
import { type Summary, Tally } from "./tally.ts"

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { order: Schema.String }) {}
class BankTimeout extends Schema.TaggedError<BankTimeout>()("BankTimeout", { order: Schema.String }) {}

/** The longest outage of the server that a run sits out. The stream remembers message ids for longer than that. */
const OUTAGE_MAX = "9 minutes"
const DEDUPE_WINDOW = "10 minutes"

export interface Options {
  readonly input: string
  readonly workMs: number
  /** Mend the handler after the run, and bring back what had failed. */
  readonly fixed: boolean
  /** Leave the streams there, for `sluice dlq` to look at. */
  readonly keep: boolean
}

/** What one run is made of. */
interface Run {
  readonly id: string
  readonly stream: string
  readonly deadLetter: { readonly stream: string; readonly prefix: string }
  readonly tally: Tally
  /** The bank takes declined cards, too. */
  isMended: boolean
}

export const program = (options: Options) =>
  Effect.gen(function*() {
    const tally = new Tally()
    const shown = yield* progress(tally)
    const run = yield* prepare(tally, options.keep)
    const allRead = yield* Deferred.make<void>()
    const reading = Effect.gen(function*() {
      yield* untilDone(tally, allRead, shown)
      const handler = `${run.stream}/billing`
      tally.deadLettered = (yield* DeadLetter.list({ dlq: run.deadLetter.stream, handler })).length
      if (options.fixed) {
        run.isMended = true
        const { replayed } = yield* DeadLetter.replay({ dlq: run.deadLetter.stream, handler, reason: "CardDeclined" })
        yield* until(() => tally.replayed >= replayed)
      }
    })
    yield* Effect.all([
      Effect.andThen(publish(run, options.input), Deferred.succeed(allRead, undefined)),
      Effect.raceFirst(charge(run, options.workMs), reading)
    ], { concurrency: "unbounded", discard: true })
    return { summary: tally.summary(options.fixed) satisfies Summary, tooLarge: tally.tooLarge }
  }).pipe(Effect.scoped)

/** Streams of this run alone, deleted when the run ends, however it ends; or kept, with dead letters where all have theirs. */
const prepare = (tally: Tally, keep: boolean) =>
  Effect.gen(function*() {
    const transport = yield* Transport
    const id = randomBytes(6).toString("hex")
    const stream = Topology.stream(`SLUICE_EXAMPLE_${id}`, {
      subjects: [`sluice-example.${id}.>`],
      duplicateWindow: DEDUPE_WINDOW
    })
    const deadLetter = keep
      ? { stream: "DLQ", prefix: "dlq" }
      : { stream: `SLUICE_EXAMPLE_${id}_DLQ`, prefix: `sluice-example-dlq.${id}` }
    const { prefix, stream: name } = deadLetter
    yield* Effect.addFinalizer(() =>
      Option.match(transport.topology, {
        onNone: () => Effect.void,
        onSome: (admin) =>
          Effect.forEach(keep ? [] : [stream.name, name], (one) => Effect.ignore(admin.deleteStream(one)))
      })
    )
    yield* Provisioner.ensure([stream, DeadLetter.stream({ name, prefix })])
    const run: Run = { id, stream: stream.name, deadLetter, tally, isMended: false }
    return run
  })

/**
 * Every line goes out byte by byte as it is, so that what does not decode is the reader's to find. Latin-1 has a
 * character for each byte; as UTF-8, invalid bytes would be replaced, and `readline` would also cut at U+2028.
 */
const publish = ({ id: run, tally }: Run, input: string) =>
  Stream.fromAsyncIterable(
    createInterface({
      input: (input === "-" ? process.stdin : createReadStream(input)).setEncoding("latin1"),
      crlfDelay: Infinity
    }),
    (error) =>
      new Unusable({ message: `cannot read the input: ${error instanceof Error ? error.message : String(error)}` })
  ).pipe(
    Stream.filter((line) => /[^ \t]/.test(line)),
    Stream.map((line) => Buffer.from(line, "latin1")),
    Stream.grouped(500),
    Stream.runForEach(Effect.fnUntraced(function*(lines) {
      const batch = lines.map((line) => outgoing(run, line, ++tally.read))
      const receipts = yield* Publisher.publishRaw(batch as unknown as NonEmptyReadonlyArray<Message.Outgoing>, {
        budget: OUTAGE_MAX
      })
      for (const [index, receipt] of receipts.entries()) {
        if (receipt._tag === "Confirmed") {
          tally.published++
        } else if (receipt.reason._tag === "PayloadTooLarge") {
          tally.tooLarge++
          tally.rejected(tally.read - receipts.length + index + 1)
        } else {
          return yield* new NotPublished({ message: `${receipt.reason.problem}. ${receipt.reason.hint}` })
        }
      }
    }))
  )

const outgoing = (run: string, line: Buffer, number: number): Message.Outgoing => ({
  subject: subjectOf(run, line),
  payload: line,
  headers: Result.getOrThrow(Headers.fromRecord({ Line: String(number) })),
  id: `${run}:${number}`
})

/** A line without a usable region still has to get somewhere. */
const subjectOf = (run: string, line: Buffer): string => {
  const subject = Orders.template.subject({ run, region: regionOf(line) })
  return Result.isSuccess(subject) ? subject.success : `sluice-example.${run}.unknown.placed`
}

const regionOf = (line: Buffer): string => {
  try {
    const region = (JSON.parse(line.toString()) as { readonly region?: unknown } | null)?.region
    return typeof region === "string" ? region : "unknown"
  } catch {
    return "unknown"
  }
}

const lineOf = (message: Message.Delivery): number =>
  Number(Option.getOrThrow(Headers.get(Result.getOrThrow(message.headers), "Line")))

/** Ordered per customer, 64 customers at a time, three attempts per order. */
const charge = (run: Run, workMs: number) => {
  const { deadLetter, id, stream, tally } = run
  return Reader.handle(Orders, {
    stream,
    consumer: "billing",
    filters: [`sluice-example.${id}.*.placed`],
    lanes: 64,
    // A server that is away for less than this does not give our orders to anybody else. What it wrote into a connection
    // that died before we could read it comes back after this long.
    ackWait: "1 minute",
    retry: Schedule.exponential("20 millis"),
    maxAttempts: 3,
    deadLetter,
    // It is a dead letter by now. This counts the lines of the input.
    onGiveUp: (failure, message) =>
      Effect.sync(() =>
        failure._tag === "Undecodable" ? tally.rejected(lineOf(message)) : tally.failed(lineOf(message))
      )
  }, (order: Order, message) =>
    Effect.gen(function*() {
      const line = lineOf(message)
      const time = tally.begin(line)
      if (workMs > 0) {
        yield* Effect.sleep(workMs)
      }
      if (order.card === "declined" && !run.isMended) {
        return yield* new CardDeclined({ order: order.id })
      }
      if (order.card === "flaky" && time === "first") {
        return yield* new BankTimeout({ order: order.id })
      }
      tally.processed(line, order.customer)
    })).pipe(Effect.provide(AckPolicy.onProcess))
}

/** Everything was read, and everything read has come to an end. */
const untilDone = (tally: Tally, allRead: Deferred.Deferred<void>, shown: Progress) =>
  Effect.gen(function*() {
    yield* Deferred.await(allRead)
    yield* until(() => tally.ended >= tally.read)
    yield* shown.end
  })

const until = (isSo: () => boolean) =>
  Effect.gen(function*() {
    while (!isSo()) {
      yield* Effect.sleep(5)
    }
  })
