/**
 * `sluice dlq`: what handlers have given up, and what becomes of it.
 */
import { Argument, Command, Flag } from "effect/cli"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as DeadLetter from "../DeadLetter.ts"
import * as Provenance from "../Provenance.ts"
import type { Transport } from "../Transport.ts"
import * as Connect from "./connect.ts"
import * as Durations from "./duration.ts"
import { escapeControls, failed, usage } from "./exit.ts"
import { write } from "./output.ts"
import { payloadMember, textOf } from "./read.ts"
import * as Status from "./status.ts"
import * as Stop from "./stop.ts"

const duration = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.filterMap(Durations.parse, () => "a duration such as 15m, 2h or 7d"),
    Flag.withMetavar("DURATION"),
    Flag.withDescription(description),
    Flag.optional
  )

const place = {
  dlq: Flag.String("dlq").pipe(
    Flag.withMetavar("STREAM"),
    Flag.withDescription("The stream of dead letters. Default: DLQ"),
    Flag.withDefault("DLQ")
  ),
  server: Connect.server
}

const json = Flag.Boolean("json").pipe(
  Flag.withoutNegation,
  Flag.withDefault(false),
  Flag.withDescription("One JSON object per line")
)

const which = {
  handler: Flag.String("handler").pipe(
    Flag.withMetavar("STREAM/CONSUMER"),
    Flag.withDescription("Only letters of this handler, for instance ORDERS/billing"),
    Flag.optional
  ),
  reason: Flag.String("reason").pipe(
    Flag.withMetavar("TAG"),
    Flag.withDescription("Only letters with this error, for instance BankTimeout"),
    Flag.optional
  ),
  kind: Flag.Literals("kind", Provenance.kinds).pipe(
    Flag.withDescription("Only letters of this kind"),
    Flag.optional
  ),
  id: Flag.Int("id").pipe(
    Flag.withMetavar("N"),
    Flag.withDescription("Only this letter; repeatable"),
    Flag.atLeast(0)
  ),
  within: duration("within", "Only letters of the last so long, for instance 2h"),
  olderThan: duration("older-than", "Only letters that are older than this"),
  ...place
}

interface Which {
  readonly dlq: string
  readonly handler: Option.Option<string>
  readonly reason: Option.Option<string>
  readonly kind: Option.Option<Provenance.Kind>
  readonly id: ReadonlyArray<number>
  readonly within: Option.Option<Duration.Duration>
  readonly olderThan: Option.Option<Duration.Duration>
}

const queryOf = (given: Which): DeadLetter.Query => ({
  dlq: given.dlq,
  ...some("handler", given.handler),
  ...some("reason", given.reason),
  ...some("kind", given.kind),
  ...some("within", given.within),
  ...some("olderThan", given.olderThan),
  ...(given.id.length === 0 ? {} : { ids: given.id })
})

const some = <const Name extends string, A>(name: Name, value: Option.Option<A>) =>
  Option.match(value, { onNone: () => ({}), onSome: (found) => ({ [name]: found }) }) as { readonly [K in Name]?: A }

/** Connects on this thread: nothing here runs for long. */
const connected = <A, E>(server: Option.Option<string>, effect: Effect.Effect<A, E, Transport>) =>
  Stop.endingWith(Connect.connected({ server, place: Connect.inline, whenStopped: 130 }, effect), 130)

const ls = Command.make("ls", {
  ...which,
  state: Flag.Literals("state", ["open", "replayed", "dropped", "any"] as const).pipe(
    Flag.withDescription("Default: open, what nobody has replayed or dropped"),
    Flag.withDefault("open" as const)
  ),
  letters: Flag.Boolean("letters").pipe(
    Flag.withoutNegation,
    Flag.withDefault(false),
    Flag.withDescription("One line for each letter, not for each reason")
  ),
  json
}, (given) =>
  connected(
    given.server,
    Effect.gen(function*() {
      const letters = yield* DeadLetter.list({ ...queryOf(given), state: given.state })
      const now = yield* Clock.currentTimeMillis
      if (given.letters) {
        return yield* write(given.json ? lines(letters.map(letterJson)) : table(letterRows(letters, now)))
      }
      const groups = DeadLetter.summary(letters)
      if (given.json) {
        return yield* write(lines(groups.map((group) => ({
          ...group,
          oldest: time(group.oldest),
          newest: time(group.newest)
        }))))
      }
      yield* write(table(groupRows(groups, now)))
      Status.print(counted(letters.length))
    })
  )).pipe(
    Command.withDescription("Count the letters of each handler by reason, or list them."),
    Command.withShortDescription("What handlers have given up"),
    Command.withExamples([
      { command: "sluice dlq ls", description: "How many, of whom, why, since when" },
      { command: "sluice dlq ls --handler ORDERS/billing --letters", description: "Each of them, with its id" }
    ])
  )

