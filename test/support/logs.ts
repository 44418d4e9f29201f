/** Short words for tests of the log on disk. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Kept, Log } from "../../src/internal/spill/log.ts"
import { Delivery } from "../../src/Message.ts"
import * as Spill from "../../src/Spill.ts"
import { Refusing } from "./spilling.ts"

export const owner = { stream: "JOBS", consumer: "worker" }
export const encoder = new TextEncoder()

export const delivery = (n: number, text = `message ${n}`, more: { readonly deliveryCount?: number } = {}) =>
  new Delivery({
    subject: `jobs.ä.${n}`,
    payload: encoder.encode(text),
    headerBytes: encoder.encode(n % 2 === 0 ? "" : `NATS/1.0\r\nn: ${n}\r\n\r\n`),
    ...owner,
    streamSequence: n,
    consumerSequence: n + 100,
    deliveryCount: more.deliveryCount ?? 1,
    timestamp: 1_700_000_000_000 + n,
    pending: 7,
    overheadBytes: 61
  })

export const deliveries = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => delivery(from + i))

/** All of it, as it can be compared. */
export const plain = (one: Delivery) => ({
  ...Object.fromEntries(Object.entries(one)),
  payload: [...one.payload],
  headerBytes: [...one.headerBytes]
})

export const ns = (kept: ReadonlyArray<Kept>) => kept.map(({ delivery }) => delivery.streamSequence)

export const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

/** Every process of a test, as it were. */
const processes: Array<Refusing> = []

export const inDirectory = async (run: (directory: string) => Promise<void>) => {
  const directory = await mkdtemp(join(tmpdir(), "sluice-log-"))
  try {
    await run(directory)
  } finally {
    await Promise.all(processes.splice(0).map((files) => files.crash()))
    await rm(directory, { recursive: true, force: true })
  }
}

/** A process opens it. None has to close it: all of them are killed in the end. */
export const open = async (directory: string, options: Partial<Spill.Settings> = {}, files = new Refusing()) => {
  processes.push(files)
  const log = new Log(files, { ...Spill.settings({ directory }), ...options }, owner)
  await log.open()
  return log
}

export const appendAll = async (log: Log, all: ReadonlyArray<Delivery>) => {
  let rest = all
  while (rest.length > 0) {
    rest = rest.slice((await log.append(rest)).length)
  }
}

export const readAll = async (log: Log) => {
  const all: Array<Kept> = []
  while (!log.isCaughtUp) {
    all.push(...await log.read(3, 1_000))
  }
  return all
}

export const segments = async (directory: string) =>
  (await readdir(directory)).filter((name) => name.endsWith(".segment"))

/** Fills a directory as a process leaves it that is killed: nothing is closed. */
export const left = async (directory: string, count: number) => {
  const log = await open(directory)
  await appendAll(log, deliveries(1, count))
  const [name] = await segments(directory)
  return join(directory, name!)
}

/** Where each message of a file ends; from `first` 0 on, the file's own header, too. */
export const endsOf = async (path: string, first = 1): Promise<ReadonlyArray<number>> => {
  const bytes = await readFile(path)
  const ends: Array<number> = []
  for (let at = 0; at < bytes.length;) {
    at += 8 + bytes.readUInt32LE(at)
    ends.push(at)
  }
  return ends.slice(first)
}

/** All that were opened are killed. */
export const killAll = (): Promise<unknown> => Promise.all(processes.splice(0).map((files) => files.crash()))
