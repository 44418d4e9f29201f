import type { Figures } from "./order.ts"

const MEGABYTE = 1_048_576
const LOOK_MS = 100

/**
 * The part of all messages that warms up. A process compiles what runs often while it runs, and longer for what is more code:
 * that is over within a second, and nobody runs a worker for a second.
 */
const WARMS_UP = 0.5

/** Measures from the moment when all is warm to the one when the last message is answered. */
export class Stopwatch {
  readonly #messages: number
  #isWarm = false
  #from = 0
  #at = 0
  #cpu = process.cpuUsage()
  #loop = performance.eventLoopUtilization()
  #memory = 0
  #most = 0
  #looking: NodeJS.Timeout | undefined
  readonly #latencies: Array<number> = []

  constructor(messages: number) {
    this.#messages = messages
  }

  /** So many were there, or were sent, before what comes now. Memory is looked at from the first on. */
  seen(before: number): void {
    if (this.#looking === undefined) {
      this.#looking = setInterval(() => this.#look(), LOOK_MS).unref()
      this.#memory = process.memoryUsage.rss()
      this.#start(before)
    }
    if (!this.#isWarm && before >= this.#messages * WARMS_UP) {
      this.#isWarm = true
      this.#start(before)
    }
  }

  /** A message has come that was sent at this time. */
  came(sentAt: bigint): void {
    if (this.#isWarm) {
      this.#latencies.push(Number(process.hrtime.bigint() - sentAt) / 1_000)
    }
  }

  figures(): Figures {
    const messages = this.#messages - this.#from
    const seconds = (performance.now() - this.#at) / 1_000
    const { system, user } = process.cpuUsage(this.#cpu)
    const mainBusy = performance.eventLoopUtilization(this.#loop).utilization
    clearInterval(this.#looking)
    this.#look()
    const latencies = this.#latencies.toSorted((a, b) => a - b)
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

  #start(before: number): void {
    this.#from = before
    this.#cpu = process.cpuUsage()
    this.#loop = performance.eventLoopUtilization()
    this.#at = performance.now()
  }

  #look(): void {
    this.#most = Math.max(this.#most, process.memoryUsage.rss())
  }
}
