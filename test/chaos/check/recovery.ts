/** C8: how long after each healing the first message is handled that was delivered after it. */
import type { FaultKind } from "../kinds.ts"
import type { Fault, Run } from "./Run.ts"

export interface Recovery {
  readonly fault: Fault
  /** `undefined`: never. */
  readonly ms: number | undefined
  /** The longest pause between two calls, from before the fault to its recovery. */
  readonly gapMs: number
  /** Another fault fell into it, so that it says nothing about this one. */
  readonly isMixed: boolean
}

export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly count: number
}

/** `inFlight`: so many messages may have been delivered before a fault, and begin after it. */
export const recoveries = (run: Run, inFlight: number): ReadonlyArray<Recovery> =>
  run.faults.flatMap((fault) => {
    const { afterSeq, from, healed } = fault
    if (healed === undefined) {
      return []
    }
    // What is stored after the healing may have a long queue before it, which was delivered after it too.
    const fresh = Math.min(afterSeq, highestBefore(run, from) + inFlight + 1)
    const first = run.calls.find((call) => call.seq >= fresh && call.from >= from)
    const until = first?.from ?? Number.POSITIVE_INFINITY
    const isMixed = run.faults.some((other) =>
      other !== fault && other.from < until && (other.healed ?? Number.POSITIVE_INFINITY) > from
    )
    return [{
      fault,
      ms: first === undefined ? undefined : Math.max(0, first.from - healed),
      gapMs: longestGap(run, from, until),
      isMixed
    }]
  })

export const byKind = (recoveries: ReadonlyArray<Recovery>): Readonly<Partial<Record<FaultKind, Percentiles>>> => {
  const times = new Map<FaultKind, Array<number>>()
  for (const { fault: { kind }, isMixed, ms } of recoveries) {
    if (!isMixed) {
      times.set(kind, [...(times.get(kind) ?? []), ms ?? Number.POSITIVE_INFINITY])
    }
  }
  return Object.fromEntries([...times].map(([kind, all]) => [kind, percentiles(all)]))
}

export const percentiles = (all: ReadonlyArray<number>): Percentiles => {
  const sorted = all.toSorted((a, b) => a - b)
  const at = (q: number) => round(sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN)
  return { p50: at(0.5), p99: at(0.99), max: round(sorted.at(-1) ?? Number.NaN), count: sorted.length }
}

const highestBefore = (run: Run, at: number): number => {
  let highest = 0
  for (const call of run.calls) {
    if (call.from > at) {
      break
    }
    highest = Math.max(highest, call.seq)
  }
  return highest
}

const round = (ms: number): number => Math.round(ms * 10) / 10

const longestGap = (run: Run, from: number, until: number): number => {
  let last = run.calls.findLast((call) => call.from <= from)?.from ?? from
  let longest = 0
  for (const call of run.calls) {
    if (call.from > from && call.from <= until) {
      longest = Math.max(longest, call.from - last)
      last = call.from
    }
  }
  return longest
}
