/**
 * Durations as people write them: `500ms`, `30s`, `15m`, `2h`, `7d`.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

export const parse = (text: string): Option.Option<Duration.Duration> => {
  const [, value, unit] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/u.exec(text.trim()) ?? []
  return value === undefined || unit === undefined
    ? Option.none()
    : Option.some(Duration.millis(Number(value) * units[unit as keyof typeof units]))
}
