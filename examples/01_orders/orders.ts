/** The contract: what an order is, where it travels, what belongs together. Publisher and reader share this file. */
import * as Topic from "effect-sluice/Topic"
import * as Schema from "effect/Schema"

export class Order extends Schema.Class<Order>("Order")({
  id: Schema.NonEmptyString,
  customer: Schema.NonEmptyString,
  region: Schema.NonEmptyString,
  total: Schema.Finite,
  /** What the bank will say: `declined` always refuses, `flaky` works at the second try. */
  card: Schema.String
}) {}

/** Each run has its own subjects, so that two of them on one server do not meet. */
export const Orders = Topic.make("sluice-example.{run}.{region}.placed", {
  schema: Order,
  key: (order) => order.customer,
  id: (order) => order.id
})
