/**
 * What a line becomes: a message for a subject, or for a topic.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { randomUUID } from "node:crypto"
import * as Headers from "../Headers.ts"
import * as Message from "../Message.ts"
import * as Subject from "../Subject.ts"
import type * as Topic from "../Topic.ts"
import { type ExitWith, oneLine, usage } from "./exit.ts"
import { describe, load } from "./load.ts"

export interface Options {
  readonly subject: Option.Option<string>
  readonly topic: Option.Option<string>
  readonly params: Readonly<Record<string, string>>
  readonly json: boolean
  readonly idField: Option.Option<string>
  readonly headers: Readonly<Record<string, string>>
}

/** The message of a line, nothing for a line to pass over, or what is wrong with it. Shows nothing of its content. */
export type Build = (line: Uint8Array) => Result.Result<Message.Outgoing | undefined, string>

/** Checks what was asked for, once, before anything is read. */
export const builder = (options: Options): Effect.Effect<Build, ExitWith> =>
  Effect.gen(function*() {
    const headers = Headers.fromRecord(options.headers)
    if (Result.isFailure(headers)) {
      return yield* usage(`--header: ${headers.failure.problem}`)
    }
    if (Option.isSome(options.topic) === Option.isSome(options.subject)) {
      return yield* usage("give either a SUBJECT or --topic FILE#EXPORT")
    }
    if (Option.isSome(options.topic)) {
      const topic = yield* loadTopic(options.topic.value)
      yield* checkParams(topic, options.params)
      return forTopic(topic, options, headers.success)
    }
    const subject = Subject.make(Option.getOrThrow(options.subject))
    if (Result.isFailure(subject)) {
      return yield* usage(subject.failure.message)
    }
    if (Object.keys(options.params).length > 0) {
      return yield* usage("--param fills the holes of a topic's subject; it goes with --topic")
    }
    return forSubject(subject.success, options, headers.success)
  })

const forSubject = (subject: Subject.Subject, options: Options, headers: Headers.Headers): Build => {
  const field = Option.getOrUndefined(options.idField)
  const json = options.json || field !== undefined
  return (payload) => {
    if (!json) {
      return Result.succeed({ subject, payload, headers, id: randomUUID() })
    }
    if (payload.length === 0) {
      return Result.succeed(undefined)
    }
    return Result.flatMap(
      parse(payload),
      (value) =>
        Result.map(field === undefined ? Result.succeed(randomUUID() as string) : fieldOf(value, field), (id) => (
          { subject, payload, headers, id }
        ))
    )
  }
}

type AnyTopic = Topic.Topic<Readonly<Record<string, string>>, unknown>

const forTopic = (topic: AnyTopic, options: Options, headers: Headers.Headers): Build => {
  const field = Option.getOrUndefined(options.idField)
  const fromLine = field !== undefined || Object.values(options.params).some((value) => value.startsWith("@"))
  return (payload) => {
    if (payload.length === 0) {
      return Result.succeed(undefined)
    }
    const line = fromLine ? parse(payload) : Result.succeed(undefined)
    // The topic reads the line as if it had arrived, so that its codec, limits and schema check it.
    const value = Result.mapError(topic.decode(arrived(payload, topic.pattern)), (error) => error.problem)
    return Result.flatMap(Result.all({ line, value }), ({ line, value }) =>
      Result.flatMap(
        Result.all({
          params: fill(options.params, line),
          id: field === undefined ? Result.succeed(undefined) : fieldOf(line, field)
        }),
        ({ id, params }) =>
          topic.encode(params, value, id === undefined ? { headers } : { headers, id }).pipe(
            Result.mapError((error) => `${error.problem}. ${error.hint}`)
          )
      ))
  }
}

/** Every hole of the topic's subject is filled, and nothing else is. */
const checkParams = (topic: AnyTopic, params: Options["params"]): Effect.Effect<void, ExitWith> => {
  const missing = topic.template.holes.filter((hole) => !Object.hasOwn(params, hole))
  const unknown = Object.keys(params).filter((name) => !topic.template.holes.includes(name))
  if (missing.length > 0) {
    const wanted = missing.map((hole) => `--param ${hole}=VALUE`).join(" ")
    return Effect.fail(usage(`fill the holes of ${topic.name}: add ${wanted}; @FIELD takes the value from each line`))
  }
  return unknown.length > 0
    ? Effect.fail(usage(`--param ${oneLine(unknown.join(", "))}: the subject ${topic.name} has no such hole`))
    : Effect.void
}

const fill = (
  params: Readonly<Record<string, string>>,
  line: unknown
): Result.Result<Readonly<Record<string, string>>, string> =>
  Result.all(Object.fromEntries(
    Object.entries(params).map(([name, value]) => [
      name,
      value.startsWith("@") ? fieldOf(line, value.slice(1)) : Result.succeed(value)
    ])
  ))

const utf8 = new TextDecoder("utf-8", { fatal: true })

const parse = (payload: Uint8Array): Result.Result<unknown, string> =>
  Result.try({
    try: () => JSON.parse(utf8.decode(payload)) as unknown,
    // The parser's message quotes the line, which may hold what nobody should see.
    catch: () => "it is not JSON in UTF-8"
  })

const fieldOf = (value: unknown, field: string): Result.Result<string, string> => {
  const found = Predicate.isObject(value) && Object.hasOwn(value, field)
    ? (value as Record<string, unknown>)[field]
    : undefined
  return (typeof found === "string" && found !== "") || typeof found === "number"
    ? Result.succeed(String(found))
    : Result.fail(`its field "${oneLine(field)}" is ${isGiven(found) ? "no text and no number" : "missing or empty"}`)
}

const isGiven = (found: unknown): boolean => found !== undefined && found !== ""

const arrived = (payload: Uint8Array, subject: string): Message.Delivery =>
  new Message.Delivery({
    subject,
    payload,
    headerBytes: new Uint8Array(),
    stream: "",
    consumer: "",
    streamSequence: 0,
    consumerSequence: 0,
    deliveryCount: 1,
    timestamp: 0,
    pending: 0,
    overheadBytes: 0
  })

const loadTopic = (text: string): Effect.Effect<AnyTopic, ExitWith> => {
  const at = text.lastIndexOf("#")
  const [file, name] = at === -1 ? [text, "default"] : [text.slice(0, at), text.slice(at + 1)]
  return Effect.flatMap(load(file), (module) => {
    const found = module[name]
    if (isTopic(found)) {
      return Effect.succeed(found)
    }
    const what = name in module ? `is ${describe(found)}, not a topic` : "does not exist"
    const right = name === "default" ? "export default Topic.make(…)" : `export const ${name} = Topic.make(…)`
    return Effect.fail(usage(`${file}: its export "${name}" ${what}; write \`${right}\`, or name another: FILE#EXPORT`))
  })
}

const isTopic = (value: unknown): value is AnyTopic =>
  Predicate.isObject(value) && "template" in value && "encode" in value && "decode" in value
