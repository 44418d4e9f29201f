/**
 * One owner per directory. A symbolic link says who; it is made whole or not at all, and needs no room on a full disk. A
 * process that was killed leaves it behind, and whoever comes next takes it over. Where that cannot be known, because it is
 * of another machine, nobody takes it.
 */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import { hostname } from "node:os"
import { join, resolve } from "node:path"
import { BroadcastChannel } from "node:worker_threads"

interface Holder {
  readonly pid: number
  readonly host: string
  readonly token: string
}

/** Somebody else has it. */
export class Held extends Error {
  readonly code = "LOCKED"
}

/** Threads of a process ask each other: a thread that died cannot answer, and a process id does not tell them apart. */
const CHANNEL = "effect-sluice/spill/lock"
/** A thread that collects garbage on a busy machine is not dead, and two that write here would spoil what they hold. */
const ANSWER_WITHIN_MS = 1_000
const ATTEMPTS_MAX = 5
const PREFIX = "lock."
const TOKEN_BYTES = 6

/** What this thread holds. */
const own = new Set<string>()

/** Takes the directory, or fails with `Held`. Gives what lets go of it. */
export const take = async (directory: string): Promise<() => Promise<void>> => {
  const path = resolve(directory)
  if (own.has(path)) {
    throw new Held("another reader of this process has it")
  }
  own.add(path)
  const token = randomBytes(TOKEN_BYTES).toString("hex")
  const silence = answerFor(token)
  try {
    const file = await create(path, format({ pid: process.pid, host: hostname(), token }))
    return async () => {
      silence()
      await fs.rm(file, { force: true })
      own.delete(path)
    }
  } catch (error) {
    silence()
    own.delete(path)
    throw error
  }
}

// internals

/**
 * Makes a lock with a number beyond those that were left behind: of many who do so at once one succeeds. Whoever then sees
 * one that is none of those makes way, so that two never both stay.
 */
const create = async (directory: string, text: string): Promise<string> => {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const left = await locks(directory)
    for (const other of left.values()) {
      await refuseIfAlive(other)
    }
    const number = Math.max(0, ...[...left.keys()].map((name) => Number(name.slice(PREFIX.length)))) + 1
    const file = join(directory, `${PREFIX}${number}`)
    if (!await isCreated(file, text)) {
      continue
    }
    for (const [name, other] of await locks(directory)) {
      if (other !== text && left.get(name) !== other) {
        await fs.rm(file, { force: true })
        throw new Held("another one has just taken it")
      }
    }
    await Promise.all([...left.keys()].map((name) => fs.rm(join(directory, name), { force: true })))
    return file
  }
  throw new Held("others take it all the time")
}

/** Whether it was made by this call. */
const isCreated = async (path: string, text: string): Promise<boolean> => {
  try {
    await fs.symlink(text, path)
    return true
  } catch (error) {
    if (codeOf(error) === "EEXIST") {
      return false
    }
    throw error
  }
}

/** The locks that are there, and what they say. */
const locks = async (directory: string): Promise<ReadonlyMap<string, string>> => {
  const found = new Map<string, string>()
  for (const name of await fs.readdir(directory)) {
    if (/^lock\.\d+$/.test(name)) {
      const text = await fs.readlink(join(directory, name)).catch((error: unknown) => {
        switch (codeOf(error)) {
          case "ENOENT":
            return undefined
          case "EINVAL":
            // Not a link, so none of ours: nobody holds it.
            return ""
          default:
            throw error
        }
      })
      if (text !== undefined) {
        found.set(name, text)
      }
    }
  }
  return found
}

const refuseIfAlive = async (text: string): Promise<void> => {
  const holder = parse(text)
  if (holder !== undefined && await isAlive(holder)) {
    throw new Held(`process ${holder.pid} on ${holder.host} has it; if that is gone, remove the file "lock.…" there`)
  }
}

/** Short, so that file systems keep it beside the name. */
const format = ({ host, pid, token }: Holder): string => `${pid}.${token}.${host}`

/** Who holds it; undefined if what is there says nothing. */
const parse = (text: string): Holder | undefined => {
  const [, pid, token, host] = /^(\d+)\.([0-9a-f]+)\.(.+)$/.exec(text) ?? []
  return pid === undefined || token === undefined || host === undefined ? undefined : { host, pid: Number(pid), token }
}

const isAlive = async ({ host, pid, token }: Holder): Promise<boolean> => {
  if (host !== hostname()) {
    return true
  }
  if (pid === process.pid) {
    // Another thread; or a process before this one, in a container that counts from the same number.
    return await isAnswered(token)
  }
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) !== "ESRCH"
  }
}

const answerFor = (token: string): () => void => {
  const channel = new BroadcastChannel(CHANNEL)
  hear(channel, (heard) => heard === `who ${token}` && say(channel, `I ${token}`))
  // It must not keep a process alive.
  channel.unref()
  return () => channel.close()
}

const isAnswered = (token: string): Promise<boolean> => {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const channel = new BroadcastChannel(CHANNEL)
  hear(channel, (heard) => heard === `I ${token}` && resolve(true))
  setTimeout(() => resolve(false), ANSWER_WITHIN_MS)
  say(channel, `who ${token}`)
  return promise.finally(() => channel.close())
}

/** It is an `EventTarget`, which its types do not say. */
const hear = (channel: BroadcastChannel, heard: (word: unknown) => void): void =>
  (channel as unknown as EventTarget).addEventListener(
    "message",
    (event) => heard((event as unknown as { readonly data: unknown }).data)
  )

// A channel has no origin; only windows have.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
const say = (channel: BroadcastChannel, word: string): void => channel.postMessage(word)

export const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
    ? error.code
    : error instanceof Error
    ? error.name
    : "unknown"
