/** Which fault meets which operation: drawn from a seed, counted off, or read from a list. */
import type { Injected, Kind, Operation, Plan } from "./words.ts"

/** What is about to happen, and to what. */
export interface Site {
  readonly operation: Operation
  /** The kinds that make sense here, in the order in which they are tried. */
  readonly kinds: ReadonlyArray<Kind>
  /** For people and checkers: a subject, or `stream consumer sequence`. */
  readonly what: string
}

/** Which kind `Plan.nth` chooses for an operation. */
const NTH: Readonly<Record<Operation, Kind>> = {
  publish: "refusePublish",
  open: "refuseOpen",
  take: "endTake",
  settle: "loseVerdict"
}

/** Every kind of fault. */
export const KINDS: ReadonlyArray<Kind> = [
  "refusePublish",
  "losePublish",
  "loseReceipt",
  "refuseOpen",
  "slowTake",
  "lateDelivery",
  "reorder",
  "endTake",
  "loseVerdict",
  "repeatDelivery",
  "lateVerdict",
  "disconnect"
]

export class Decider {
  readonly injected: Array<Injected> = []
  readonly #plan: Plan
  readonly #now: () => number
  readonly #counts: Record<Operation, number> = { publish: 0, open: 0, take: 0, settle: 0 }
  #total = 0
  #healed = false

  constructor(plan: Plan, now: () => number) {
    this.#plan = plan
    this.#now = now
  }

  heal(): void {
    this.#healed = true
  }

  /** Counts the operation, and says which fault meets it. */
  next({ kinds, operation, what }: Site): Injected | undefined {
    const at = ++this.#counts[operation]
    this.#total++
    if (this.#healed) {
      return undefined
    }
    const found = this.#choose(operation, at, kinds)
    if (found === undefined) {
      return undefined
    }
    const injected: Injected = { ...found, operation, at, what, atMs: this.#now() }
    this.injected.push(injected)
    return injected
  }

  #choose(
    operation: Operation,
    at: number,
    kinds: ReadonlyArray<Kind>
  ): { readonly kind: Kind; readonly delayMs: number } | undefined {
    const plan = this.#plan
    switch (plan._tag) {
      case "nth": {
        const kind = NTH[operation]
        return this.#total === plan.n && kinds.includes(kind) ? { kind, delayMs: plan.delayMs } : undefined
      }
      case "listed": {
        const fault = plan.faults.find((one) => one.operation === operation && one.at === at)
        return fault !== undefined && kinds.includes(fault.kind) ? fault : undefined
      }
      case "random": {
        for (const kind of kinds) {
          const salt = KINDS.indexOf(kind) * 2
          if (chance(plan.seed, salt, at) < (plan.rates[kind] ?? 0)) {
            return { kind, delayMs: Math.floor(chance(plan.seed, salt + 1, at) * plan.delayMs) }
          }
        }
        return undefined
      }
    }
  }
}

/**
 * A number from 0 to 1 for a place in a run. It depends on the place alone, not on what was drawn before, so that a fault
 * that is left out moves no other.
 */
const chance = (seed: number, salt: number, at: number): number => {
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(salt + 1, 0xc2b2ae35) ^ Math.imul(at, 0x27d4eb2f))
    >>> 0
  for (let round = 0; round < 2; round++) {
    state = (state + 0x6d2b79f5) >>> 0
    state = Math.imul(state ^ (state >>> 15), state | 1)
    state ^= state + Math.imul(state ^ (state >>> 7), state | 61)
    state = (state ^ (state >>> 14)) >>> 0
  }
  return state / 4_294_967_296
}
