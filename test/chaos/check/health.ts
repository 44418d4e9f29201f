/** C9: what the program tells of itself is never wrong for longer than three seconds. */
import { BREAKS_LINE, BREAKS_SERVER } from "../kinds.ts"
import type { Recovery } from "./recovery.ts"
import type { Run } from "./Run.ts"

/** What a look every tenth of a second may miss, and what a busy machine takes. */
const TOLERANCE_MS = 300
const MAY_BE_WRONG_MS = 3_000 + TOLERANCE_MS

interface Span {
  readonly isHealthy: boolean
  readonly from: number
  readonly until: number
}

/**
 * In `block` only a program that looks from another thread than the blocked one can tell. A server that is away is told of if
 * that is noticed: where others take over in time, messages come, and all is well.
 */
export const lies = (
  run: Run,
  recoveries: ReadonlyArray<Recovery>,
  tellsOfBlocks: boolean
): ReadonlyArray<string> => {
  const spans = spansOf(run)
  const findings: Array<string> = []
  for (const { fault, ms } of recoveries) {
    const { from, healed = Number.POSITIVE_INFINITY, kind, no } = fault
    const back = ms === undefined ? Number.POSITIVE_INFINITY : healed + ms
    if (BREAKS_LINE.has(kind) || BREAKS_SERVER.has(kind) || (tellsOfBlocks && kind === "block")) {
      const due = (tellsOfBlocks ? from : looksFrom(recoveries, from)) + MAY_BE_WRONG_MS
      if (due < Math.max(back, healed) && covers(spans, true, from, due)) {
        findings.push(`C9: healthy ${MAY_BE_WRONG_MS} ms into fault ${no} (${kind}), which nothing came through`)
      }
    }
  }
  return [...findings, ...alarms(run, spans, recoveries)]
}

/** Who is blocked at this time and looks from the blocked thread begins to look when that is over. */
const looksFrom = (recoveries: ReadonlyArray<Recovery>, from: number): number =>
  Math.max(
    from,
    ...recoveries.map(({ fault }) => fault)
      .filter((fault) => fault.kind === "block" && fault.from < from + MAY_BE_WRONG_MS)
      .map(({ healed = from }) => healed)
  )

/** The other way round: all that was broken is mended and has been survived, and it says that it is not well. */
const alarms = (run: Run, spans: ReadonlyArray<Span>, recoveries: ReadonlyArray<Recovery>): ReadonlyArray<string> => {
  const findings: Array<string> = []
  const ended = Math.max(
    0,
    ...[...run.workers.values()].map(({ gone }) => gone === undefined ? 0 : gone.at - gone.tookMs)
  )
  const backs = recoveries.map(({ fault, ms }) => (fault.healed ?? 0) + (ms ?? Number.POSITIVE_INFINITY))
  for (const [index, { fault: { from, kind, no } }] of recoveries.entries()) {
    const back = backs[index]!
    // Until the next one begins; not while another one lasts.
    const others = recoveries.filter((other) => other.fault.no !== no)
    const until = Math.min(ended, ...others.map((other) => other.fault.from > from ? other.fault.from : ended))
    const lasts = others.some((other) => other.fault.from <= from && backs[recoveries.indexOf(other)]! > back)
    const alarm = spans.find((span) =>
      !span.isHealthy && Math.min(span.until, until) - Math.max(span.from, back) >= MAY_BE_WRONG_MS
    )
    if (!lasts && alarm !== undefined) {
      const after = Math.round(Math.max(0, alarm.from - back))
      findings.push(
        `C9: unhealthy for ${MAY_BE_WRONG_MS} ms, ${after} ms after the first message of fault ${no} (${kind})`
      )
    }
  }
  return findings
}

/** How long a fault lasted until the program told of it; `undefined` if it never did. */
export const seenAfter = (run: Run, from: number): number | undefined => {
  const span = spansOf(run).find((span) => !span.isHealthy && span.until > from)
  return span === undefined ? undefined : Math.max(0, span.from - from)
}

const spansOf = (run: Run): ReadonlyArray<Span> =>
  run.health.map(({ at, kind }, index) => ({
    isHealthy: kind === "healthy",
    from: at,
    until: run.health[index + 1]?.at ?? Number.POSITIVE_INFINITY
  }))

/** Whether it says the same all the time from the one moment to the other. */
const covers = (spans: ReadonlyArray<Span>, isHealthy: boolean, from: number, until: number): boolean => {
  const inside = spans.filter((span) => span.from < until && span.until > from)
  return inside.length > 0 && inside[0]!.from <= from && inside.every((span) => span.isHealthy === isHealthy)
}
