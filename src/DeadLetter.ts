/**
 * Keeps what handlers have given up, one queue per handler, and brings it back to them.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Letters from "./internal/reader/letters.ts"
import * as Topology from "./Topology.ts"

/**
 * Declares the stream of dead letters: `DLQ`, limits retention, 14 days, its subjects `dlq.>`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const stream = (options: {
  readonly name?: string
  readonly prefix?: string
  readonly maxAge?: Duration.Input
  readonly maxBytes?: number
  readonly replicas?: number
  readonly storage?: "file" | "memory"
  readonly duplicateWindow?: Duration.Input
} = {}): Topology.Stream => {
  const { name = Letters.STREAM, prefix, ...more } = options
  return Topology.stream(name, {
    maxAge: "14 days",
    duplicateWindow: "1 hour",
    // A full stream must not push out what somebody still has to look at.
    discard: "new",
    ...more,
    subjects: [`${Letters.prefixOf({ stream: name, ...(prefix === undefined ? {} : { prefix }) })}.>`]
  })
}
