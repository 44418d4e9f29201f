/** `js.publish`, with so many under way at once; or one after the other. */
import { jetstream } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import type { Figures, Order } from "../order.ts"
import { Stopwatch } from "../stopwatch.ts"
import { kindOf } from "../workloads.ts"

export const run = async ({ inFlight, messages, size, subject, url, workload }: Order): Promise<Figures> => {
  const connection = await connect({ servers: url })
  const client = jetstream(connection)
  const payload = new Uint8Array(size)
  const watch = new Stopwatch(messages)
  let next = 0
  const publisher = async (): Promise<void> => {
    while (next < messages) {
      watch.seen(next++)
      await client.publish(subject, payload, { msgID: `raw-${process.pid}-${next}` })
    }
  }
  await Promise.all(Array.from({ length: kindOf(workload).act === "single" ? 1 : inFlight }, publisher))
  const figures = watch.figures()
  await connection.close()
  return figures
}
