/** Counts what happened to each line of the input, and notices what must not happen. */

export interface Summary {
  readonly read: number
  readonly published: number
  readonly processed: number
  readonly retried: number
  readonly rejected: number
  readonly failed: number
  /** Of the rejected and the failed, those that are among the handler's dead letters. */
  readonly deadLettered: number
  /** Of the failed, those that a mended handler has processed after all. Only there with --fixed. */
  readonly replayed?: number
  readonly orderViolations: number
  readonly duplicates: number
  readonly ms: number
}

export class Tally {
  read = 0
  published = 0
  retried = 0
  orderViolations = 0
  duplicates = 0
  deadLettered = 0
  /** Lines that the broker did not take: they never got to a handler. */
  tooLarge = 0
  readonly #begun = new Set<number>()
  readonly #processed = new Set<number>()
  readonly #rejected = new Set<number>()
  readonly #failed = new Set<number>()
  readonly #replayed = new Set<number>()
  readonly #lastOf = new Map<string, number>()
  readonly #startedAt = Date.now()

  /** A handler begins with a line: for the first time, again, or although it was done. */
  begin(line: number): "first" | "again" {
    if (this.#processed.has(line) || this.#replayed.has(line)) {
      this.duplicates++
      return "again"
    }
    if (this.#failed.has(line)) {
      return "again"
    }
    if (this.#begun.has(line)) {
      this.retried++
      return "again"
    }
    this.#begun.add(line)
    return "first"
  }

  processed(line: number, customer: string): void {
    if (this.#failed.has(line)) {
      // It comes out of its customer's order, of course: that has gone on.
      this.#replayed.add(line)
      return
    }
    if (this.#processed.has(line)) {
      return
    }
    this.#processed.add(line)
    if ((this.#lastOf.get(customer) ?? 0) > line) {
      this.orderViolations++
    }
    this.#lastOf.set(customer, line)
  }

  rejected(line: number): void {
    this.#rejected.add(line)
  }

  failed(line: number): void {
    this.#failed.add(line)
  }

  /** How many lines have come to an end, one way or another. */
  get ended(): number {
    return this.#processed.size + this.#rejected.size + this.#failed.size
  }

  get replayed(): number {
    return this.#replayed.size
  }

  summary(isFixed: boolean): Summary {
    return {
      read: this.read,
      published: this.published,
      processed: this.#processed.size,
      retried: this.retried,
      rejected: this.#rejected.size,
      failed: this.#failed.size,
      deadLettered: this.deadLettered,
      ...(isFixed ? { replayed: this.#replayed.size } : {}),
      orderViolations: this.orderViolations,
      duplicates: this.duplicates,
      ms: Date.now() - this.#startedAt
    }
  }
}

/** Everything read came to exactly one end, in order, once; and what did not end well can be found again. */
export const isRight = (summary: Summary, tooLarge = 0): boolean =>
  summary.read === summary.processed + summary.rejected + summary.failed
  && summary.deadLettered === summary.rejected - tooLarge + summary.failed
  && (summary.replayed ?? summary.failed) === summary.failed
  && summary.orderViolations === 0
  && summary.duplicates === 0

export const forPeople = (summary: Summary, where: string, tooLarge = 0): string => {
  const row = (label: string, count: number, meaning: string) =>
    `  ${label.padEnd(12)}${String(count).padStart(8)}  ${meaning}`
  const { duplicates, orderViolations } = summary
  return [
    `${summary.read} orders in ${(summary.ms / 1000).toFixed(1)} s, ${where}`,
    row("processed", summary.processed, `${orderViolations} out of a customer's order, ${duplicates} twice`),
    row("rejected", summary.rejected, "did not decode"),
    row("failed", summary.failed, "out of attempts"),
    row("deadLettered", summary.deadLettered, "of these two, kept as dead letters"),
    ...(summary.replayed === undefined ? [] : [row("replayed", summary.replayed, "of the failed, after the mending")]),
    row("retried", summary.retried, "calls more, because one before had failed"),
    isRight(summary, tooLarge) ? "  every order came to exactly one end" : "  THE NUMBERS DO NOT ADD UP"
  ].join("\n")
}