const show = Command.make("show", {
  id: Argument.Int("id").pipe(Argument.withMetavar("ID"), Argument.withDescription("As `ls --letters` shows it")),
  ...place,
  json
}, (given) =>
  connected(
    given.server,
    Effect.gen(function*() {
      const found = yield* DeadLetter.get(given.id, { dlq: given.dlq })
      if (Option.isNone(found)) {
        return yield* failed(`there is no letter ${given.id} in ${given.dlq}`)
      }
      const { bytes, headers, ...letter } = found.value
      const own = Object.fromEntries(headers)
      if (given.json) {
        const head = JSON.stringify({ ...letterJson(letter), headers: own })
        return yield* write(`${head.slice(0, -1)},${payloadMember(bytes)}}\n`)
      }
      const facts = Object.entries({ ...letterJson(letter), ...own }).map(([name, value]) => [name, String(value)])
      const payload = letter.exists && letter.provenance.payload !== "reference"
        ? textOf(bytes) ?? `base64:${Buffer.from(bytes).toString("base64")}`
        : "(not here)"
      yield* write(`${table(facts)}\n${escapeControls(payload)}\n`)
    })
  )).pipe(
    Command.withDescription("Print a letter: where it comes from, why it is here, its headers and its payload."),
    Command.withShortDescription("Print one letter"),
    Command.withExamples([{ command: "sluice dlq show 17 --json | jq .data", description: "The message" }])
  )

const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withoutNegation,
  Flag.withDefault(false),
  Flag.withDescription("Only say how many letters that would be")
)

const replay = Command.make("replay", {
  ...which,
  publish: Flag.Boolean("publish").pipe(
    Flag.withoutNegation,
    Flag.withDefault(false),
    Flag.withDescription("Back to its subject, where everybody reads it. Default: only to the handler that failed it")
  ),
  rate: Flag.Finite("rate").pipe(
    Flag.withMetavar("N"),
    Flag.withDescription("At most so many a second"),
    Flag.filter((rate) => rate > 0, () => "a number above 0"),
    Flag.optional
  ),
  dryRun,
  json
}, (given) =>
  connected(
    given.server,
    Effect.scoped(Effect.gen(function*() {
      let [done, whole] = [0, 0]
      const rate = Status.rate(() => performance.now())
      yield* Status.show(() =>
        `${Status.bar(done, whole)}${Status.count(done)} of ${Status.count(whole)} letters (${
          Status.count(rate(done))
        }/s)`
      )
      const result = yield* DeadLetter.replay({
        ...queryOf(given),
        publish: given.publish,
        dryRun: given.dryRun,
        ...some("rate", given.rate),
        onProgress: (now, all) => {
          done = now
          whole = all
        }
      })
      if (given.json) {
        yield* write(lines([result]))
      }
      Status.print(
        given.dryRun
          ? `${counted(result.matched)} would be replayed`
          : `${Status.count(result.replayed)} of ${counted(result.matched)} replayed`
      )
      if (result.unavailable.length > 0) {
        const ids = result.unavailable.slice(0, 10).join(", ")
        return yield* failed(`of ${result.unavailable.length} the message is not there any more: ${ids}`)
      }
    }))
  )).pipe(
    Command.withDescription(
      "Bring letters back to the handler that failed them, each once: what was replayed is passed over, also after a "
        + "replay that was stopped in the middle. Attempts begin anew; what fails again becomes another letter."
    ),
    Command.withShortDescription("Bring letters back to their handler"),
    Command.withExamples([
      { command: "sluice dlq replay --handler ORDERS/billing --reason BankTimeout --rate 50", description: "Slowly" },
      { command: "sluice dlq replay --dry-run", description: "How many would that be?" }
    ])
  )

