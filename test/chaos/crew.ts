/** The processes under test: workers and publishers, each on its own, killed and told to stop like any other. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { closeSync, openSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { NAME as MUTANT } from "../mutants/active.ts"
import type { PublisherOrder, Quota, Said, WorkerAct, WorkerOrder } from "./orders.ts"

const path = (file: string) => fileURLToPath(new URL(file, import.meta.url))

/** A broken product, if the run is to find out whether that is noticed. */
const hook = (): ReadonlyArray<string> =>
  process.env[MUTANT] === undefined ? [] : ["--import", path("../mutants/hook.ts")]

/**
 * One burst, and what is young may take 48 MB for the rest of a process's life: that says nothing about what is held, and
 * what is held is what the check of memory is about.
 */
const YOUNG = "--max-semi-space-size=4"

const launch = (program: string, log: string): ChildProcess => {
  const file = openSync(log, "a")
  const child = fork(path(program), [], {
    execArgv: ["--conditions=effect-sluice-source", "--disable-warning=ExperimentalWarning", YOUNG, ...hook()],
    stdio: ["ignore", file, file, "ipc"],
    // A signal to the whole group, as from a terminal, is for whoever leads the run.
    detached: true
  })
  closeSync(file)
  return child
}

export class Process {
  readonly child: ChildProcess
  readonly log: string
  readonly ended: Promise<number>
  #said: (said: Said) => void = () => {}

  constructor(program: string, log: string) {
    this.log = log
    this.child = launch(program, log)
    this.ended = once(this.child, "exit").then(([code, signal]) => signal === null ? code as number : 137)
    this.child.on("message", (said: Said) => this.#said(said))
  }

  get isUp(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** The next thing of this kind that it says, or its end as an error. */
  hear<T extends Said["_tag"]>(tag: T, which: (said: Extract<Said, { _tag: T }>) => boolean = () => true) {
    return new Promise<Extract<Said, { _tag: T }>>((resolve, reject) => {
      this.#said = (said) => {
        if (said._tag === tag && which(said as Extract<Said, { _tag: T }>)) {
          resolve(said as Extract<Said, { _tag: T }>)
        }
      }
      void this.ended.then((code) => reject(new Error(`${this.log}: it ended with ${code}\n${this.tail()}`)))
    })
  }

  tell(told: WorkerOrder | PublisherOrder | WorkerAct | Quota): void {
    if (this.isUp) {
      this.child.send(told, () => {})
    }
  }

  async kill(signal: "SIGKILL" | "SIGTERM"): Promise<number> {
    if (this.isUp) {
      this.child.kill(signal)
    }
    return this.ended
  }

  /** What it holds in memory, in KB. */
  memory(): number {
    try {
      return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.child.pid}/status`, "utf8"))?.[1] ?? 0)
    } catch {
      return 0
    }
  }

  tail(): string {
    return readFileSync(this.log, "utf8").split("\n").slice(-12).join("\n")
  }
}

/** `hired` learns of it before it says a word, so that nobody is left behind who never does. */
export const worker = async (
  order: WorkerOrder,
  directory: string,
  hired: (process: Process) => void
): Promise<Process> => {
  const made = new Process("worker.ts", join(directory, `worker-${order.epoch}.log`))
  hired(made)
  const ready = made.hear("ready")
  made.tell(order)
  await ready
  return made
}

export const publisher = async (
  order: PublisherOrder,
  directory: string,
  hired: (process: Process) => void
): Promise<Process> => {
  const made = new Process("publisher.ts", join(directory, `publisher-${order.pub}.log`))
  hired(made)
  const ready = made.hear("ready")
  made.tell(order)
  await ready
  return made
}
