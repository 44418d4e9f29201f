/**
 * Seeds on several threads. A thread that does not answer in time is ended, and counts as hung: also one that turns in a
 * loop and hears nothing any more.
 */
import { Worker } from "node:worker_threads"
import type { Result } from "./run.ts"
import type { Mishap } from "./scenario.ts"

/** One run: a seed, and perhaps only some of what goes wrong with it. */
export interface Task {
  readonly seed: number
  readonly mishaps?: ReadonlyArray<Mishap>
}

export interface Options {
  readonly workers: number
  /** Real time for a run: more than that, and it hangs. */
  readonly hangsAfterMs: number
  /** What the threads run. Default: seeds. */
  readonly program?: URL
}

interface Waiting {
  readonly task: Task
  readonly done: (result: Result) => void
}

export class Pool {
  readonly #options: Options
  readonly #waiting: Array<Waiting> = []
  readonly #idle: Array<Worker> = []
  readonly #all = new Set<Worker>()

  constructor(options: Options) {
    this.#options = options
  }

  run(task: Task): Promise<Result> {
    return new Promise((done) => {
      this.#waiting.push({ task, done })
      this.#next()
    })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((worker) => worker.terminate()))
  }

  #next(): void {
    const worker = this.#waiting.length === 0 ? undefined : this.#idle.pop() ?? this.#another()
    if (worker !== undefined) {
      this.#give(worker, this.#waiting.shift()!)
    }
  }

  #another(): Worker | undefined {
    if (this.#all.size >= this.#options.workers) {
      return undefined
    }
    const worker = new Worker(this.#options.program ?? new URL("./worker.ts", import.meta.url))
    this.#all.add(worker)
    return worker
  }

  #give(worker: Worker, { done, task }: Waiting): void {
    const end = (result: Result, isWell: boolean) => {
      clearTimeout(timer)
      worker.off("message", answered)
      worker.off("error", died)
      if (isWell) {
        this.#idle.push(worker)
      } else {
        this.#all.delete(worker)
        void worker.terminate()
      }
      done(result)
      this.#next()
    }
    const fail = (why: string) =>
      end({ seed: task.seed, hash: "", wrong: [why], messages: 0, faults: task.mishaps ?? [] }, false)
    const { hangsAfterMs } = this.#options
    const timer = setTimeout(() => fail(`hung for ${hangsAfterMs} ms`), hangsAfterMs)
    const answered = (result: Result) => end(result, true)
    const died = (error: unknown) => fail(`died: ${String(error)}`)
    worker.on("message", answered)
    worker.on("error", died)
    worker.postMessage(task, [])
  }
}

/** Runs these seeds and gives the results in their order, whoever is done first. */
export const inOrder = async (
  pool: Pool,
  seeds: { readonly from: number; readonly runs: number; readonly ahead: number },
  take: (result: Result) => Promise<void>
): Promise<void> => {
  const under: Array<Promise<Result>> = []
  let next = 0
  while (next < seeds.runs || under.length > 0) {
    while (next < seeds.runs && under.length < seeds.ahead) {
      under.push(pool.run({ seed: seeds.from + next++ }))
    }
    await take(await under.shift()!)
  }
}
