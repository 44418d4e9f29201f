/** What is tested: a reader as it would run in production. */
import * as DeadLetter from "effect-sluice/DeadLetter"
import * as Reader from "effect-sluice/Reader"
import * as Topic from "effect-sluice/Topic"
import * as Topology from "effect-sluice/Topology"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

export const Orders = Topic.make("orders.placed", {
  schema: Schema.Struct({ id: Schema.String, customer: Schema.String }),
  key: (order) => order.customer
})

export const streams = [Topology.stream("ORDERS", { subjects: ["orders.>"] }), DeadLetter.stream()]

/** The bank, behind a service, so that a test can play it. */
export class Bank extends Context.Service<Bank, {
  readonly charge: (order: string) => Effect.Effect<void, "declined">
}>()("examples/Bank") {}

export const billing = Reader.handle(Orders, {
  stream: "ORDERS",
  consumer: "billing",
  lanes: 8,
  ackWait: "30 seconds",
  retry: Schedule.exponential("1 second"),
  maxAttempts: 3,
  deadLetter: true,
  onError: "wait"
}, (order) => Bank.use((bank) => bank.charge(order.id)))
