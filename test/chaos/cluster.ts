/** One nats-server, or three with routes between them, on loopback; each in a process of its own that signals reach. */
import * as NatsServer from "../support/nats-server.ts"

export interface Options {
  readonly nodes: 1 | 3
  readonly version?: string | undefined
  readonly config?: string | undefined
}

const routed = (routes: ReadonlyArray<number>, mine: number, config: string): string => `
${config}
cluster {
  name: chaos
  listen: "127.0.0.1:${mine}"
  routes: [${routes.map((port) => `"nats://127.0.0.1:${port}"`).join(", ")}]
}
`

export class Cluster {
  readonly nodes: ReadonlyArray<NatsServer.NatsServer>
  readonly #isDown: Array<boolean>

  private constructor(nodes: ReadonlyArray<NatsServer.NatsServer>) {
    this.nodes = nodes
    this.#isDown = nodes.map(() => false)
  }

  static async start({ config = "", nodes, version }: Options): Promise<Cluster> {
    if (nodes === 1) {
      return new Cluster([await NatsServer.start({ version, config })])
    }
    const routes = await Promise.all(Array.from({ length: nodes }, () => NatsServer.freePort()))
    return new Cluster(
      await Promise.all(routes.map((port) => NatsServer.start({ version, config: routed(routes, port, config) })))
    )
  }

  get size(): number {
    return this.nodes.length
  }

  get version(): string {
    return this.nodes[0]!.version
  }

  /** Not through any proxy. */
  get urls(): ReadonlyArray<string> {
    return this.nodes.map(({ url }) => url)
  }

  get isWhole(): boolean {
    return !this.#isDown.includes(true)
  }

  async kill(node: number): Promise<void> {
    this.#isDown[node] = true
    await this.nodes[node]!.kill()
  }

  /** As an operator does it: it may end what it is doing. */
  async stop(node: number): Promise<void> {
    this.#isDown[node] = true
    await this.nodes[node]!.signal("SIGTERM")
  }

  /** Asks its clients to leave, and takes no new ones; it ends long after. */
  async lameDuck(node: number): Promise<void> {
    this.#isDown[node] = true
    await this.nodes[node]!.signal("SIGUSR2")
  }

  /** On the same port, with the same store. */
  async restart(node: number): Promise<void> {
    await this.nodes[node]!.restart()
    this.#isDown[node] = false
  }

  freeze(node: number): Promise<void> {
    return this.nodes[node]!.freeze()
  }

  thaw(node: number): Promise<void> {
    return this.nodes[node]!.thaw()
  }

  /** Its place among the nodes, by the name that the server knows it by. */
  nodeOf(name: string): number {
    return this.nodes.findIndex(({ port }) => name === `sluice-test-${port}`)
  }

  async end(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()))
  }
}
