/**
 * `npm run bench -- [workload …] [--messages N] [--size 128] [--in-flight N] [--rounds 5] [--json]`
 *
 * Reads a stream again and again, by turns with the raw client and with ours, each time in a process of its own, and prints
 * medians and what they are of the raw client's in the same run. Numbers of one machine at one time: only the ratios last.
 */
import { jetstreamManager, StorageType } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { fork } from "node:child_process"
import { parseArgs } from "node:util"
import { start } from "../test/support/nats-server.ts"
import { whole } from "../test/support/whole.ts"
import { type Figures, type Order, type Side, SIDES, type Workload, WORKLOADS } from "./order.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    messages: { type: "string" },
    size: { type: "string", default: "128" },
    "in-flight": { type: "string" },
    rounds: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const isWorkload = (name: string): name is Workload => name in WORKLOADS

const listed = Object.entries(WORKLOADS).map(([name, { what }]) => `  ${name.padEnd(10)} ${what}`).join("\n")
if (values.help || !positionals.every(isWorkload)) {
  const usage = `npm run bench -- [workload …] [--messages N] [--size BYTES] [--in-flight N] [--rounds N] [--json]`
  process.stderr.write(`${usage}\n\n${listed}\n`)
  process.exit(values.help ? 0 : 2)
}
const workloads = positionals.length > 0 ? positionals.filter(isWorkload) : Object.keys(WORKLOADS).filter(isWorkload)
const size = whole("size", values.size, 0)
const chosen = (workload: Workload) => {
  const { inFlight, messages } = WORKLOADS[workload]
  return {
    messages: whole("messages", values.messages ?? String(messages), 1),
    inFlight: whole("in-flight", values["in-flight"] ?? String(inFlight), 1)
  }
}
const rounds = whole("rounds", values.rounds, 1)

const STREAM = "BENCH"
const SUBJECT = "bench"
const FLUSH_EVERY = 1_000

const server = await start({})
const connection = await connect({ servers: server.url })
const manager = await jetstreamManager(connection)

const create = () => manager.streams.add({ name: STREAM, subjects: [SUBJECT], storage: StorageType.Memory })

const fill = async (messages: number): Promise<void> => {
  const payload = new Uint8Array(size)
  for (let i = 1; i <= messages; i++) {
    connection.publish(SUBJECT, payload)
    if (i % FLUSH_EVERY === 0) {
      await connection.flush()
    }
  }
  await connection.flush()
}

const measure = (workload: Workload, side: Side): Promise<Figures> => {
  const child = fork(new URL("./side.ts", import.meta.url), { execArgv: process.execArgv })
  const order: Order = {
    workload,
    side,
    url: server.url,
    stream: STREAM,
    subject: SUBJECT,
    size,
    ...chosen(workload)
  }
  return new Promise((resolve, reject) => {
    child.once("message", (figures) => resolve(figures as Figures))
    child.once("exit", (code) => reject(new Error(`${workload}, ${side}: ended with ${code}`)))
    child.send(order)
  })
}

const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

const progress = (text: string): void => {
  if (process.stderr.isTTY) {
    process.stderr.write(`\r${text.padEnd(60)}${text === "" ? "\r" : ""}`)
  }
}

interface Row {
  readonly workload: Workload
  readonly side: Side
  readonly ratio: number
  readonly msgs: number
  readonly cpuUs: number
  readonly mainBusy: number
}

const compare = async (workload: Workload): Promise<ReadonlyArray<Row>> => {
  const reads = WORKLOADS[workload].room === "read"
  await create()
  await fill(reads ? chosen(workload).messages : 0)
  const found = new Map(SIDES.map((side) => [side, [] as Array<Figures>]))
  for (let round = 1; round <= rounds; round++) {
    for (const side of SIDES) {
      progress(`${workload}: round ${round} of ${rounds}, ${side}`)
      found.get(side)!.push(await measure(workload, side))
      if (reads) {
        await manager.consumers.delete(STREAM, side === "raw" ? "raw" : "ours")
      } else {
        await manager.streams.purge(STREAM)
      }
    }
  }
  progress("")
  await manager.streams.delete(STREAM)
  const middle = (side: Side, which: keyof Figures) => median(found.get(side)!.map((figures) => figures[which]))
  const raw = middle("raw", "messagesPerSecond")
  return SIDES.map((side) => {
    const msgs = middle(side, "messagesPerSecond")
    return { workload, side, ratio: msgs / raw, msgs, cpuUs: middle(side, "cpuUs"), mainBusy: middle(side, "mainBusy") }
  })
}

const line = ({ cpuUs, mainBusy, msgs, ratio, side, workload }: Row): string =>
  `${workload.padEnd(10)} ${side.padEnd(7)} ${ratio.toFixed(2)} of raw, ${Math.round(msgs)} messages/s, `
  + `${cpuUs.toFixed(1)} us of processor time each, main thread ${Math.round(mainBusy * 100)} % busy`

try {
  const json: Record<string, Record<string, Omit<Row, "workload" | "side">>> = {}
  for (const workload of workloads) {
    for (const row of await compare(workload)) {
      const { side, workload: _, ...figures } = row
      ;(json[workload] ??= {})[side] = figures
      process.stdout.write(values.json ? "" : `${line(row)}\n`)
    }
  }
  process.stdout.write(values.json ? `${JSON.stringify(json)}\n` : "")
} finally {
  await connection.close()
  await server.stop()
}
