import type { Figures } from "./order.ts"

const MEGABYTE = 1_048_576
const LOOK_MS = 100

/** Measures from the first message to the moment when the last one is answered. */
export class Stopwatch {
  #at = 0
  #cpu = process.cpuUsage()
  #loop = performance.eventLoopUtilization()
  #memory = process.memoryUsage.rss()
  #most = 0
  #looking: NodeJS.Timeout | undefined
  readonly #latencies: Array<number> = []

  get isRunning(): boolean {
    return this.#at > 0
  }

  start(): void {
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref()
    this.#memory = process.memoryUsage.rss()
    this.#cpu = process.cpuUsage()
    this.#loop = performance.eventLoopUtilization()
    this.#at = performance.now()
  }

  /** A message has come that was sent at this time. */
  came(sentAt: bigint): void {
    this.#latencies.push(Number(process.hrtime.bigint() - sentAt) / 1_000)
  }

  figures(messages: number): Figures {
    const seconds = (performance.now() - this.#at) / 1_000
    const { system, user } = process.cpuUsage(this.#cpu)
    const mainBusy = performance.eventLoopUtilization(this.#loop).utilization
    clearInterval(this.#looking)
    this.#look()
    // The first tenth warms up.
    const latencies = this.#latencies.slice(this.#latencies.length / 10).toSorted((a, b) => a - b)
    const percentile = (share: number) => latencies[Math.floor(latencies.length * share)] ?? 0
    return {
      messagesPerSecond: messages / seconds,
      cpuUs: (system + user) / messages,
      mainBusy,
      grownMb: (this.#most - this.#memory) / MEGABYTE,
      p50: percentile(0.5),
      p99: percentile(0.99),
      p999: percentile(0.999)
    }
  }

  #look(): void {
    this.#most = Math.max(this.#most, process.memoryUsage.rss())
  }
}
