/** One measurement, in a process of its own. */
import type { Figures, Order } from "./order.ts"
import { kindOf } from "./workloads.ts"

const measure = async (order: Order): Promise<void> => {
  const module = `./${kindOf(order.workload).room}/${order.side === "raw" ? "raw" : "ours"}.ts`
  const { run } = await import(module) as { readonly run: (order: Order) => Promise<Figures> }
  process.send!(await run(order), () => process.exit(0))
}

// Whoever asked is gone, and with it the server: a reader would wait for it for ever.
process.once("disconnect", () => process.exit(1))
process.once("message", (order: Order) => void measure(order))
