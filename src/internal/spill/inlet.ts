/** Opens an inlet whose deliveries go over the disk, on an inlet of the same transport that leads there. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Spill from "../../Spill.ts"
import type { Flow, Inlet, Source } from "../../Transport.ts"
import { invalid, type TransportError } from "../../TransportError.ts"
import { Files } from "./files.ts"
import * as Lock from "./lock.ts"
import { Log } from "./log.ts"
import { Report } from "./report.ts"
import { Spilled } from "./spilled.ts"
import { attempt } from "./trouble.ts"

type Open = (source: Source, flow: Flow) => Effect.Effect<Inlet, TransportError, Scope.Scope>

/** Opens a source as `open` does, and spills if its queue says so. */
export const over = (open: Open): Open => (source, flow) =>
  flow.queue.strategy === "spill" ? spilling(open, source, flow) : open(source, flow)

const spilling = (open: Open, source: Source, flow: Flow): Effect.Effect<Inlet, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    const settings = flow.queue.spill
    const problem = Spill.problemOf(settings, source._tag, flow.ack)
    if (settings === undefined || problem !== undefined || source._tag !== "durable") {
      return yield* Effect.fail(invalid("queue", ...problem!))
    }
    const files = yield* Files
    const owner = { stream: source.stream, consumer: source.consumer }
    const log = new Log(files, settings, owner)
    yield* locked(files, settings.directory)
    yield* Effect.acquireRelease(
      attempt(settings.directory, () => log.open()),
      () => Effect.promise(() => log.close().catch(() => undefined))
    )
    const half = Math.floor(flow.queue.bytes / 2)
    const inner = yield* open(source, {
      queue: { ...flow.queue, strategy: "suspend", bytes: flow.queue.bytes - half, spill: undefined },
      ack: { _tag: "onProcess" },
      timeBudgetMs: Number.POSITIVE_INFINITY
    })
    const spilled = new Spilled(inner, log, {
      settings,
      messages: flow.queue.messages,
      bytes: half,
      clock: yield* Clock.Clock,
      report: new Report(owner, settings.directory, yield* Effect.context<never>())
    })
    yield* spilled.start
    return spilled
  })

/** For this reader alone, for as long as the scope is open. */
const locked = (files: Files, directory: string): Effect.Effect<void, TransportError, Scope.Scope> =>
  Effect.andThen(
    attempt(directory, () => files.makeDirectory(directory)),
    Effect.asVoid(Effect.acquireRelease(
      attempt(directory, () => Lock.take(directory)),
      (letGo) => Effect.promise(() => letGo().catch(() => undefined))
    ))
  )
