/**
 * TCP proxies in front of servers, in a process of their own, so that a busy test is no network fault: they cut
 * connections, refuse new ones, swallow everything (a peer that is gone without a word), slow down, or speak garbage.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Act, Order } from "./proxy/process.ts"
import type { Edit, Shape, Target, Way } from "./proxy/relay.ts"

export type { Edit, Shape, Target, Way }

export interface Proxy {
  readonly url: string
  /** Ends every connection at once. */
  readonly cut: () => Promise<void>
  /** Existing connections stay open and carry nothing any more, ever, one way or both; new ones work. */
  readonly blackhole: (way?: Way) => Promise<void>
  /** Existing connections get these bytes from the server's side. */
  readonly garble: (bytes: string) => Promise<void>
  readonly refuse: (refused: boolean) => Promise<void>
  /** Slow, thin or in slices, until it is told otherwise. */
  readonly shape: (shape: Shape | undefined) => Promise<void>
  /** The next so many deliveries are lost or come twice; it has happened when this is over. */
  readonly edit: (edit: Edit) => Promise<void>
}

/** One proxy in front of each of these, all in one process, until they are stopped. */
export const start = async (
  targets: ReadonlyArray<Target>
): Promise<{ readonly proxies: ReadonlyArray<Proxy>; readonly stop: () => Promise<void> }> => {
  const where = targets.map(({ host, port }) => ({ host, port }))
  const child = fork(fileURLToPath(new URL("proxy/process.ts", import.meta.url)), [JSON.stringify(where)], {
    execArgv: [],
    // A signal to the whole group, as from a terminal, is for the tests.
    detached: true
  })
  const [{ ports }] = await once(child, "message") as [{ readonly ports: ReadonlyArray<number> }]
  let last = 0
  const act = (relay: number, act: Act, value?: unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      const order: Order = { id: ++last, relay, act, value }
      const done = ({ id }: { readonly id: number }) => {
        if (id === order.id) {
          child.off("message", done)
          resolve()
        }
      }
      child.on("message", done)
      child.send(order, (error) => error === null ? undefined : reject(error))
    })
  return {
    proxies: ports.map((port, index) => ({
      url: `nats://127.0.0.1:${port}`,
      cut: () => act(index, "cut"),
      blackhole: (way) => act(index, "blackhole", way),
      garble: (bytes) => act(index, "garble", bytes),
      refuse: (refused) => act(index, "refuse", refused),
      shape: (shape) => act(index, "shape", shape),
      edit: (edit) => act(index, "edit", edit)
    })),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL")
        await once(child, "exit")
      }
    }
  }
}

/** In front of the server at this host and port, for as long as the scope is open. */
export const scoped = (target: Target): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => start([target])),
    ({ stop }) => Effect.promise(stop)
  ).pipe(Effect.map(({ proxies }) => proxies[0]!))
