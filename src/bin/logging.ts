/**
 * Logs go to stderr, above the status line: for people with `pretty`, for machines with `json`.
 */
import * as Inspectable from "effect/Inspectable"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { oneLine } from "./exit.ts"
import * as Status from "./status.ts"

export type Format = "pretty" | "json"

/** Replaces every logger: a library that logged to stdout would write into somebody's data. */
export const layer = (format: Format): Layer.Layer<never> =>
  Logger.layer([format === "json" ? Logger.map(Logger.formatJson, Status.print) : pretty])

const pretty: Logger.Logger<unknown, void> = Logger.map(Logger.formatStructured, (entry) => {
  const time = entry.timestamp.slice(11, 23)
  const annotations = Object.entries(entry.annotations).map(([key, value]) => ` ${key}=${text(value)}`)
  const cause = entry.cause === undefined ? "" : `: ${text(entry.cause)}`
  Status.print(`${time} ${entry.level.padEnd(5)} ${oneLine(`${text(entry.message)}${cause}`)}${annotations.join("")}`)
})

const text = (value: unknown): string =>
  Array.isArray(value)
    ? value.map(text).join(" ")
    : typeof value === "string"
    ? value
    : Inspectable.toStringUnknown(value, 0)
