/** Gates in front of a server, one per program: closed, the connections through it end, and new ones are refused. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as Net from "node:net"

export interface Gate {
  readonly url: string
  readonly close: Effect.Effect<void>
  readonly open: Effect.Effect<void>
}

interface Target {
  readonly host: string
  readonly port: number
}

/** Not in a process of its own, as `support/proxy.ts` is: there are many of them, and nothing here keeps the event loop busy. */
export const gates = (target: Target): Effect.Effect<Effect.Effect<Gate, never, Scope.Scope>> =>
  Effect.succeed(Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const gate = new Doorman(target)
        await gate.listen()
        return gate
      }),
      (gate) => Effect.sync(() => gate.end())
    ),
    (gate): Gate => ({
      url: gate.url,
      close: Effect.sync(() => gate.close()),
      open: Effect.sync(() => gate.open())
    })
  ))

class Doorman {
  readonly #target: Target
  readonly #sockets = new Set<Net.Socket>()
  readonly #server: Net.Server
  #closed = false

  constructor(target: Target) {
    this.#target = target
    this.#server = Net.createServer((client) => this.#let(client))
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.#server.address() as Net.AddressInfo).port}`
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1")
    await once(this.#server, "listening")
  }

  close(): void {
    this.#closed = true
    for (const socket of this.#sockets) {
      socket.destroy()
    }
  }

  open(): void {
    this.#closed = false
  }

  end(): void {
    this.close()
    this.#server.close()
  }

  #let(client: Net.Socket): void {
    if (this.#closed) {
      client.on("error", () => {})
      client.destroy()
      return
    }
    const upstream = Net.connect(this.#target.port, this.#target.host)
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      this.#sockets.add(from)
      from.setNoDelay(true)
      from.pipe(to)
      from.on("error", () => {})
      from.on("close", () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
  }
}
