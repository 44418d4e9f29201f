import type { Figures } from "./order.ts"

/** Measures from the first message to the moment when the last one is answered. */
export class Stopwatch {
  #at = 0
  #cpu = process.cpuUsage()
  #loop = performance.eventLoopUtilization()

  get isRunning(): boolean {
    return this.#at > 0
  }

  start(): void {
    this.#at = performance.now()
    this.#cpu = process.cpuUsage()
    this.#loop = performance.eventLoopUtilization()
  }

  figures(messages: number): Figures {
    const seconds = (performance.now() - this.#at) / 1_000
    const { system, user } = process.cpuUsage(this.#cpu)
    return {
      messagesPerSecond: messages / seconds,
      cpuUs: (system + user) / messages,
      mainBusy: performance.eventLoopUtilization(this.#loop).utilization
    }
  }
}
