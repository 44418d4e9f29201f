/** A worker thread in which transports live: one, or several, each with a port of its own. */
import * as Effect from "effect/Effect"
import { MessageChannel, type MessagePort, type TransferListItem, Worker } from "node:worker_threads"
import type { Thread } from "./life.ts"
import { overPort } from "./ports.ts"

/** What the thread is told: to let a transport live, or that none is left and it can end. */
export type Told<A> = { readonly told: A; readonly port: MessagePort } | "end"

/** A thread that is told to end ends by itself; stopping it in the middle of that is the last resort. */
const EXIT_WITHIN_MS = 2_000

const EXIT_AFTER_PORTS_MS = 100
/** What is young in this thread is on its way through: with the default, three times as much of it lies about as garbage. */
const YOUNG_MB = 16

export class IoWorker<A> {
  readonly #file: URL
  /** The one that takes transports in. One that was told to end, or has died, is followed by another. */
  #open: Running<A> | undefined

  constructor(file: URL) {
    this.#file = file
  }

  /** Lets a transport live there, as it is told. The thread starts with the first, and ends with the last. */
  readonly spawn = (told: A): Thread => {
    const running = this.#open ??= new Running<A>(this.#file, () => {
      if (this.#open === running) {
        this.#open = undefined
      }
    })
    return running.spawn(told)
  }
}

// internals

class Running<A> {
  readonly #worker: Worker
  readonly #exited: Promise<void>
  readonly #closed: () => void
  #transports = 0
  #detail = "it ended without a word"

  /** Calls back when it takes nothing more in. */
  constructor(file: URL, closed: () => void) {
    // It is told nothing but by its port: arguments and environments can be read.
    this.#worker = new Worker(file, { env: {}, argv: [], resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } })
    this.#closed = closed
    this.#exited = new Promise((resolve) => this.#worker.once("exit", () => resolve()))
    this.#worker.once("exit", closed)
    this.#worker.on("error", (error: unknown) => {
      this.#detail = error instanceof Error ? error.message : String(error)
    })
  }

  spawn(told: A): Thread {
    this.#transports++
    const { port1: port, port2 } = new MessageChannel()
    this.#tell({ told, port: port2 }, [port2])
    const left = new Promise<void>((resolve) =>
      port.once("close", () => {
        this.#leave()
        resolve()
      })
    )
    return {
      channel: overPort(port),
      watch: (ended) => {
        const tell = () => ended(this.#detail)
        void this.#exited.then(tell)
        // The ports of a thread that has died close before it is known why.
        void left.then(() => setTimeout(tell, EXIT_AFTER_PORTS_MS).unref())
      },
      gone: Effect.suspend(() => {
        const gone = left.then(() => this.#transports === 0 ? this.#exited : undefined)
        return Effect.timeoutOrElse(Effect.promise(() => gone), {
          duration: EXIT_WITHIN_MS,
          orElse: () => Effect.promise(() => this.#stop(port))
        })
      })
    }
  }

  // internals

  #tell(what: Told<A>, transfer: ReadonlyArray<TransferListItem> = []): void {
    this.#worker.postMessage(what, transfer)
  }

  #leave(): void {
    if (--this.#transports === 0) {
      this.#closed()
      this.#tell("end")
    }
  }

  /** One that others live in goes on. */
  async #stop(port: MessagePort): Promise<void> {
    port.close()
    if (this.#transports <= 1) {
      await this.#worker.terminate()
    }
  }
}