const drop = Command.make("drop", {
  ...which,
  why: Flag.String("why").pipe(
    Flag.withMetavar("TEXT"),
    Flag.withDescription("What stays written where the letters were")
  ),
  all: Flag.Boolean("all").pipe(
    Flag.withoutNegation,
    Flag.withDefault(false),
    Flag.withDescription("Every letter of every handler, where nothing says which")
  ),
  dryRun,
  json
}, (given) =>
  Effect.gen(function*() {
    const query = queryOf(given)
    if (Object.keys(query).length === 1 && !given.all) {
      return yield* usage("say which letters: --handler, --reason, --kind, --id, --within, --older-than, or --all")
    }
    yield* connected(
      given.server,
      Effect.gen(function*() {
        const result = given.dryRun
          ? { dropped: 0, matched: (yield* DeadLetter.list(query)).length }
          : yield* DeadLetter.drop({ ...query, why: given.why })
        if (given.json) {
          yield* write(lines([result]))
        }
        Status.print(
          "matched" in result
            ? `${counted(result.matched)} would be dropped`
            : `${counted(result.dropped)} dropped`
        )
      })
    )
  })).pipe(
    Command.withDescription(
      "Remove letters that nobody needs, with their payload. Who they were of and why they went stays."
    ),
    Command.withShortDescription("Remove letters"),
    Command.withExamples([
      { command: "sluice dlq drop --reason CardDeclined --why 'told the customers'", description: "By reason" }
    ])
  )

export const dlq = Command.make("dlq").pipe(
  Command.withDescription("Look at what handlers have given up, bring it back to them, or drop it."),
  Command.withShortDescription("Dead letters"),
  Command.withSubcommands([ls, show, replay, drop])
)

// internals

const counted = (letters: number): string => `${Status.count(letters)} ${letters === 1 ? "letter" : "letters"}`

const time = (millis: number): string => new Date(millis).toISOString()

const lines = (objects: ReadonlyArray<unknown>): string => objects.map((one) => `${JSON.stringify(one)}\n`).join("")

const letterJson = ({ id, provenance, state, storedAt, why }: DeadLetter.Letter) => {
  const { consumer, firstFailure, lastFailure, stream, timestamp, ...facts } = provenance
  return {
    id,
    state,
    stored: time(storedAt),
    handler: `${stream}/${consumer}`,
    ...facts,
    published: time(timestamp),
    firstFailure: time(firstFailure),
    lastFailure: time(lastFailure),
    ...(why === "" ? {} : { why })
  }
}

const groupRows = (groups: ReadonlyArray<DeadLetter.Group>, now: number) =>
  groups.length === 0 ? [] : [
    ["HANDLER", "KIND", "REASON", "STATE", "COUNT", "OLDEST", "NEWEST"],
    ...groups.map(({ count, handler, kind, newest, oldest, reason, state }) => [
      handler,
      kind,
      reason,
      state,
      String(count),
      age(now - oldest),
      age(now - newest)
    ])
  ]

const letterRows = (letters: ReadonlyArray<DeadLetter.Letter>, now: number) =>
  letters.length === 0 ? [] : [
    ["ID", "HANDLER", "SEQUENCE", "KIND", "REASON", "ATTEMPTS", "STATE", "AGE"],
    ...letters.map(({ id, provenance, state, storedAt }) => [
      String(id),
      `${provenance.stream}/${provenance.consumer}`,
      String(provenance.sequence),
      provenance.kind,
      provenance.reason,
      String(provenance.attempts),
      state,
      age(now - storedAt)
    ])
  ]

/** `3m`: the two largest units would be more than one reads. */
const age = (millis: number): string => {
  const units = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "m"], [1_000, "s"]] as const
  const [size, unit] = units.find(([size]) => millis >= size) ?? [1_000, "s"]
  return `${Math.max(0, Math.floor(millis / size))}${unit}`
}

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const safe = rows.map((row) => row.map((cell) => escapeControls(cell).replaceAll("\n", "\\n")))
  const widths = safe[0]?.map((_, column) => Math.max(...safe.map((row) => row[column]?.length ?? 0))) ?? []
  return safe.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()}\n`)
    .join("")
}
