/** What a spill tells: in the log, and in the metrics. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metrics from "../../Metrics.ts"
import { Trouble } from "./trouble.ts"

export class Report {
  readonly #reader: string
  readonly #directory: string
  readonly #metrics: Metrics.Spill
  readonly #context: Context.Context<never>
  readonly stored: (count: number) => void

  constructor(labels: Metrics.Labels, directory: string, context: Context.Context<never>) {
    this.#reader = `reader ${labels.stream}/${labels.consumer}`
    this.#directory = directory
    this.#metrics = Metrics.spill(labels)
    this.#context = context
    this.stored = Metrics.updater(this.#metrics.stored, context)
  }

  /** What the process before this one has left. */
  found({ cutBytes, recovered }: { readonly recovered: number; readonly cutBytes: number }): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (recovered === 0 && cutBytes === 0) {
        return Effect.void
      }
      Metrics.updater(this.#metrics.recovered, this.#context)(recovered)
      const cut = cutBytes === 0 ? "" : `; ${cutBytes} bytes behind them were not whole, and never acknowledged`
      return Effect.logInfo(`${this.#reader}: goes on with ${recovered} messages in "${this.#directory}"${cut}`)
    })
  }

  damaged(count: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      Metrics.updater(this.#metrics.damaged, this.#context)(count)
      const kept = `their files are kept as "*.damaged" in "${this.#directory}"`
      return Effect.logError(`${this.#reader}: ${count} messages on disk cannot be read, and are lost; ${kept}`)
    })
  }

  trouble(consequence: string): Trouble {
    return new Trouble(
      `${this.#reader}: ${consequence}`,
      (code) => Metrics.updater(this.#metrics.failures(code), this.#context)(1)
    )
  }
}
