/** A server of its own, with streams that are filled for each workload, and a process for each measurement. */
import { AckPolicy, jetstreamManager, StorageType } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { fork } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { start } from "../test/support/nats-server.ts"
import { consumerOf, type Figures, type Order, type Side } from "./order.ts"
import { KEYS, kindOf, PER_SECOND, type Workload } from "./workloads.ts"

/** A stream drops what it is sent faster than it can store it, unless somebody waits for its word. */
const CONFIRM_EVERY = 500
const TURN_MS = 5
/** One measurement takes some seconds. */
const WITHIN_MS = 120_000
/** Longer than it takes until everybody waits. */
const PAUSE_MS = 600_000

export interface Stage {
  readonly serverVersion: string
  /** The stream, with what the workload reads. */
  readonly prepare: (order: Wanted) => Promise<void>
  readonly measure: (order: Wanted, side: Side) => Promise<Figures>
  readonly clear: (workload: Workload) => Promise<void>
  readonly close: () => Promise<void>
}

export type Wanted = Omit<Order, "side" | "url" | "stream" | "subject">

export const open = async (version: string | undefined): Promise<Stage> => {
  const server = await start({ version })
  const connection = await connect({ servers: server.url })
  const manager = await jetstreamManager(connection)
  // Half of the time that a short measurement takes would go into translating the same sources again.
  const compiled = await mkdtemp(join(tmpdir(), "sluice-bench-"))
  const env = { ...process.env, NODE_COMPILE_CACHE: compiled }

  const prepare = async ({ messages, size, workload }: Wanted): Promise<void> => {
    const [stream, subject] = [streamOf(workload), subjectOf(workload)]
    await clear(workload)
    await manager.streams.add({ name: stream, subjects: [subject], storage: StorageType.Memory })
    const { content, keys = KEYS } = kindOf(workload)
    const waiting = waitingOf(workload, messages)
    for (let i = 1; i <= waiting; i++) {
      const payload = content === "orders" ? order(i, size, keys) : new Uint8Array(size)
      if (i % CONFIRM_EVERY === 0 || i === waiting) {
        await connection.request(subject, payload)
      } else {
        connection.publish(subject, payload)
      }
    }
  }

  /** So many messages a second, as soon as somebody asks for some. */
  const send = async ({ messages, workload }: Wanted, side: Side): Promise<void> => {
    const [stream, consumer] = [streamOf(workload), consumerOf(side)]
    while ((await manager.consumers.info(stream, consumer).catch(() => undefined))?.num_waiting !== 1) {
      await setTimeout(TURN_MS)
    }
    const began = performance.now()
    for (let sent = 0; sent < messages;) {
      const due = Math.min(messages, Math.floor((performance.now() - began) * PER_SECOND / 1_000))
      for (; sent < due; sent++) {
        connection.publish(subjectOf(workload), String(process.hrtime.bigint()))
      }
      await setTimeout(1)
    }
  }

  /** A consumer for each reader, which delivers nothing until all of them wait: opening them is not what is measured. */
  const hold = async ({ workload }: Wanted, side: Side, readers: number): Promise<void> => {
    const pauseUntil = new Date(Date.now() + PAUSE_MS).toISOString()
    for (let i = 0; i < readers; i++) {
      await manager.consumers.add(streamOf(workload), {
        durable_name: `${consumerOf(side)}-${i}`,
        ack_policy: AckPolicy.Explicit,
        pause_until: pauseUntil
      })
    }
  }

  const release = async ({ size, workload }: Wanted, side: Side, readers: number): Promise<void> => {
    const stream = streamOf(workload)
    const names = Array.from({ length: readers }, (_, i) => `${consumerOf(side)}-${i}`)
    for (const name of names) {
      while ((await manager.consumers.info(stream, name)).num_waiting === 0) {
        await setTimeout(TURN_MS)
      }
    }
    await Promise.all(names.map((name) => manager.consumers.resume(stream, name)))
    // A consumer that may go on serves whoever waited before that only when something new comes.
    connection.publish(subjectOf(workload), new Uint8Array(size))
  }

  /** All of them, before the first is deleted: they are listed by pages. */
  const consumersOf = async (stream: string): Promise<ReadonlyArray<string>> => {
    const names: Array<string> = []
    for await (const { name } of manager.consumers.list(stream)) {
      names.push(name)
    }
    return names
  }

  const measure = async (wanted: Wanted, side: Side): Promise<Figures> => {
    const { content, readers } = kindOf(wanted.workload)
    const [stream, subject] = [streamOf(wanted.workload), subjectOf(wanted.workload)]
    await (readers === undefined ? undefined : hold(wanted, side, readers))
    const child = fork(new URL("./side.ts", import.meta.url), { execArgv: process.execArgv, env })
    const { rawShare = 1 } = kindOf(wanted.workload)
    const messages = Math.ceil(wanted.messages * (side === "raw" ? rawShare : 1))
    const order: Order = { ...wanted, messages, side, url: server.url, stream, subject }
    const found = new Promise<Figures>((resolve, reject) => {
      child.once("message", (figures) => resolve(figures as Figures))
      child.once(
        "exit",
        (code, signal) => reject(new Error(`${wanted.workload}, ${side}: ended with ${code ?? signal}`))
      )
    })
    const late = globalThis.setTimeout(() => child.kill("SIGKILL"), WITHIN_MS)
    child.send(order)
    const others = content === "time"
      ? send(wanted, side)
      : readers === undefined
      ? undefined
      : release(wanted, side, readers)
    // Whoever ends without a word is not waited for by the others.
    const [figures] = await Promise.all([found, others]).catch((error: unknown) => {
      child.kill("SIGKILL")
      throw error
    }).finally(() => clearTimeout(late))
    await Promise.all((await consumersOf(stream)).map((name) => manager.consumers.delete(stream, name)))
    await manager.streams.purge(stream, { keep: waitingOf(wanted.workload, wanted.messages) })
    return figures
  }

  const clear = async (workload: Workload): Promise<void> => {
    await manager.streams.delete(streamOf(workload)).catch(() => {})
  }

  const close = async (): Promise<void> => {
    await connection.close()
    await server.stop()
    await rm(compiled, { recursive: true, force: true })
  }
  return { serverVersion: server.version, prepare, measure, clear, close }
}

// internals

const streamOf = (workload: Workload): string => `BENCH_${workload}`
const subjectOf = (workload: Workload): string => `bench.${workload}`

/** How many are in the stream before anybody reads. Of several readers each reads all of it; one message wakes them. */
const waitingOf = (workload: Workload, messages: number): number => {
  const { content, readers, room } = kindOf(workload)
  return room === "publish" || content === "time" ? 0 : readers === undefined ? messages : messages / readers - 1
}

const order = (i: number, size: number, keys: number): string => {
  const short = { id: `o-${i}`, customer: `c-${i % keys}`, total: i % 100 }
  const missing = size - JSON.stringify(short).length
  return JSON.stringify({ ...short, id: short.id + "x".repeat(Math.max(0, missing)) })
}
