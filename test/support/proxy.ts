/**
 * A TCP proxy in front of a server, in a thread of its own so that a busy test does not slow it down: cuts connections,
 * refuses new ones, swallows everything (a peer that is gone without a word), or speaks garbage.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import { Worker } from "node:worker_threads"

export interface Proxy {
  readonly url: string
  /** Ends every connection at once. */
  readonly cut: () => Promise<void>
  /** Existing connections stay open and carry nothing any more, ever; new ones work. */
  readonly blackhole: () => Promise<void>
  /** Existing connections get these bytes from the server's side. */
  readonly garble: (bytes: string) => Promise<void>
  readonly refuse: (refused: boolean) => Promise<void>
}

const thread = `
  const net = require("node:net")
  const { parentPort, workerData } = require("node:worker_threads")
  const pairs = new Set()
  let refused = false
  const server = net.createServer((client) => {
    if (refused) { client.on("error", () => {}); client.destroy(); return }
    const upstream = net.connect(workerData.port, workerData.host)
    const pair = { client, upstream, dead: false }
    pairs.add(pair)
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.setNoDelay(true)
      from.on("data", (bytes) => {
        if (!pair.dead && !to.destroyed && !to.write(bytes)) {
          from.pause()
          to.once("drain", () => from.resume())
        }
      })
      from.on("error", () => {})
      from.on("close", () => {
        if (!pair.dead) { to.destroy(); pairs.delete(pair) }
      })
    }
  })
  const acts = {
    cut: () => { for (const { client, upstream } of pairs) { client.destroy(); upstream.destroy() } pairs.clear() },
    blackhole: () => { for (const pair of pairs) { pair.dead = true; pair.client.pause(); pair.upstream.pause() } },
    garble: (bytes) => { for (const { client } of pairs) client.write(bytes) },
    refuse: (value) => { refused = value }
  }
  parentPort.on("message", ([act, value]) => { acts[act](value); parentPort.postMessage(act) })
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port))
`

/** In front of the server at this host and port, for as long as the scope is open. */
export const scoped = (target: { readonly host: string; readonly port: number }) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const worker = new Worker(thread, { eval: true, workerData: { host: target.host, port: target.port } })
      const [port] = await once(worker, "message") as [number]
      const act = async (...given: readonly [act: string, value?: unknown]) => {
        worker.postMessage(given, [])
        await once(worker, "message")
      }
      return {
        worker,
        url: `nats://127.0.0.1:${port}`,
        cut: () => act("cut"),
        blackhole: () => act("blackhole"),
        garble: (bytes: string) => act("garble", bytes),
        refuse: (refused: boolean) => act("refuse", refused)
      }
    }),
    ({ worker }) => Effect.promise(() => worker.terminate())
  ) satisfies Effect.Effect<Proxy, never, Scope.Scope>
