/** As the client's documentation shows it: one loop, one ack per message. */
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import type { Figures, Order } from "../order.ts"
import { Stopwatch } from "../stopwatch.ts"

export const run = async ({ inFlight, messages, stream, url }: Order): Promise<Figures> => {
  const connection = await connect({ servers: url })
  const manager = await jetstreamManager(connection)
  await manager.consumers.add(stream, {
    durable_name: "raw",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 20_000
  })
  const consumer = await jetstream(connection).consumers.get(stream, "raw")
  const watch = new Stopwatch()
  let read = 0
  for await (const message of await consumer.consume({ max_messages: inFlight })) {
    if (read === 0) {
      watch.start()
    }
    message.ack()
    if (++read === messages) {
      break
    }
  }
  await connection.flush()
  const figures = watch.figures(messages)
  await connection.close()
  return figures
}
