/**
 * Everything a run consists of: servers, the lines to them, publishers, a worker, an eye on the server, and the journals of
 * all of them in one directory.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Report } from "../../src/Health.ts"
import { freePort } from "../support/nats/port.ts"
import * as Proxy from "../support/proxy.ts"
import type { Journals } from "./check/Run.ts"
import { KILLED } from "./check/verdict.ts"
import { Cluster } from "./cluster.ts"
import * as Crew from "./crew.ts"
import { Effects } from "./effects.ts"
import { Eye } from "./eye.ts"
import { Follower, Journal, now, type Read, read, type Writing } from "./journal.ts"
import { type FaultKind, FAULTS } from "./kinds.ts"
import type { Mode, PublisherOrder, WorkerOrder } from "./orders.ts"

export interface Options {
  readonly mode: Mode
  readonly nodes: 1 | 3
  readonly version?: string | undefined
  readonly publishers: number
  readonly bytes: number
  readonly chunk: number
  readonly pauseMs: number
  readonly ahead: number
  readonly workMs: number
  readonly slowMs: number
  readonly lanes: number
  readonly capacity: number
  readonly ackWaitMs: number
  readonly graceMs: number
  /** How long a recovery may take until nobody waits for it any more. */
  readonly patienceMs: number
}

export const DEFAULTS: Omit<Options, "mode" | "nodes"> = {
  publishers: 2,
  bytes: 100,
  chunk: 8,
  pauseMs: 20,
  ahead: 8,
  workMs: 2,
  slowMs: 0,
  lanes: 16,
  capacity: 100,
  ackWaitMs: 5_000,
  graceMs: 10_000,
  patienceMs: 15_000
}

const SAMPLE_MS = 500
const PROBE_EVERY_MS = 50
/** A connection that is lost may be back after a tenth of a second. */
const HEALTH_MS = 25
const SINCE_IS_EXACT_MS = 200
const READY_WITHIN_MS = 10_000

/** What a thread says of itself; nothing if it does not answer. */
const reportOf = (port: number): Promise<Report | undefined> =>
  fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(1_000) })
    .then((answer) => answer.json() as Promise<Report>, () => undefined)

export class World {
  readonly options: Options
  readonly directory: string
  readonly cluster: Cluster
  readonly eye: Eye
  /** The lines of the worker, one to each node; and those of the publishers. */
  readonly lines: ReadonlyArray<Proxy.Proxy>
  readonly publisherLines: ReadonlyArray<Proxy.Proxy>
  readonly publishers: Array<Crew.Process> = []
  /** The one under test; others are on their way out. */
  worker!: Crew.Process
  epoch = 0
  /** A recovery never came: whatever is tried now tells nothing more. */
  isStuck = false
  #healthPort = 0
  #faults = 0
  #ended = false
  /** Everybody who was ever hired. */
  readonly #all: Array<Crew.Process> = []
  #begun = 0
  #started = 0
  readonly #followers = new Map<string, Follower>()
  readonly #journals: { readonly [name in "faults" | "acks" | "health" | "memory" | "probes"]: Journal }
  readonly #stopProxies: () => Promise<void>
  readonly #tasks: Array<Promise<void>> = []

  private constructor(
    options: Options,
    directory: string,
    cluster: Cluster,
    proxies: { readonly proxies: ReadonlyArray<Proxy.Proxy>; readonly stop: () => Promise<void> }
  ) {
    this.options = options
    this.directory = directory
    this.cluster = cluster
    this.lines = proxies.proxies.slice(0, cluster.size)
    this.publisherLines = proxies.proxies.slice(cluster.size)
    this.#stopProxies = proxies.stop
    this.#journals = {
      faults: this.journal("faults"),
      acks: this.journal("acks"),
      health: this.journal("health"),
      memory: this.journal("memory"),
      probes: this.journal("publisher-0")
    }
    this.eye = new Eye(cluster.urls, this.#journals.probes)
  }

