/** Where a new consumer begins to read. */
import type * as Topology from "../../Topology.ts"
import type { Log, Stored } from "./log.ts"

export interface Beginning {
  /** Everything from here on is read. */
  readonly next: number
  /** Read before that: the newest message of each subject, in order. */
  readonly latest: Set<number>
}

export const beginning = (
  start: Topology.ConsumerStart,
  log: Log,
  reads: (subject: string) => boolean,
  filtered: boolean
): Beginning => {
  const end = log.last + 1
  const from = (next: number): Beginning => ({ next: Math.max(log.first, next), latest: new Set() })
  switch (start._tag) {
    case "all":
      return from(log.first)
    case "new":
      return from(end)
    case "last":
      // Without a filter it is the last sequence, whether there still is a message.
      return from(filtered ? lastOfEach(log, reads).at(-1) ?? end : log.last)
    case "lastPerSubject":
      return { next: end, latest: new Set(lastOfEach(log, reads)) }
    case "sequence":
      return from(start.sequence)
    case "time":
      return from(firstWhere(log, (message) => message.timestamp >= start.millis))
  }
}

/** How many messages that it reads are there from a sequence on. */
export const countFrom = (log: Log, next: number, reads: (subject: string) => boolean): number => {
  let count = 0
  if (next <= log.first) {
    for (const subject of log.subjects.values()) {
      count += reads(subject.name) ? subject.messages : 0
    }
    return count
  }
  for (let sequence = next; sequence <= log.last; sequence++) {
    const message = log.get(sequence)
    count += message !== undefined && reads(message.subject.name) ? 1 : 0
  }
  return count
}

// internals

const lastOfEach = (log: Log, reads: (subject: string) => boolean): ReadonlyArray<number> => {
  const sequences: Array<number> = []
  for (const name of log.subjects.keys()) {
    const last = reads(name) ? log.lastOf(name) : undefined
    if (last !== undefined) {
      sequences.push(last.sequence)
    }
  }
  return sequences.sort((a, b) => a - b)
}

const firstWhere = (log: Log, accepts: (message: Stored) => boolean): number => {
  for (let sequence = log.first; sequence <= log.last; sequence++) {
    const message = log.get(sequence)
    if (message !== undefined && accepts(message)) {
      return sequence
    }
  }
  return log.last + 1
}
