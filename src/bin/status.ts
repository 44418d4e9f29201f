/**
 * One live line at the bottom of a terminal. Without a terminal there is none: a log file is no place for a spinner.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
const clear = "\r\u001b[2K"

/** What stands at the bottom now; log lines go above it. */
let current = ""

/** Writes whole lines to stderr, above the status line. */
export const print = (lines: string): void => {
  process.stderr.write(current === "" ? `${lines}\n` : `${clear}${lines}\n${current}`)
}

/** Takes the status line away, for a process that ends without closing anything. */
export const end = (): void => {
  if (current !== "") {
    current = ""
    process.stderr.write(clear)
  }
}

/** Shows a line and keeps it fresh until the scope closes. */
export const show = (text: () => string): Effect.Effect<void, never, Scope.Scope> =>
  process.stderr.isTTY
    ? Effect.gen(function*() {
      let frame = 0
      const draw = Effect.sync(() => {
        frame = (frame + 1) % frames.length
        // A line that wraps cannot be cleared.
        current = `${frames[frame]} ${text()}`.slice(0, Math.max(20, (process.stderr.columns ?? 80) - 1))
        process.stderr.write(`${clear}${current}`)
      })
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          current = ""
          process.stderr.write(clear)
        })
      )
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(draw, Effect.sleep("125 millis"))))
    })
    : Effect.void

/** How fast something grows, per second, over the last two seconds. */
export const rate = (now: () => number): (value: number) => number => {
  const samples: Array<readonly [at: number, value: number]> = []
  return (value) => {
    const at = now()
    samples.push([at, value])
    while (samples.length > 2 && samples[0]![0] < at - 2_000) {
      samples.shift()
    }
    const [since, before] = samples[0]!
    return at === since ? 0 : Math.round((value - before) * 1_000 / (at - since))
  }
}

export const count = (value: number): string => value.toLocaleString("en-US")

/** `[######------]  48 %`, or nothing where the whole is not known. */
export const bar = (done: number, whole: number): string => {
  if (whole <= 0) {
    return ""
  }
  const share = Math.min(1, done / whole)
  const filled = Math.round(share * 24)
  return `[${"#".repeat(filled)}${"-".repeat(24 - filled)}] ${Math.floor(share * 100).toString().padStart(3)} % `
}
