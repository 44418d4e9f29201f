/** A server of its own, with a stream that is filled for each workload, and a process for each measurement. */
import { jetstreamManager, StorageType } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { fork } from "node:child_process"
import { setTimeout } from "node:timers/promises"
import { start } from "../test/support/nats-server.ts"
import { type Figures, KEYS, kindOf, type Order, PER_SECOND, type Side } from "./order.ts"

const STREAM = "BENCH"
const SUBJECT = "bench"
/** A stream drops what it is sent faster than it can store it, unless somebody waits for its word. */
const CONFIRM_EVERY = 500
const TURN_MS = 5

export interface Stage {
  /** The stream, with what the workload reads. */
  readonly prepare: (order: Wanted) => Promise<void>
  readonly measure: (order: Wanted, side: Side) => Promise<Figures>
  readonly close: () => Promise<void>
}

export type Wanted = Omit<Order, "side" | "url" | "stream" | "subject">

export const open = async (): Promise<Stage> => {
  const server = await start({})
  const connection = await connect({ servers: server.url })
  const manager = await jetstreamManager(connection)

  const prepare = async ({ messages, size, workload }: Wanted): Promise<void> => {
    await manager.streams.delete(STREAM).catch(() => {})
    await manager.streams.add({ name: STREAM, subjects: [SUBJECT], storage: StorageType.Memory })
    const { content, room } = kindOf(workload)
    for (let i = 1; room === "read" && content !== "time" && i <= messages; i++) {
      const payload = content === "orders" ? order(i, size) : new Uint8Array(size)
      if (i % CONFIRM_EVERY === 0 || i === messages) {
        await connection.request(SUBJECT, payload)
      } else {
        connection.publish(SUBJECT, payload)
      }
    }
  }

  /** So many messages a second, as soon as somebody asks for some. */
  const send = async (consumer: string, messages: number): Promise<void> => {
    while ((await manager.consumers.info(STREAM, consumer).catch(() => undefined))?.num_waiting !== 1) {
      await setTimeout(TURN_MS)
    }
    const began = performance.now()
    for (let sent = 0; sent < messages;) {
      const due = Math.min(messages, Math.floor((performance.now() - began) * PER_SECOND / 1_000))
      for (; sent < due; sent++) {
        connection.publish(SUBJECT, String(process.hrtime.bigint()))
      }
      await setTimeout(1)
    }
  }

  const measure = async (wanted: Wanted, side: Side): Promise<Figures> => {
    const child = fork(new URL("./side.ts", import.meta.url), { execArgv: process.execArgv })
    const order: Order = { ...wanted, side, url: server.url, stream: STREAM, subject: SUBJECT }
    const consumer = side === "raw" ? "raw" : "ours"
    const found = new Promise<Figures>((resolve, reject) => {
      child.once("message", (figures) => resolve(figures as Figures))
      child.once("exit", (code) => reject(new Error(`${wanted.workload}, ${side}: ended with ${code}`)))
    })
    child.send(order)
    const { content, room } = kindOf(wanted.workload)
    const [figures] = await Promise.all([found, content === "time" ? send(consumer, wanted.messages) : undefined])
    await (room === "read" ? manager.consumers.delete(STREAM, consumer) : manager.streams.purge(STREAM))
    if (content === "time") {
      await manager.streams.purge(STREAM)
    }
    return figures
  }

  const close = async (): Promise<void> => {
    await connection.close()
    await server.stop()
  }
  return { prepare, measure, close }
}

// internals

const order = (i: number, size: number): string => {
  const short = { id: `o-${i}`, customer: `c-${i % KEYS}`, total: i % 100 }
  const missing = size - JSON.stringify(short).length
  return JSON.stringify({ ...short, id: short.id + "x".repeat(Math.max(0, missing)) })
}
