/**
 * One process at a time, across processes: a directory is the lock, because making one either succeeds or fails.
 */
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

/**
 * A lock without a readable owner is only just being taken, or its taker died in between; the second after this long.
 */
const graceMillis = 5_000

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Not allowed to signal it: somebody else's process, and alive.
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

const abandoned = async (lock: string): Promise<boolean> => {
  const owner = Number.parseInt(await readFile(join(lock, "pid"), "utf8").catch(() => ""), 10)
  if (Number.isInteger(owner)) return !alive(owner)
  const age = await stat(lock).then((at) => Date.now() - at.mtimeMs, () => 0)
  return age > graceMillis
}

const tryTake = async (lock: string): Promise<boolean> => {
  try {
    await mkdir(lock)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
    return false
  }
  await writeFile(join(lock, "pid"), String(process.pid))
  return true
}

/** Runs `body` while holding the lock directory `lock`, waiting for others first. A dead owner's lock is taken over. */
export const withLock = async <A>(lock: string, body: () => Promise<A>): Promise<A> => {
  await mkdir(dirname(lock), { recursive: true })
  while (!(await tryTake(lock))) {
    if (await abandoned(lock)) await rm(lock, { recursive: true, force: true })
    else await sleep(100)
  }
  try {
    return await body()
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}
