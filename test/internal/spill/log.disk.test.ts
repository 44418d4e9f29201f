/** The log on a disk that refuses. */
import { assert, describe, it } from "@effect/vitest"
import { readdir } from "node:fs/promises"
import { setImmediate } from "node:timers/promises"
import { appendAll, deliveries, inDirectory, left, ns, open, range, readAll, segments } from "../../support/logs.ts"
import { Refusing, sizeOf } from "../../support/spilling.ts"

describe("a disk that refuses", () => {
  for (const [what, partly] of [["write", 0], ["write", 150], ["sync", 0], ["open", 0]] as const) {
    it(`to ${what}${partly > 0 ? " more than a part" : ""}: what was there stays, and the same can be written later`, () =>
      inDirectory(async (directory) => {
        const files = new Refusing()
        files.partly = partly
        const log = await open(directory, { segmentBytes: 1_000 }, files)
        if (what !== "open") {
          await appendAll(log, deliveries(1, 3))
        }
        files.refuses.add(what)
        for (let attempt = 0; attempt < 3; attempt++) {
          const error = await log.append(deliveries(4, 8)).then(() => undefined, (error: unknown) => error)
          assert.include(String(error), "ENOSPC")
        }
        const before = what === "open" ? [] : range(1, 3)
        const killed = await open(directory)
        const found = ns(await readAll(killed))
        assert.includeMembers(range(1, 8), found, "what was not made durable may be there, or not")
        assert.deepStrictEqual(found.slice(0, before.length), before)
        files.refuses.clear()
        await appendAll(log, deliveries(4, 8))
        // Of a file's end that was refused nothing can be believed, whatever the system says of it later.
        assert.lengthOf(await segments(directory), what === "open" ? 1 : 2)
        assert.deepStrictEqual(ns(await readAll(log)), [...before, ...range(4, 8)])
        const next = await open(directory)
        assert.deepStrictEqual(ns(await readAll(next)), [...before, ...range(4, 8)])
      }))
  }

  it("to read: the same is read later", () =>
    inDirectory(async (directory) => {
      const files = new Refusing()
      const log = await open(directory, {}, files)
      await appendAll(log, deliveries(1, 5))
      files.refuses.add("read")
      assert.include(await log.read(5, 1_000).then(() => "", String), "ENOSPC")
      files.refuses.clear()
      assert.deepStrictEqual(ns(await readAll(log)), range(1, 5))
      await log.close()
    }))

  it("anything new: what is there can be read all the same, and makes room when it is done", () =>
    inDirectory(async (directory) => {
      await left(directory, 5)
      const files = new Refusing()
      files.refuses.add("write").add("create")
      const log = await open(directory, {}, files)
      const read = await readAll(log)
      assert.deepStrictEqual(ns(read), range(1, 5))
      read.forEach((kept) => log.settle(kept))
      await log.flush()
      assert.deepStrictEqual(await readdir(directory), [])
    }))

  it("to write, while it is noted what is settled: nothing of what was there is let go of", () =>
    inDirectory(async (directory) => {
      const files = new Refusing()
      const log = await open(directory, { segmentBytes: 300 }, files)
      await appendAll(log, deliveries(1, 5))
      await log.seal()
      files.refuses.add("write")
      for (let attempt = 0; attempt < 5; attempt++) {
        let hasFailed = false
        const failing = log.append(deliveries(6, 6)).catch(() => {
          hasFailed = true
        })
        while (!hasFailed) {
          await log.flush()
          await setImmediate()
        }
        await failing
      }
      files.refuses.clear()
      await appendAll(log, deliveries(6, 6))
      assert.deepStrictEqual(ns(await readAll(log)), range(1, 6))
      assert.strictEqual(log.bytes, await sizeOf(directory))
    }))

  it("to note what is settled: it is noted later", () =>
    inDirectory(async (directory) => {
      const files = new Refusing()
      const log = await open(directory, {}, files)
      await appendAll(log, deliveries(1, 5))
      const read = await readAll(log)
      files.refuses.add("write")
      log.settle(read[0]!)
      assert.include(String(await log.flush().catch(String)), "ENOSPC")
      files.refuses.clear()
      log.settle(read[3]!)
      await log.flush()
      const next = await open(directory)
      assert.deepStrictEqual(ns(await readAll(next)), [2, 3, 5])
    }))
})
