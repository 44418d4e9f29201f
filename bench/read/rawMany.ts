/** Several consumers on one connection, with a loop for each. */
import { jetstream } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { consumerOf, type Figures, type Order } from "../order.ts"
import { Stopwatch } from "../stopwatch.ts"

export const many = async ({ inFlight, messages, side, stream, url }: Order, readers: number): Promise<Figures> => {
  const connection = await connect({ servers: url })
  const client = jetstream(connection)
  const watch = new Stopwatch(messages)
  let read = 0
  let end = () => {}
  const done = new Promise<void>((resolve) => {
    end = resolve
  })
  const loop = async (i: number): Promise<void> => {
    const consumer = await client.consumers.get(stream, `${consumerOf(side)}-${i}`)
    for await (const message of await consumer.consume({ max_messages: inFlight })) {
      watch.seen(read++)
      message.ack()
      if (read === messages) {
        end()
      }
    }
  }
  const loops = Array.from({ length: readers }, (_, i) => loop(i))
  await Promise.race([done, ...loops])
  await connection.flush()
  const figures = watch.figures()
  await connection.close()
  return figures
}
