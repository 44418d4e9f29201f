/** As the client's documentation shows it: one loop, one ack per message. */
import { AckPolicy, jetstream, jetstreamManager, type JsMsg } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { setTimeout } from "node:timers/promises"
import type { Figures, Order } from "../order.ts"
import { Stopwatch } from "../stopwatch.ts"
import { kindOf, WORK } from "../workloads.ts"
import { many } from "./rawMany.ts"

export const run = async (order: Order): Promise<Figures> => {
  const { inFlight, messages, stream, url, workload } = order
  const { readers } = kindOf(workload)
  if (readers !== undefined) {
    return many(order, readers)
  }
  const connection = await connect({ servers: url })
  const manager = await jetstreamManager(connection)
  await manager.consumers.add(stream, {
    durable_name: "raw",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 20_000
  })
  const consumer = await jetstream(connection).consumers.get(stream, "raw")
  const watch = new Stopwatch(messages)
  const { finish, handle } = handling(order, watch)
  let read = 0
  for await (const message of await consumer.consume({ max_messages: inFlight })) {
    watch.seen(read++)
    const waiting = handle(message)
    if (waiting !== undefined) {
      await waiting
    }
    if (read === messages) {
      break
    }
  }
  await finish()
  await connection.flush()
  const figures = watch.figures()
  await connection.close()
  return figures
}

// internals

interface Handling {
  /** Works on a message, or waits until it can. */
  readonly handle: (message: JsMsg) => Promise<void> | undefined
  readonly finish: () => Promise<void>
}

const handling = ({ workload }: Order, watch: Stopwatch): Handling => {
  switch (kindOf(workload).act) {
    case "orders":
      return orders()
    case "work":
      return work()
    case "latency":
      return simple((message) => {
        watch.came(BigInt(message.string()))
        message.ack()
      })
    default:
      return simple((message) => message.ack())
  }
}

const simple = (act: (message: JsMsg) => void): Handling => ({
  handle: (message) => {
    act(message)
    return undefined
  },
  finish: () => Promise.resolve()
})

/** Each key in its order, keys side by side. */
const orders = (): Handling => {
  const last = new Map<string, Promise<void>>()
  return {
    handle: (message) => {
      const { customer } = JSON.parse(message.string()) as { readonly customer: string }
      last.set(customer, (last.get(customer) ?? Promise.resolve()).then(() => message.ack()))
      return undefined
    },
    finish: async () => {
      await Promise.all(last.values())
    }
  }
}

const work = (): Handling => {
  const running = new Set<Promise<void>>()
  return {
    handle: (message) => {
      const one = setTimeout(WORK.millis).then(() => {
        message.ack()
        running.delete(one)
      })
      running.add(one)
      return running.size < WORK.atOnce ? undefined : Promise.race(running)
    },
    finish: async () => {
      await Promise.all(running)
    }
  }
}
