/** The file system as far as a spill needs it. A test puts another one in its place, to fill the disk or to break it. */
import * as Context from "effect/Context"
import type { Buffer } from "node:buffer"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"

export interface File {
  /** Reads up to as much as the buffer holds; less only at the file's end. */
  readonly read: (into: Buffer, position: number) => Promise<number>
  /** Writes all of it. */
  readonly write: (bytes: Buffer, position: number) => Promise<void>
  readonly sync: () => Promise<void>
  readonly truncate: (bytes: number) => Promise<void>
  readonly size: () => Promise<number>
  readonly close: () => Promise<void>
}

export interface Files {
  readonly makeDirectory: (path: string) => Promise<void>
  readonly list: (directory: string) => Promise<ReadonlyArray<string>>
  /** `new`: empty, whatever was there. `update`: as it is, made if it is missing. */
  readonly open: (path: string, mode: "new" | "update" | "read") => Promise<File>
  readonly rename: (from: string, to: string) => Promise<void>
  readonly remove: (path: string) => Promise<void>
  /** So that a power failure does not take away the names of new files. */
  readonly syncDirectory: (path: string) => Promise<void>
}

const FLAGS = {
  new: constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
  update: constants.O_RDWR | constants.O_CREAT,
  read: constants.O_RDONLY
}
/** Messages are nobody else's business. */
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

const fileOf = (handle: fs.FileHandle): File => ({
  read: async (into, position) => {
    let length = 0
    while (length < into.length) {
      const { bytesRead } = await handle.read(into, length, into.length - length, position + length)
      if (bytesRead === 0) {
        break
      }
      length += bytesRead
    }
    return length
  },
  write: async (bytes, position) => {
    for (let length = 0; length < bytes.length;) {
      length += (await handle.write(bytes, length, bytes.length - length, position + length)).bytesWritten
    }
  },
  sync: () => handle.datasync(),
  truncate: (bytes) => handle.truncate(bytes),
  size: async () => (await handle.stat()).size,
  close: () => handle.close()
})

export const real: Files = {
  makeDirectory: async (path) => void await fs.mkdir(path, { recursive: true, mode: DIRECTORY_MODE }),
  list: (directory) => fs.readdir(directory),
  open: async (path, mode) => fileOf(await fs.open(path, FLAGS[mode], FILE_MODE)),
  rename: (from, to) => fs.rename(from, to),
  remove: (path) => fs.rm(path, { force: true }),
  syncDirectory: async (path) => {
    const handle = await fs.open(path, constants.O_RDONLY)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}

/** Whose files a spill uses: the machine's, unless a test says otherwise. */
export const Files: Context.Reference<Files> = Context.Reference<Files>("effect-sluice/internal/spill/Files", {
  defaultValue: () => real
})
