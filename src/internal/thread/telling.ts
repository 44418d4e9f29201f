/**
 * What the I/O thread logs and counts. Nobody listens over there: all of it is told to the application, which writes it
 * where it writes its own.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type { Severity } from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as References from "effect/References"

export interface Logged {
  readonly level: Severity
  readonly text: string
  readonly annotations: Record<string, unknown>
}

/** By how much a counter has grown. */
export interface Counted {
  readonly name: string
  readonly attributes: Metric.Metric.AttributeSet | undefined
  readonly by: number
}

/** Sends every line; the application knows which levels it wants. */
export const loggerTo = (send: (line: Logged) => void): Layer.Layer<never> =>
  Layer.merge(
    Logger.layer([
      Logger.make((options) => {
        const { annotations, cause, message } = Logger.formatStructured.log(options)
        const text = typeof message === "string" ? message : JSON.stringify(message)
        const level = options.logLevel === "All" || options.logLevel === "None" ? "Info" : options.logLevel
        send({ level, text: cause === undefined ? text : `${text}\n${cause}`, annotations })
      })
    ]),
    Layer.succeed(References.MinimumLogLevel, "All")
  )

export const log = ({ annotations, level, text }: Logged): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWithLevel(level)(text), annotations)

/** Finds by how much each counter has grown since it was last asked. */
export const growth = (context: Context.Context<never>): () => ReadonlyArray<Counted> => {
  const told = new Map<string, number>()
  return () => {
    const grown: Array<Counted> = []
    for (const { attributes, id, state, type } of Metric.snapshotUnsafe(context)) {
      const key = JSON.stringify([id, attributes])
      const count = type === "Counter" ? Number(state.count) : 0
      const by = count - (told.get(key) ?? 0)
      if (by > 0) {
        told.set(key, count)
        grown.push({ name: id, attributes, by })
      }
    }
    return grown
  }
}

export const count = (grown: ReadonlyArray<Counted>, context: Context.Context<never>): void => {
  for (const { attributes, by, name } of grown) {
    const counter = Metric.counter(name, {
      incremental: true,
      ...(attributes === undefined ? undefined : { attributes })
    })
    counter.updateUnsafe(by, context)
  }
}
