/** C3: whatever the server counts as acknowledged has had its effect before, as its worker wrote down. */
import { nameOf, type Run } from "./Run.ts"

export const ackedUnprocessed = (run: Run): ReadonlyArray<string> => {
  const first = firstEffects(run)
  const wrong = new Map<number, string>()
  const check = (seq: number, at: number, how: string) => {
    const effect = first.get(seq)
    if ((effect === undefined || effect > at) && !wrong.has(seq)) {
      const message = run.bySequence.get(seq)
      const name = message === undefined ? "" : ` (${nameOf(message)})`
      const late = effect === undefined ? "" : `, ${(effect - at).toFixed(1)} ms too early`
      wrong.set(seq, `C3: ${seq}${name} was ${how} without an effect${late}`)
    }
  }
  for (const { at, kind, seq } of run.acks) {
    if (kind === "acked") {
      check(seq, at, "acknowledged")
    }
  }
  let upTo = 0
  for (const { at, seq } of run.floors) {
    for (; upTo < seq; upTo++) {
      check(upTo + 1, at, "below the ack floor")
    }
  }
  return [...wrong.values()]
}

const firstEffects = (run: Run): ReadonlyMap<number, number> => {
  const first = new Map<number, number>()
  for (const { effectAt, seq } of run.calls) {
    if (effectAt !== undefined && effectAt < (first.get(seq) ?? Number.POSITIVE_INFINITY)) {
      first.set(seq, effectAt)
    }
  }
  return first
}
