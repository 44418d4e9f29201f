/** Slips at the two ends of a stream: readers with their lanes and batches, publishers with their attempts. */
import type { Mutant } from "../Mutant.ts"

const handling: ReadonlyArray<Mutant> = [
  {
    name: "ack-before-the-effect",
    breaks: "a message is acknowledged when its handler begins",
    against: "I4",
    file: "src/internal/reader/handling.ts",
    find: `    item.startedAt = now\n`,
    replace: `    item.startedAt = now\n    this.#session.settle(item.delivery, Settlement.ack)\n`
  },
  {
    name: "nak-lost-after-a-failure",
    breaks: "a failed message without a key gets no verdict, and its lease is renewed while nobody works on it",
    against: "I4",
    file: "src/internal/reader/handling.ts",
    find: `        return Effect.andThen(this.#outcomes.settle(item, Settlement.nak(delay)), next)
      }
      item.retries++`,
    replace: `        return next
      }
      item.retries++`,
    seed: 44
  },
  {
    name: "attempts-forget-deliveries",
    breaks: "attempts are counted from one after each redelivery, so a message is never given up",
    against: "I4",
    file: "src/internal/reader/outcome.ts",
    find: `return this.delivery.deliveryCount + this.retries`,
    replace: `return 1 + this.retries`,
    seed: 43
  },
  {
    name: "one-attempt-too-many",
    breaks: "a message is tried once more than maxAttempts",
    against: "I4",
    file: "src/internal/reader/outcome.ts",
    find: `if (item.attempt < this.#maxAttempts) {`,
    replace: `if (item.attempt <= this.#maxAttempts) {`
  },
  {
    name: "terminates-what-was-not-kept",
    breaks: "a message that could not be kept elsewhere is terminated all the same",
    against: "I4",
    file: "src/internal/reader/outcome.ts",
    find: `          return yield* this.keep(item, failure.reason, exit.cause)`,
    replace: `          yield* Effect.logError("it could not be kept", exit.cause)`
  },
  {
    name: "last-verdicts-not-flushed",
    breaks: "verdicts of the last turn before a reader closes are never handed over",
    against: "I9",
    file: "src/internal/reader/session.ts",
    find: `    yield* Effect.addFinalizer(() => session.flush)\n`,
    replace: ``,
    seed: 67
  },
  {
    name: "batch-without-a-budget",
    breaks: "a batch handler that hangs is never interrupted",
    against: "I5",
    file: "src/internal/reader/batching.ts",
    find:
      `      Effect.timeoutOrElse({ duration: millis, orElse: () => Effect.fail(new TimeBudgetExceeded({ millis })) }),\n`,
    replace: ``
  },
  {
    name: "batch-counts-what-it-left-out",
    breaks: "a batch that succeeds settles what it was never given, too: lost leases and undecodable messages",
    against: "I14",
    file: "src/internal/reader/batching.ts",
    find: `? this.#settle(batch, exit.value ?? undefined)`,
    replace: `? this.#settle([...items], exit.value ?? undefined)`
  },
  {
    name: "batch-gives-up-on-the-first",
    breaks: "when a batch fails, only its first message gets a verdict",
    against: "I4",
    file: "src/internal/reader/batching.ts",
    find: `Effect.forEach(batch, (item) => this.#failed(item, exit.cause), { discard: true })`,
    replace: `Effect.forEach(batch.slice(0, 1), (item) => this.#failed(item, exit.cause), { discard: true })`
  }
]

const lanes: ReadonlyArray<Mutant> = [
  {
    name: "lanes-mix-keys",
    breaks: "messages of one key are dealt out to lanes in turn, and run side by side",
    against: "I4",
    file: "src/internal/reader/engine.ts",
    find: `return this.#lanes[mix(Hash.string(key)) % this.#lanes.length] as Lane<A, R>`,
    replace: `return this.#lanes[this.#next++ % this.#lanes.length] as Lane<A, R>`
  },
  {
    name: "overtakes-a-parked-key",
    breaks: "the last message of a lane's line does not wait for its key, which is parked for a retry",
    against: "I4",
    file: "src/internal/reader/engine.ts",
    find: `const parked = fromShared || lane.parked.size === 0 ?`,
    replace: `const parked = fromShared || lane.line.length === 0 ?`,
    seed: 63
  },
  {
    name: "parked-goes-to-the-end",
    breaks: "a key that was parked comes back behind newer messages of its own",
    against: "I4",
    file: "src/internal/reader/engine.ts",
    find: `      lane.line.unshift(items)`,
    replace: `      lane.line.replace([...lane.line.items(), ...items])`,
    seed: 355
  },
  {
    name: "no-room-after-the-last",
    breaks: "a full set of lanes says that it has room again only when it is empty",
    against: "I4",
    file: "src/internal/reader/engine.ts",
    find: `        if (this.#size < this.#options.capacity) {`,
    replace: `        if (this.#size < 0) {`
  },
  {
    name: "time-budget-not-watched",
    breaks: "nobody interrupts a handler that is over its time budget",
    against: "I5",
    file: "src/Lanes.ts",
    find: `if (options.budget !== undefined && Number.isFinite(options.budget.millis)) {`,
    replace: `if (options.budget !== undefined && !Number.isFinite(options.budget.millis)) {`
  }
]

const publishing: ReadonlyArray<Mutant> = [
  {
    name: "dedupe-id-reused",
    breaks: "a topic without an id of its own draws one random id for all of its messages",
    against: "I11",
    file: "src/Topic.ts",
    find: `  return (value: A, given: string | undefined): string | undefined => {
    const id = given ?? ofValue?.(value)
    if (id === undefined) {
      return randomUUID()`,
    replace: `  const random = randomUUID()
  return (value: A, given: string | undefined): string | undefined => {
    const id = given ?? ofValue?.(value)
    if (id === undefined) {
      return random`
  },
  {
    name: "retry-sends-another-message",
    breaks: "a retry of the rest of a batch sends the batch's first messages again in its place",
    against: "I11",
    file: "src/internal/publisher/attempts.ts",
    find: `Arr.map(rest, (index) => batch[index]!)`,
    replace: `Arr.map(rest, (_, index) => batch[index]!)`
  },
  {
    name: "refusal-hides-doubt",
    breaks: "a refused retry turns an attempt in doubt into one that was certainly not sent",
    against: "I11",
    file: "src/internal/publisher/attempts.ts",
    find: `before._tag === "Ambiguous" && after._tag === "NotSent" ?`,
    replace: `before._tag === "NotSent" && after._tag === "Ambiguous" ?`,
    seed: 136
  },
  {
    name: "receipts-out-of-place",
    breaks: "the receipts of a retry are written over those of the batch's first messages",
    against: "I11",
    file: "src/internal/publisher/attempts.ts",
    find: `      receipts[index] = merge(receipts[index]!, again[place]!)`,
    replace: `      receipts[place] = merge(receipts[place]!, again[place]!)`
  }
]

export const ends: ReadonlyArray<Mutant> = [...handling, ...lanes, ...publishing]
