/** C1 and C2: what a publisher was told is stored has its effect, and nothing has one that nobody published. */
import { type Message, nameOf, type Run } from "./Run.ts"

export interface Losses {
  /** Confirmed, stored, and without an effect. */
  readonly lost: number
  /** Confirmed, and not in the stream: the server's loss. */
  readonly lostByServer: number
  readonly findings: ReadonlyArray<string>
}

export const losses = (run: Run): Losses => {
  const lost: Array<Message> = []
  const lostByServer: Array<Message> = []
  for (const message of run.messages.values()) {
    if (message.confirmed === undefined) {
      continue
    }
    if (message.stored.length === 0) {
      lostByServer.push(message)
    } else if (message.made === 0) {
      lost.push(message)
    }
  }
  return {
    lost: lost.length,
    lostByServer: lostByServer.length,
    findings: [...told(run, lost, "C1: no effect of"), ...told(run, lostByServer, "C1: the server has lost")]
  }
}

export const inventions = (run: Run): ReadonlyArray<string> => {
  const findings: Array<string> = []
  for (const message of run.messages.values()) {
    const name = nameOf(message)
    if (message.intended === undefined) {
      findings.push(`C2: nobody published ${name}, which was ${message.calls.length > 0 ? "handled" : "found"}`)
    }
    if (message.wrongHash) {
      findings.push(`C2: ${name} was not handled as it was published`)
    }
    if (message.notSent && message.confirmed === undefined && message.stored.length > 0) {
      findings.push(`C2: ${name} is stored, and its publisher was told that it was certainly not`)
    }
    if (message.made > 0 && !message.calls.some(({ effectAt }) => effectAt !== undefined)) {
      findings.push(`C2: ${name} has an effect that no handler made`)
    }
    if (message.stored.length > 1) {
      findings.push(`C12: ${name} is stored ${message.stored.length} times: ${message.stored.join(", ")}`)
    }
  }
  return findings
}

// internals

/** One line for each run of consecutive numbers of a publisher: where in his journal it lies, and in which fault. */
const told = (run: Run, messages: ReadonlyArray<Message>, what: string): ReadonlyArray<string> => {
  const last = new Map<number, number>()
  for (const { n, pub } of run.messages.values()) {
    last.set(pub, Math.max(n, last.get(pub) ?? 0))
  }
  const sorted = messages.toSorted((a, b) => a.pub - b.pub || a.n - b.n)
  const ranges: Array<Array<Message>> = []
  for (const message of sorted) {
    const range = ranges.at(-1)
    const before = range?.at(-1)
    if (range !== undefined && before?.pub === message.pub && before.n + 1 === message.n) {
      range.push(message)
    } else {
      ranges.push([message])
    }
  }
  return ranges.map((range) => {
    const [first, end] = [range[0]!, range.at(-1)!]
    const place = first.n <= 1 ? "prefix" : end.n === last.get(first.pub) ? "postfix" : "middle"
    const fault = faultAt(run, first.confirmed?.at ?? 0)
    return `${what} ${nameOf(first)}${range.length > 1 ? ` to ${nameOf(end)}` : ""} (${place}), confirmed ${fault}`
  })
}

const faultAt = (run: Run, at: number): string => {
  const fault = run.faults.findLast(({ from }) => from <= at)
  return fault === undefined
    ? "before any fault"
    : at <= (fault.healed ?? Number.POSITIVE_INFINITY)
    ? `during fault ${fault.no} (${fault.kind})`
    : `after fault ${fault.no} (${fault.kind})`
}
