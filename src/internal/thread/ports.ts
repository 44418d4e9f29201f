/** Channels over the message ports of `node:worker_threads`. */
import type { MessagePort, Worker } from "node:worker_threads"
import type { Channel } from "./channel.ts"

export const overPort = <In, Out>(port: MessagePort | Worker): Channel<In, Out> => ({
  post: (message, transfer) => port.postMessage(message, transfer === undefined ? [] : [...transfer]),
  listen: (heard) => {
    port.on("message", heard)
    return () => void port.off("message", heard)
  }
})
