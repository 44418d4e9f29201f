/** All counters, each side in a process of its own. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { start } from "../../test/support/nats-server.ts"

export type Counters = Readonly<Record<string, number>>

const run = promisify(execFile)
const SIDE = fileURLToPath(new URL("./side.ts", import.meta.url))
/**
 * Nothing is collected while it is counted, so that what the heap grew by is what was allocated; and nothing is optimized,
 * because when that happens, and what it saves, is another each time.
 */
const FLAGS = ["--min-semi-space-size=256", "--max-semi-space-size=256", "--no-opt", "--no-maglev"]
const WITHIN_MS = 60_000

/** The flags are for whoever wants to see it fail. */
export const inMemory = (flags: ReadonlyArray<string> = [], env: NodeJS.ProcessEnv = {}): Promise<Counters> =>
  side([...flags, SIDE, "memory"], env)

export const onWire = async (flags: ReadonlyArray<string> = [], env: NodeJS.ProcessEnv = {}): Promise<Counters> => {
  const server = await start({})
  try {
    return await side([...FLAGS, ...flags, SIDE, "wire", server.url], env)
  } finally {
    await server.stop()
  }
}

// internals

const side = async (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv): Promise<Counters> => {
  const { stdout } = await run(process.execPath, args, { env: { ...process.env, ...env }, timeout: WITHIN_MS })
  return JSON.parse(stdout) as Counters
}
