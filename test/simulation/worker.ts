/** A thread that runs one seed after the other, as it is told. */
import { parentPort } from "node:worker_threads"
import type { Task } from "./pool.ts"
import { runSeed } from "./run.ts"

parentPort?.on("message", ({ mishaps, seed }: Task) => {
  void runSeed(seed, mishaps).then((result) => parentPort?.postMessage(result, []))
})