  static async start(given: Partial<Options> & Pick<Options, "mode" | "nodes">): Promise<World> {
    const options = { ...DEFAULTS, ...given }
    const cluster = await Cluster.start(options)
    const proxies = await Proxy.start([...cluster.nodes, ...cluster.nodes])
    const world = new World(options, mkdtempSync(join(tmpdir(), "sluice-chaos-")), cluster, proxies)
    try {
      await world.#begin()
      return world
    } catch (error) {
      await world.end()
      throw error
    }
  }

  journal(name: string): Journal {
    return new Journal(this.#path(name))
  }

  readonly #hired = (process: Crew.Process): void => void this.#all.push(process)

  #path(name: string): string {
    return join(this.directory, `${name}.journal`)
  }

  async #begin(): Promise<void> {
    await this.eye.create(this.options.nodes)
    const publishers = Array.from(
      { length: this.options.publishers },
      (_, index) => Crew.publisher(this.#publisherOrder(index + 1), this.directory, this.#hired)
    )
    await this.hire()
    await this.eye.ready()
    this.#tasks.push(this.eye.watch(this.#journals.acks), this.#sample(), this.#askHealth())
    this.publishers.push(...await Promise.all(publishers))
  }

  #publisherOrder(pub: number): PublisherOrder {
    const { ahead, bytes, chunk, mode, pauseMs } = this.options
    const urls = this.publisherLines.map(({ url }) => url)
    return { _tag: "publish", mode, urls, pub, bytes, chunk, pauseMs, ahead, journal: this.#path(`publisher-${pub}`) }
  }

  /** Another worker takes over; whoever did the work is not told. */
  async hire(): Promise<Crew.Process> {
    const { ackWaitMs, capacity, graceMs, lanes, mode, slowMs, workMs } = this.options
    const epoch = this.epoch + 1
    const healthPort = await freePort()
    const order: WorkerOrder = {
      _tag: "work",
      mode,
      urls: this.lines.map(({ url }) => url),
      epoch,
      journal: this.#path(`worker-${epoch}`),
      health: this.#path(`health-${epoch}`),
      effects: join(this.directory, "effects.sqlite"),
      workMs,
      slowMs,
      lanes,
      capacity,
      ackWaitMs,
      graceMs,
      healthPort
    }
    const worker = await Crew.worker(order, this.directory, this.#hired)
    await this.#untilReady(epoch, healthPort)
    this.worker = worker
    this.epoch = epoch
    this.#healthPort = healthPort
    return worker
  }

  /** As whoever deploys it would find out. Not for ever: the servers may be away. */
  async #untilReady(epoch: number, port: number): Promise<void> {
    const said = new Follower(this.#path(`health-${epoch}`))
    const isReady = (): Promise<boolean> =>
      this.options.mode === "thread"
        ? reportOf(port).then((report) => report?.ready === true)
        : Promise.resolve(said.next().some(({ kind }) => kind === "healthy"))
    const deadline = performance.now() + READY_WITHIN_MS
    while (performance.now() < deadline && !(await isReady())) {
      await sleep(10)
    }
    said.close()
  }

  /** Tells a worker to stop, or kills it, and writes down how that went. */
  async dismiss(worker: Crew.Process, epoch: number, signal: "SIGTERM" | "SIGKILL"): Promise<number> {
    const told = now()
    const code = await worker.kill(signal)
    const took = Math.round(now() - told)
    this.#journals.faults.write({ kind: "gone", pub: epoch, flag: signal === "SIGKILL" ? KILLED : code, n: took })
    return took
  }

  /**
   * Writes down that a fault begins. Gives back how to write down that it is over (since when; default: since the server
   * is ready), and waits until the program has recovered.
   */
  fault(kind: FaultKind): (at?: number) => Promise<void> {
    const about = { pub: FAULTS.indexOf(kind), n: ++this.#faults }
    this.#journals.faults.write({ kind: "fault", ...about })
    // A consumer that was deleted is the program's to make again.
    const needsConsumer = kind !== "delete"
    return async (at) => {
      const seq = await this.eye.ready(30_000, needsConsumer)
      this.#journals.faults.write({ kind: "healed", ...about, seq, at: at ?? now() })
      this.isStuck = !(await this.recovered(seq, needsConsumer)) || this.isStuck
    }
  }

  /** What the worker has handled so far of what was stored at this sequence or later. */
  async handledSince(seq: number, withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs
    while (performance.now() < deadline) {
      if (this.#highest() >= seq) {
        return true
      }
      await sleep(10)
    }
    return false
  }

  /**
   * Publishes one message after the other until one is handled that was stored at this sequence or later: a first one may
   * be given to a connection that is gone without the server's knowing, and come back only when its lease is over.
   */
  async recovered(seq: number, needsConsumer = true): Promise<boolean> {
    const deadline = performance.now() + this.options.patienceMs
    while (performance.now() < deadline) {
      if (await this.handledSince(seq, PROBE_EVERY_MS)) {
        return true
      }
      await this.eye.ready(30_000, needsConsumer)
    }
    return false
  }

  /** How many calls have begun. */
  started(): number {
    this.#highest()
    return this.#started
  }

  /** The highest sequence that a handler has begun with. */
  #highest(): number {
    for (let epoch = 1; epoch <= this.epoch; epoch++) {
      const name = `worker-${epoch}`
      const follower = this.#followers.get(name) ?? new Follower(this.#path(name))
      this.#followers.set(name, follower)
      for (const { kind, seq } of follower.next()) {
        if (kind === "start") {
          this.#started++
          this.#begun = Math.max(this.#begun, seq)
        }
      }
    }
    return this.#begun
  }

  async #sample(): Promise<void> {
    while (!this.#ended) {
      const n = this.worker.memory()
      if (n > 0) {
        this.#journals.memory.write({ kind: "memory", n, pub: this.epoch })
      }
      await sleep(SAMPLE_MS)
    }
  }

