/**
 * Chooses among letters, and counts them.
 */
import * as Duration from "effect/Duration"
import type * as Provenance from "../../Provenance.ts"
import type { Letter } from "./scanning.ts"

/**
 * Which letters: all that everything given here applies to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Query {
  /** The stream of dead letters. Default `DLQ`. */
  readonly dlq?: string
  /** `STREAM/consumer`: whose letters. */
  readonly handler?: string
  /** The tag of the error. */
  readonly reason?: string
  readonly kind?: Provenance.Kind
  readonly ids?: ReadonlyArray<number>
  /** Stored within this time until now. */
  readonly within?: Duration.Input
  /** Stored longer ago than this. */
  readonly olderThan?: Duration.Input
  /** Default `"open"`: what nobody has replayed or dropped. */
  readonly state?: Letter["state"] | "any"
}

/**
 * How many letters of one handler stand alike.
 *
 * @category models
 * @since 0.1.0
 */
export interface Group {
  readonly handler: string
  readonly kind: Provenance.Kind
  readonly reason: string
  readonly state: Letter["state"]
  readonly count: number
  /** When the first and the last of them were stored, in milliseconds since 1970. */
  readonly oldest: number
  readonly newest: number
}

/**
 * Counts letters by handler, kind, reason and state.
 *
 * @category looking
 * @since 0.1.0
 */
export const summary = (letters: ReadonlyArray<Letter>): ReadonlyArray<Group> => {
  const groups = new Map<string, Group>()
  for (const { provenance, state, storedAt } of letters) {
    const handler = handlerOf(provenance)
    const { kind, reason } = provenance
    const key = JSON.stringify([handler, kind, reason, state])
    const { count, newest, oldest } = groups.get(key) ?? { count: 0, oldest: storedAt, newest: storedAt }
    groups.set(key, {
      handler,
      kind,
      reason,
      state,
      count: count + 1,
      oldest: Math.min(oldest, storedAt),
      newest: Math.max(newest, storedAt)
    })
  }
  return [...groups.values()].toSorted((a, b) => a.handler.localeCompare(b.handler) || b.count - a.count)
}

/** Whether a letter is meant. */
export const matching = (query: Query, now: number) => {
  const millis = (input: Duration.Input) => Duration.toMillis(Duration.fromInputUnsafe(input))
  const { handler, ids, kind, olderThan, reason, state = "open", within } = query
  const since = within === undefined ? Number.NEGATIVE_INFINITY : now - millis(within)
  const until = olderThan === undefined ? Number.POSITIVE_INFINITY : now - millis(olderThan)
  const wanted = ids === undefined ? undefined : new Set(ids)
  return (letter: Letter): boolean =>
    (state === "any" || letter.state === state)
    && (handler === undefined || handlerOf(letter.provenance) === handler)
    && (reason === undefined || letter.provenance.reason === reason)
    && (kind === undefined || letter.provenance.kind === kind)
    && (wanted === undefined || wanted.has(letter.id))
    && letter.storedAt >= since
    && letter.storedAt <= until
}

// internals

const handlerOf = ({ consumer, stream }: Provenance.Provenance): string => `${stream}/${consumer}`
