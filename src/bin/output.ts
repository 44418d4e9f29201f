/**
 * stdout, which carries data and nothing else, and stderr, which carries everything for people.
 */
import * as Effect from "effect/Effect"

/** Writes to stdout, and waits while whoever reads it is slow. */
export const write = (text: string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    // Whoever read it has gone; nothing will ever drain.
    if (process.stdout.destroyed || process.stdout.write(text)) {
      return resume(Effect.void)
    }
    const go = () => resume(Effect.void)
    // A pipe that breaks never drains; `close` says so.
    process.stdout.once("drain", go)
    process.stdout.once("close", go)
    return Effect.sync(() => {
      process.stdout.off("drain", go)
      process.stdout.off("close", go)
    })
  })

/** Waits until everything that was written has left the process; `process.exit` would cut it off. */
export const flush = async (): Promise<void> => {
  await Promise.all([process.stdout, process.stderr].map((stream) =>
    new Promise<void>((resolve) => {
      if (stream.destroyed || stream.writableLength === 0) {
        return resolve()
      }
      stream.once("close", resolve)
      stream.write("", () => resolve())
    })
  ))
}
