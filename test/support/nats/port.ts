/**
 * Ports for test servers, below the range the system hands out by itself.
 *
 * In that range a client that keeps calling a stopped server on 127.0.0.1 is sooner or later given the very port it
 * calls, and TCP then connects it to itself.
 */
import { createServer } from "node:net"

const lowest = 15_000
const highest = 32_000

/** Whether nobody listens on this port of 127.0.0.1 at this moment. */
export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once("error", () => resolve(false))
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resolve(true)))
  })

/** A port of 127.0.0.1 that nobody listens on at this moment. Drawn at random, so that parallel workers rarely meet. */
export const freePort = async (): Promise<number> => {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    if (await isFree(port)) return port
  }
  throw new Error(`no free port on 127.0.0.1 between ${lowest} and ${highest}`)
}
