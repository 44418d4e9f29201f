/**
 * Runs a short command to its end and hands back what it printed.
 */
import { execFile } from "node:child_process"

export class CommandFailed extends Error {
  override readonly name = "CommandFailed"
}

export interface RunOptions {
  readonly cwd?: string
  readonly timeoutMillis?: number
}

/** Rejects with `CommandFailed` and the tail of stderr when the command is missing, fails or takes too long. */
export const run = (command: string, args: ReadonlyArray<string>, options: RunOptions = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    const settings = {
      cwd: options.cwd,
      timeout: options.timeoutMillis ?? 30_000,
      maxBuffer: 16 * 1024 * 1024,
      // What we parse must not depend on the language of whoever runs the tests.
      env: { ...process.env, LC_ALL: "C" }
    }
    execFile(command, [...args], settings, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const told = stderr.trim().split("\n").slice(-5).join("\n") || error.message
      reject(new CommandFailed(`${command} ${args.slice(-2).join(" ")}: ${told}`, { cause: error }))
    })
  })
