/** Plays programs on both transports, and says where they differ. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Program } from "./program.ts"
import { type Line, record, type Trace } from "./recorder.ts"
import { inMemory, type Stage } from "./stage.ts"
import * as Say from "./words.ts"

/** Another transport to compare the broker in memory with. */
export type Other = (
  program: Program,
  play: (stage: Stage) => Effect.Effect<Trace, never, Scope.Scope>
) => Effect.Effect<Trace>

export interface Outcome {
  readonly program: Program
  readonly memory: Trace
  readonly other: Trace
  readonly equal: boolean
  /** How often it was played again, alone, because the traces differed. */
  readonly retried: number
}

export interface Options {
  readonly other: Other
  /** How many are played at once. */
  readonly atOnce: number
  /** How often a program that differs is played again; at most twice. */
  readonly retriesMax?: number
  readonly onDone?: (outcome: Outcome) => void
}

const HANGS_AFTER_MS = 60_000
/** So many of the programs may be played again, and at least so few. Where more of them differ, no machine is to blame. */
const AGAIN_SHARE = 0.1
const AGAIN_MIN = 3
let plays = 0

/** The same name for both, so that everything that counts its bytes counts the same. */
const nameOf = (program: Program): string => `T${process.pid.toString(36)}_${program.seed}_${++plays}`

export const compare = (program: Program, other: Other): Effect.Effect<Outcome> =>
  Effect.gen(function*() {
    const name = nameOf(program)
    const memory = yield* inTime(inMemory(record(program, name)))
    const there = yield* inTime(other(program, record(program, name, memory)))
    return { program, memory, other: there, equal: isEqual(memory.lines, there.lines), retried: 0 }
  })

/**
 * All of them, many at once. Those that differ once more, a few at a time, and then each alone, to tell a busy machine
 * from a difference; a tenth of all at most.
 */
export const compareAll = (programs: ReadonlyArray<Program>, options: Options): Effect.Effect<ReadonlyArray<Outcome>> =>
  Effect.gen(function*() {
    let outcomes: ReadonlyArray<Outcome> = yield* Effect.forEach(
      programs,
      (program) => compare(program, options.other),
      {
        concurrency: options.atOnce
      }
    )
    const rounds = [Math.ceil(options.atOnce / 10), 1].slice(0, options.retriesMax ?? Number.POSITIVE_INFINITY)
    const most = Math.max(AGAIN_MIN, Math.floor(programs.length * AGAIN_SHARE))
    const chosen = new Set(outcomes.filter(({ equal }) => !equal).slice(0, most).map(({ program }) => program))
    for (const concurrency of rounds) {
      const again = (outcome: Outcome) =>
        outcome.equal || !chosen.has(outcome.program)
          ? Effect.succeed(outcome)
          : Effect.map(compare(outcome.program, options.other), (last) => ({ ...last, retried: outcome.retried + 1 }))
      outcomes = yield* Effect.forEach(outcomes, again, { concurrency })
    }
    for (const outcome of outcomes) {
      options.onDone?.(outcome)
    }
    return outcomes
  })

/** One that hangs differs from every other, itself included. */
const inTime = (trace: Effect.Effect<Trace>): Effect.Effect<Trace> =>
  Effect.timeoutOrElse(trace, {
    duration: HANGS_AFTER_MS,
    orElse: () => Effect.succeed({ lines: [{ step: -1, text: `hangs (${++plays})` }], seen: new Map() })
  })

const isEqual = (some: ReadonlyArray<Line>, others: ReadonlyArray<Line>): boolean =>
  some.length === others.length
  && some.every((line, index) => line.step === others[index]?.step && line.text === others[index].text)

/** The first steps whose lines differ, with the steps before, in the words of both. */
export const difference = ({ memory, other, program }: Outcome, steps = 2): ReadonlyArray<string> => {
  const said = [`${program.kind}: ${Say.config(program.stream)}`, ...program.consumers.map(Say.config)]
  const differing: Array<number> = []
  // One after the last step is the end, and one more what became of the readers there.
  for (let step = -1; step <= program.steps.length + 1; step++) {
    if (!isEqual(of(memory, step), of(other, step))) {
      differing.push(step)
    }
  }
  const upTo = differing[steps - 1] ?? differing.at(-1) ?? -1
  for (let step = 0; step <= upTo; step++) {
    const at = program.steps[step]
    said.push(
      at === undefined
        ? step > program.steps.length ? "closing" : "at the end"
        : `#${step} @${at.atMs} ${Say.operation(at.operation)}`
    )
    const [mine, theirs] = [of(memory, step), of(other, step)]
    if (!isEqual(mine, theirs)) {
      said.push(...sides(mine, theirs))
    }
  }
  return said
}

const of = ({ lines }: Trace, step: number): ReadonlyArray<Line> => lines.filter((line) => line.step === step)

const sides = (mine: ReadonlyArray<Line>, theirs: ReadonlyArray<Line>): ReadonlyArray<string> => {
  const [a, b] = [mine.map(({ text }) => text), theirs.map(({ text }) => text)]
  return [
    ...a.filter((text) => b.includes(text)).map((text) => `      ${text}`),
    ...a.filter((text) => !b.includes(text)).map((text) => `    - memory: ${text}`),
    ...b.filter((text) => !a.includes(text)).map((text) => `    + server: ${text}`),
    ...(a.toSorted().join() === b.toSorted().join() ? ["    in another order"] : [])
  ]
}
