/**
 * A nats-server as a child process with a temporary directory of its own.
 *
 * A guard, a shell that does nothing but wait for its input to end, stands beside it: when the test process dies,
 * however it dies, the guard's input ends, and it kills the server by its pid and removes the directory.
 */
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { closeSync, openSync, rmSync, writeFileSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import type { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { configFile } from "./machine.ts"
import type { Machine } from "./machine.ts"

const guardScript = `read -r _ && exit 0
[ -f "$1/pid" ] && kill -KILL "$(cat "$1/pid")" 2> /dev/null
rm -rf "$1"`

const STANDS_STILL_WITHIN_MS = 1_000

/**
 * A signal stops one thread after the other, and one that has not been told yet goes on answering. Where /proc does not say
 * so, nobody waits.
 */
const standsStill = async (pid: number | undefined): Promise<void> => {
  const deadline = performance.now() + STANDS_STILL_WITHIN_MS
  const tasks = `/proc/${pid}/task`
  const isStopped = (task: string) =>
    readFile(join(tasks, task, "stat"), "utf8").then((text) => / [tT] /.test(text), () => false)
  while (performance.now() < deadline) {
    const stopped = await readdir(tasks).then((all) => Promise.all(all.map(isStopped)), () => [true])
    if (stopped.every(Boolean)) {
      return
    }
    await sleep(1)
  }
}

/** Returns how to dismiss the guard once there is nothing left to guard. */
const standGuard = (dir: string): () => void => {
  const guard = spawn("sh", ["-c", guardScript, "nats-guard", dir], {
    stdio: ["pipe", "ignore", "ignore"],
    // Ctrl-C in a terminal reaches the whole process group; the guard must outlive it.
    detached: true
  })
  guard.unref()
  // Its type says any stream; it is a pipe, and an open pipe would keep the test process from ending.
  const lifeline = guard.stdin as Socket
  lifeline.unref()
  lifeline.on("error", () => {})
  return () => void lifeline.end("done\n")
}

const isUp = (child: ChildProcess | undefined): child is ChildProcess =>
  child !== undefined && child.pid !== undefined && child.exitCode === null && child.signalCode === null

/** Starts the binary in `dir`. The pid lies in a file for the guard exactly as long as the process lives. */
const launch = async (binary: string, dir: string): Promise<ChildProcess> => {
  const log = openSync(join(dir, "server.log"), "a")
  const child = spawn(binary, ["-c", configFile], { cwd: dir, stdio: ["ignore", log, log], detached: true })
  closeSync(log)
  child.unref()
  child.once("exit", () => rmSync(join(dir, "pid"), { force: true }))
  await once(child, "spawn")
  if (isUp(child)) writeFileSync(join(dir, "pid"), String(child.pid))
  return child
}

/** Waits for the end of `child`, and while it does keeps the event loop alive. */
const gone = async (child: ChildProcess, withinMillis: number): Promise<boolean> => {
  if (!isUp(child)) return true
  child.ref()
  try {
    await once(child, "exit", { signal: AbortSignal.timeout(withinMillis) })
    return true
  } catch {
    return false
  } finally {
    child.unref()
  }
}

export const makeProcess = async (binary: string): Promise<Machine> => {
  const dir = await mkdtemp(join(tmpdir(), "sluice-nats-"))
  const dismissGuard = standGuard(dir)
  let child: ChildProcess | undefined
  return {
    host: "127.0.0.1",
    listen: (port) => `127.0.0.1:${port}`,
    storeDir: join(dir, "store"),
    write: async (files) => {
      for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text)
    },
    boot: async () => {
      child = await launch(binary, dir)
    },
    signal: async (name) => {
      if (!isUp(child)) return
      child.kill(name)
      if (name === "SIGKILL") await gone(child, 5_000)
      if (name === "SIGTERM" && !(await gone(child, 5_000))) {
        child.kill("SIGKILL")
        await gone(child, 5_000)
      }
    },
    pause: async () => {
      child?.kill("SIGSTOP")
      await standsStill(child?.pid)
    },
    resume: async () => void child?.kill("SIGCONT"),
    isRunning: async () => isUp(child),
    logs: () => readFile(join(dir, "server.log"), "utf8").catch(() => ""),
    dispose: async () => {
      if (isUp(child)) {
        child.kill("SIGKILL")
        await gone(child, 5_000)
      }
      await rm(dir, { recursive: true, force: true, maxRetries: 5 })
      dismissGuard()
    }
  }
}
