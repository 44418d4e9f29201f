/** One measurement, in a process of its own. */
import type { Order } from "./order.ts"

const measure = async (order: Order): Promise<void> => {
  const { read } = order.side === "raw" ? await import("./read/raw.ts") : await import("./read/ours.ts")
  process.send!(await read(order), () => process.exit(0))
}

process.once("message", (order: Order) => void measure(order))
