/** The contract, the stream, and what is done with an order. */
import * as DeadLetter from "effect-sluice/DeadLetter"
import * as Reader from "effect-sluice/Reader"
import * as Topic from "effect-sluice/Topic"
import * as Topology from "effect-sluice/Topology"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

export class Order extends Schema.Class<Order>("Order")({
  id: Schema.NonEmptyString,
  customer: Schema.NonEmptyString,
  total: Schema.Finite
}) {}

export const Orders = Topic.make("orders.{region}.placed", {
  schema: Order,
  key: (order) => order.customer,
  id: (order) => order.id
})

export const streams = [Topology.stream("ORDERS", { subjects: ["orders.>"] }), DeadLetter.stream()]

/** In each customer's order, 64 customers at a time, five attempts. */
export const billing = Reader.handle(Orders, {
  stream: "ORDERS",
  consumer: "billing",
  lanes: 64,
  retry: Schedule.exponential("1 second"),
  maxAttempts: 5,
  deadLetter: true
}, (order, message) => Effect.log(`charging ${order.customer} ${order.total} for ${message.subject}`))