  /** Asks the thread, which answers whatever the application does. */
  async #askHealth(): Promise<void> {
    const { health } = this.#journals
    let last: boolean | undefined
    let connectedAt = Number.NEGATIVE_INFINITY
    while (!this.#ended && this.options.mode === "thread") {
      const port = this.#healthPort
      const report = await reportOf(port)
      const isHealthy = report?.ready ?? false
      const since = now() - (report?.connection.sinceMs ?? 0)
      if (isHealthy && last === true && since > connectedAt + SINCE_IS_EXACT_MS) {
        // Away and back between two looks.
        health.writeAll([{ kind: "unhealthy", at: since - 1 }, { kind: "healthy", at: since }])
      }
      connectedAt = isHealthy ? since : connectedAt
      if (isHealthy !== last && port === this.#healthPort) {
        health.write({ kind: isHealthy ? "healthy" : "unhealthy" })
        last = isHealthy
      }
      await sleep(HEALTH_MS)
    }
  }

  /** After the run: what the server holds, which effects there are, and everything that was written down. */
  async journals(): Promise<Journals> {
    const effects = new Effects(join(this.directory, "effects.sqlite"))
    const end = this.journal("end")
    end.writeAll(await this.eye.stored())
    end.writeAll(effects.all().map(({ n, pub }): Writing => ({ kind: "made", pub, n })))
    effects.close()
    end.close()
    const journals = new Map<string, Read>()
    for (const file of readdirSync(this.directory).filter((name) => name.endsWith(".journal"))) {
      const name = basename(file, ".journal")
      journals.set(name, read(name, join(this.directory, file)))
    }
    return journals
  }

  /** Ends everything; `keep` leaves the journals and the logs where they are. */
  async end(keep = false): Promise<void> {
    this.#ended = true
    this.eye.stop()
    for (const follower of this.#followers.values()) {
      follower.close()
    }
    await Promise.all(this.#all.map((process) => process.kill("SIGKILL")))
    await Promise.all(this.#tasks)
    await this.#stopProxies()
    await this.cluster.end()
    if (!keep) {
      rmSync(this.directory, { recursive: true, force: true })
    }
  }
}
