/** What was set out to be reached, and whether a run has reached it. Ratios of one run, medians of its rounds. */
import type { Side } from "./order.ts"
import { type Row, thousands } from "./report.ts"
import type { Workload } from "./workloads.ts"

export interface Goal {
  /** What is said of it where it is missed begins with this. */
  readonly id: string
  readonly what: string
  readonly goal: string
  readonly workload: Workload
  /** Whether it is in the README, too. */
  readonly isFirst?: boolean
  readonly measured: (row: (side: Side) => Row) => Measured
}

interface Measured {
  readonly text: string
  readonly isMet: boolean
}

const atLeast = (least: number, side: Side): Goal["measured"] => (row) => {
  const { msgs, ratio } = row(side)
  return {
    text: `${ratio.toFixed(2)}× (${thousands(msgs)}/s, raw ${thousands(row("raw").msgs)}/s)`,
    isMet: ratio >= least
  }
}

const both = (one: Goal["measured"], other: Goal["measured"]): Goal["measured"] => (row) => {
  const [first, second] = [one(row), other(row)]
  return { text: `${first.text}; ${second.text}`, isMet: first.isMet && second.isMet }
}

const busyAtMost = (most: number, side: Side): Goal["measured"] => (row) => {
  const { mainBusy } = row(side)
  return { text: `main thread ${percent(mainBusy)} busy, raw ${percent(row("raw").mainBusy)}`, isMet: mainBusy <= most }
}

const cheaper: Goal["measured"] = (row) => {
  const [ours, raw] = [row("inline").cpuUs, row("raw").cpuUs]
  return { text: `${ours.toFixed(1)} µs each, raw ${raw.toFixed(1)} µs`, isMet: ours < raw }
}

/** Of both sides of ours, the worse one. */
const worse =
  (what: (row: Row) => number, most: number, text: (figure: number) => string): Goal["measured"] => (row) => {
    const [inline, thread] = [what(row("inline")), what(row("thread"))]
    return { text: `inline ${text(inline)}, thread ${text(thread)}`, isMet: Math.max(inline, thread) <= most }
  }

const grows = worse(({ grows = Number.POSITIVE_INFINITY }) => grows, 1.3, (times) => `${times.toFixed(2)}×`)

const percent = (share: number): string => `${Math.round(share * 100)} %`

const READ = "of the raw client's messages/s"

export const GOALS: ReadonlyArray<Goal> = [
  {
    id: "read, inline",
    what: "reading with an ack for each message, 500 in flight, in the application's thread",
    goal: `≥ 1.6× ${READ}`,
    workload: "read",
    isFirst: true,
    measured: atLeast(1.6, "inline")
  },
  {
    id: "read, inline, 5,000 in flight",
    what: "reading so, 5,000 in flight",
    goal: `≥ 1.6× ${READ}`,
    workload: "read-5000",
    measured: atLeast(1.6, "inline")
  },
  {
    id: "read, thread",
    what: "reading so, from the I/O thread",
    goal: `≥ 1.6× ${READ}; main thread ≤ 8 % busy`,
    workload: "read",
    isFirst: true,
    measured: both(atLeast(1.6, "thread"), busyAtMost(0.08, "thread"))
  },
  {
    id: "read, thread, 5,000 in flight",
    what: "reading so, from the I/O thread, 5,000 in flight",
    goal: `≥ 1.6× ${READ}; main thread ≤ 8 % busy`,
    workload: "read-5000",
    measured: both(atLeast(1.6, "thread"), busyAtMost(0.08, "thread"))
  },
  {
    id: "handle",
    what: "`Reader.handle` with a schema, 64 lanes, 1,000 keys; raw: `JSON.parse` and a map of promises",
    goal: `≥ 1.2× ${READ}, less CPU each`,
    workload: "orders",
    isFirst: true,
    measured: both(atLeast(1.2, "inline"), cheaper)
  },
  {
    id: "publish",
    what: "publishing, each message confirmed, 256 in flight",
    goal: `≥ 6× \`js.publish\``,
    workload: "publish",
    isFirst: true,
    measured: atLeast(6, "inline")
  },
  {
    id: "single publish",
    what: "one publish after the other",
    goal: "≤ 1.1× the time of `js.publish`",
    workload: "single",
    isFirst: true,
    measured: (row) => {
      const times = 1 / row("inline").ratio
      const each = (side: Side) => `${Math.round(1e6 / row(side).msgs)} µs`
      return { text: `${times.toFixed(2)}× (${each("inline")}, raw ${each("raw")})`, isMet: times <= 1.1 }
    }
  },
  {
    id: "latency",
    what: "from publish to handler at 1,000 messages/s, through the I/O thread",
    goal: "p99 ≤ 1.3× the raw client's",
    workload: "latency",
    isFirst: true,
    measured: (row) => {
      const { p99, p99Ratio = Number.POSITIVE_INFINITY } = row("thread")
      const millis = (us: number) => `${(us / 1_000).toFixed(2)} ms`
      return { text: `${p99Ratio.toFixed(2)}× (${millis(p99)}, raw ${millis(row("raw").p99)})`, isMet: p99Ratio <= 1.3 }
    }
  },
  {
    id: "upTo",
    what: "one ack for a prefix (`AckPolicy.upTo`); raw: one for each message",
    goal: `≥ 3× ${READ}`,
    workload: "upTo",
    measured: atLeast(3, "inline")
  },
  {
    id: "memory",
    what: "memory with 1,000,000 messages waiting",
    goal: "≤ +48 MB over idle",
    workload: "memory",
    isFirst: true,
    measured: worse(({ grownMb }) => grownMb, 48, (mb) => `+${Math.round(mb)} MB`)
  },
  {
    id: "keys",
    what: "CPU per message with 100,000 keys in 64 lanes, against one key",
    goal: "grows ≤ 1.3×",
    workload: "keys",
    measured: grows
  },
  {
    id: "readers",
    what: "CPU per message with 500 readers on one connection, against one reader",
    goal: "grows ≤ 1.3×",
    workload: "readers",
    measured: grows
  }
]
