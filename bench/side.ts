/** One measurement, in a process of its own. */
import { type Figures, type Order, WORKLOADS } from "./order.ts"

const measure = async (order: Order): Promise<void> => {
  const module = `./${WORKLOADS[order.workload].room}/${order.side === "raw" ? "raw" : "ours"}.ts`
  const { run } = await import(module) as { readonly run: (order: Order) => Promise<Figures> }
  process.send!(await run(order), () => process.exit(0))
}

process.once("message", (order: Order) => void measure(order))
