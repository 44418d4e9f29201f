/** A directory for a spill, and a file system that can be made to refuse. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as later } from "node:timers/promises"
import { type File, type Files, real } from "../../src/internal/spill/files.ts"

export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "sluice-spill-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
)

/** The names of the files with this ending. */
export const filesOf = (directory: string, ending: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => (await readdir(directory)).filter((name) => name.endsWith(ending)).toSorted())

/** How much lies there, in bytes. */
export const sizeOf = async (directory: string): Promise<number> => {
  const names = (await readdir(directory)).filter((name) => /\.(segment|marks)$/.test(name))
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Lets the disk work for a moment, which takes real time, and virtual time pass with it. */
export const tick: Effect.Effect<void> = Effect.andThen(Effect.promise(() => later(1)), TestClock.adjust(10))

/** Until it is so. */
export const until = <E = never, R = never>(isSo: (() => boolean) | Effect.Effect<boolean, E, R>, what: string) =>
  Effect.gen(function*() {
    // The disk of a busy machine takes its time, of which nobody knows how many turns go by.
    const end = performance.now() + 10_000
    for (let turn = 0; !(typeof isSo === "function" ? isSo() : yield* isSo); turn++) {
      if (turn > 2_000 && performance.now() > end) {
        return yield* Effect.die(new Error(`it never came to this: ${what}`))
      }
      yield* tick
    }
  })

export type Refused = "write" | "sync" | "read" | "open" | "create" | "remove"

/** The machine's files, except that what is named in `refuses` fails with `code`. */
export class Refusing implements Files {
  readonly refuses = new Set<Refused>()
  code = "ENOSPC"
  /** How many were refused. */
  refused = 0
  syncs = 0
  /** Of a write that is refused, so many bytes are written. */
  partly = 0

  readonly #opened = new Set<File>()

  /** How many files are open. */
  get opened(): number {
    return this.#opened.size
  }

  /** The process is killed: whatever it has open is closed by the system, and nothing else happens. */
  async crash(): Promise<void> {
    await Promise.all([...this.#opened].map((file) => file.close().catch(() => undefined)))
    this.#opened.clear()
  }

  readonly makeDirectory = real.makeDirectory
  readonly list = real.list
  readonly rename = real.rename
  readonly syncDirectory = real.syncDirectory
  readonly remove = (path: string) => this.#asked("remove", () => real.remove(path))
  readonly open = (path: string, mode: "new" | "update" | "read") =>
    this.#asked(
      mode !== "read" && this.refuses.has("create") ? "create" : "open",
      async () => this.#fileOf(await real.open(path, mode))
    )

  async #asked<A>(what: Refused, run: () => Promise<A>, partly: () => Promise<unknown> = () => Promise.resolve()) {
    if (this.refuses.has(what)) {
      this.refused++
      await partly()
      throw Object.assign(new Error(`${this.code}: refused`), { code: this.code })
    }
    return await run()
  }

  #fileOf(file: File): File {
    this.#opened.add(file)
    return {
      ...file,
      read: (into, position) => this.#asked("read", () => file.read(into, position)),
      write: (bytes, position) =>
        this.#asked(
          "write",
          () => file.write(bytes, position),
          () => file.write(bytes.subarray(0, this.partly), position)
        ),
      close: () => {
        this.#opened.delete(file)
        return file.close()
      },
      sync: () => {
        this.syncs++
        return this.#asked("sync", () => file.sync())
      }
    }
  }
}
