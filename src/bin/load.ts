/**
 * Loads what a command line names: a module, and one of its exports.
 */
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { type ExitWith, oneLine, usage } from "./exit.ts"

/** The module's exports. `file` is relative to where the command was called. */
export const load = (file: string): Effect.Effect<Record<string, unknown>, ExitWith> => {
  const path = resolve(file)
  if (!existsSync(path)) {
    return Effect.fail(usage(`${file}: there is no such file`))
  }
  return Effect.tryPromise({
    try: () => import(pathToFileURL(path).href) as Promise<Record<string, unknown>>,
    catch: (error) => usage(`${file}: cannot be loaded: ${explain(error)}`)
  })
}

/** Says what stands at an export where something else was expected. */
export const describe = (value: unknown): string => {
  if (value === null || value === undefined) {
    return String(value)
  }
  if (typeof value === "function") {
    return value.name === "" || value.name === "default" ? "a function" : `the function ${value.name}`
  }
  return typeof value === "object" ? Array.isArray(value) ? "an array" : "an object" : `a ${typeof value}`
}

const explain = (error: unknown): string => {
  if (!(error instanceof Error)) {
    return oneLine(String(error))
  }
  if ((error as NodeJS.ErrnoException).code === "ERR_UNKNOWN_FILE_EXTENSION") {
    return `Node ${process.version} cannot run a file of this kind; it has to be .js, or .ts with Node 22.19 or newer`
  }
  // The first frame outside of Node is where the module's author has to look.
  const frame = error.stack?.split("\n").find((line) => line.includes("file://") && !line.includes("node_modules"))
  return oneLine(`${error.name}: ${error.message}${frame === undefined ? "" : ` (${frame.trim()})`}`)
}
