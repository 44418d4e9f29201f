/** Short words for tests that talk to a transport directly. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Headers from "../../src/Headers.ts"
import type { AckPolicy } from "../../src/index.ts"
import type { Delivery, Outgoing } from "../../src/Message.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import * as Topology from "../../src/Topology.ts"
import { type Flow, type Inlet, type Source, Transport } from "../../src/Transport.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()
let published = 0

export const message = (subject: string, text: string, more: Partial<Outgoing> = {}): Outgoing => ({
  subject,
  payload: encoder.encode(text),
  headers: Headers.empty,
  id: `test-${process.pid}-${++published}`,
  ...more
})

export const textOf = (delivery: Delivery): string => decoder.decode(delivery.payload)

export const publish = (...batch: ReadonlyArray<Outgoing>) =>
  Transport.use((transport) => transport.publish(batch as unknown as NonEmptyReadonlyArray<Outgoing>))

export const numbered = (subject: string, from: number, to: number): ReadonlyArray<Outgoing> =>
  Array.from({ length: to - from + 1 }, (_, i) => message(subject, String(from + i)))

export const durable = (
  stream: string,
  consumer: string,
  options: Parameters<typeof Topology.consumer>[1] = {}
): Source => ({
  _tag: "durable",
  stream,
  consumer,
  create: Option.some(Topology.consumer(consumer, options))
})

export const bound = (stream: string, consumer: string): Source => ({
  _tag: "durable",
  stream,
  consumer,
  create: Option.none()
})

export const flow = (options: {
  readonly queue?: Queue.Settings
  readonly ack?: AckPolicy.Policy
  readonly timeBudgetMs?: number
} = {}): Flow => ({
  queue: options.queue ?? Queue.suspend({ messages: 100 }),
  ack: options.ack ?? { _tag: "onProcess" },
  timeBudgetMs: options.timeBudgetMs ?? 15 * 60_000
})

export const open = (source: Source, options?: Parameters<typeof flow>[0]) =>
  Transport.use((transport) => transport.open(source, flow(options)))

export const createStream = (name: string, subjects: ReadonlyArray<string>, more: object = {}) =>
  Transport.use((transport) =>
    Option.getOrThrow(transport.topology).createStream(Topology.stream(name, { subjects, ...more }))
  )

/** Takes and acks until `count` have come; gives their texts. */
export const ackAll = Effect.fnUntraced(function*(inlet: Inlet, count: number) {
  const texts: Array<string> = []
  while (texts.length < count) {
    const deliveries = yield* inlet.take(count - texts.length)
    texts.push(...deliveries.map(textOf))
    yield* inlet.settle(deliveries.map((delivery) => ({ delivery, settlement: Settlement.ack })))
  }
  return texts
})
