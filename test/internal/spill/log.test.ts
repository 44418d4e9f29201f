/** The log on disk: its format, and what is recovered of it. */
import { assert, describe, it } from "@effect/vitest"
import { Buffer } from "node:buffer"
import { readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { real } from "../../../src/internal/spill/files.ts"
import { Log } from "../../../src/internal/spill/log.ts"
import * as Spill from "../../../src/Spill.ts"
import {
  appendAll,
  deliveries,
  delivery,
  endsOf,
  inDirectory,
  killAll,
  left,
  ns,
  open,
  owner,
  plain,
  range,
  readAll,
  segments
} from "../../support/logs.ts"
import { Refusing } from "../../support/spilling.ts"

describe("what is written", () => {
  it("is read back as it was, in order, by whoever opens the directory next", () =>
    inDirectory(async (directory) => {
      const log = await open(directory)
      const large = delivery(6, "x".repeat(700_000))
      await appendAll(log, [...deliveries(1, 5), large, delivery(7)])
      const next = await open(directory)
      assert.strictEqual(next.recovered, 7)
      const read = await readAll(next)
      assert.deepStrictEqual(
        read.map(({ delivery }) => plain(delivery)),
        [...deliveries(1, 5), large, delivery(7)].map(plain)
      )
    }))

  it("lies in segments of bounded size, which go when all in them is settled", () =>
    inDirectory(async (directory) => {
      const log = await open(directory, { segmentBytes: 500 })
      await appendAll(log, deliveries(1, 40))
      const names = await segments(directory)
      assert.isAbove(names.length, 5)
      for (const name of names) {
        assert.isAtMost((await stat(join(directory, name))).size, 500)
      }
      const read = await readAll(log)
      assert.deepStrictEqual(ns(read), range(1, 40))
      read.filter(({ delivery }) => delivery.streamSequence !== 9).forEach((kept) => log.settle(kept))
      await log.flush()
      assert.lengthOf(await segments(directory), 2, "the one that holds a message, and the one that is written to")
      log.settle(read[8]!)
      await log.close()
      assert.deepStrictEqual(await readdir(directory), [])
    }))

  it("is not read again once it is settled, and counts as begun where it was handed on", () =>
    inDirectory(async (directory) => {
      const first = await open(directory, { segmentBytes: 300 })
      await appendAll(first, deliveries(1, 6))
      const found: Array<ReadonlyArray<readonly [n: number, deliveryCount: number]>> = []
      const rounds = [{ begun: 4, settled: [2] }, { begun: 5, settled: [4] }, { begun: 0, settled: [1, 3] }]
      for (const { begun, settled } of rounds) {
        const log = found.length === 0 ? first : await open(directory, { segmentBytes: 300 })
        const read = await readAll(log)
        found.push(read.map(({ delivery }) => [delivery.streamSequence, delivery.deliveryCount]))
        read.filter(({ delivery }) => delivery.streamSequence <= begun).forEach((kept) => log.begin(kept))
        read.filter(({ delivery }) => settled.includes(delivery.streamSequence)).forEach((kept) => log.settle(kept))
        await log.flush()
      }
      const last = await open(directory)
      assert.deepStrictEqual(found[1], [[1, 2], [3, 2], [4, 2], [5, 1], [6, 1]])
      assert.deepStrictEqual(found[2], [[1, 3], [3, 3], [5, 2], [6, 1]])
      assert.deepStrictEqual(ns(await readAll(last)), [5, 6])
    }))
})

describe("a file that was cut short", () => {
  it(
    "anywhere: every whole message before the cut is there, nothing else is, and writing goes on",
    () =>
      inDirectory(async (directory) => {
        const path = await left(directory, 4)
        const whole = await readFile(path)
        const ends = await endsOf(path)
        for (let length = 0; length <= whole.length; length++) {
          await rm(directory, { recursive: true })
          await real.makeDirectory(directory)
          await writeFile(path, whole.subarray(0, length))
          const count = ends.filter((end) => end <= length).length
          const log = await open(directory)
          assert.strictEqual(log.recovered, count, `cut at ${length}`)
          assert.strictEqual(log.damaged, 0)
          await appendAll(log, [delivery(99)])
          assert.deepStrictEqual(ns(await readAll(log)), [...range(1, count), 99], `cut at ${length}`)
          await log.seal()
          const after = await open(directory)
          assert.deepStrictEqual(ns(await readAll(after)), [...range(1, count), 99], `opened again, cut at ${length}`)
          await killAll()
        }
      }),
    60_000
  )

  it("and filled with zeros, as a file system may leave it after a power failure", () =>
    inDirectory(async (directory) => {
      const path = await left(directory, 4)
      const whole = await readFile(path)
      await writeFile(path, Buffer.concat([whole.subarray(0, -5), Buffer.alloc(4_096)]))
      const log = await open(directory)
      assert.deepStrictEqual(ns(await readAll(log)), [1, 2, 3])
      await log.close()
    }))

  it("among what says that messages are settled: they come again, no other is taken for settled", () =>
    inDirectory(async (directory) => {
      await left(directory, 4)
      const log = await open(directory)
      for (const kept of await readAll(log)) {
        if (kept.delivery.streamSequence > 2) {
          log.begin(kept)
          log.settle(kept)
          await log.flush()
        }
      }
      const path = join(directory, (await readdir(directory)).find((name) => name.endsWith(".marks"))!)
      for (let length = (await stat(path)).size; length >= 0; length--) {
        await truncate(path, length)
        const next = await open(directory)
        const found = ns(await readAll(next))
        assert.includeMembers([...range(1, 4)], found)
        assert.includeMembers(found, [1, 2], `cut at ${length}`)
        assert.deepStrictEqual(found, found.toSorted((a, b) => a - b))
      }
      const none = await open(directory)
      assert.deepStrictEqual(ns(await readAll(none)), range(1, 4))
    }))
})

describe("a file in which a bit is wrong", () => {
  it(
    "gives no message that was not written, says how many are lost, and is kept",
    () =>
      inDirectory(async (directory) => {
        const path = await left(directory, 4)
        const whole = await readFile(path)
        const texts = new Set(deliveries(1, 4).map((one) => JSON.stringify(plain(one))))
        const [begin = 0] = await endsOf(path, 0)
        for (let at = begin; at < whole.length; at++) {
          await rm(directory, { recursive: true })
          await real.makeDirectory(directory)
          const broken = Buffer.from(whole)
          broken[at]! ^= 1 << (at % 8)
          await writeFile(path, broken)
          // A segment that another one follows was written to its end: nothing in it may go missing without a word.
          await writeFile(join(directory, `${"4".padStart(16, "0")}.segment`), "")
          const log = await open(directory)
          const read = await readAll(log)
          assert.isTrue(read.every(({ delivery }) => texts.has(JSON.stringify(plain(delivery)))), `at ${at}`)
          assert.strictEqual(read.length + log.damaged, 4, `at ${at}`)
          assert.isAtLeast(log.damaged, 1, `at ${at}`)
          read.forEach((kept) => log.settle(kept))
          await log.close()
          assert.deepStrictEqual((await readdir(directory)).map((name) => name.replace(/^0+/, "")), [
            ".segment.damaged"
          ])
        }
      }),
    60_000
  )

  it("loses only that message where the length is right", () =>
    inDirectory(async (directory) => {
      const path = await left(directory, 5)
      const whole = await readFile(path)
      const ends = await endsOf(path)
      whole[ends[2]! - 1]! ^= 1
      await writeFile(path, whole)
      const log = await open(directory)
      assert.deepStrictEqual([ns(await readAll(log)), log.damaged], [[1, 2, 4, 5], 1])
      await log.close()
    }))
})

describe("the log", () => {
  it("keeps nothing open of what it has removed: it would take up its room", () =>
    inDirectory(async (directory) => {
      await left(directory, 5)
      const files = new Refusing()
      const log = await open(directory, {}, files)
      const read = await readAll(log)
      assert.strictEqual(files.opened, 1)
      read.forEach((kept) => log.settle(kept))
      await log.flush()
      assert.deepStrictEqual([await readdir(directory), files.opened], [[], 0])
      await appendAll(log, deliveries(6, 8))
      assert.deepStrictEqual(ns(await readAll(log)), [6, 7, 8])
    }))

  it("does not look for what is settled behind what was the last to be settled", () =>
    inDirectory(async (directory) => {
      await left(directory, 6)
      const before = await open(directory)
      const read = await readAll(before)
      read.slice(2).forEach((kept) => before.settle(kept))
      await before.flush()
      const log = await open(directory)
      const two = await log.read(2, 1_000)
      assert.deepStrictEqual(ns(two), [1, 2])
      two.forEach((kept) => log.settle(kept))
      await log.flush()
      assert.isTrue(log.isCaughtUp)
      await appendAll(log, deliveries(7, 8))
      assert.deepStrictEqual(ns(await readAll(log)), [7, 8])
    }))

  it("syncs each batch before it counts as written, unless it is told never to", () =>
    inDirectory(async (directory) => {
      const files = new Refusing()
      const log = await open(directory, {}, files)
      await log.append(deliveries(1, 5))
      await log.append(deliveries(6, 9))
      assert.strictEqual(files.syncs, 2)
      await log.close()
      const careless = await open(directory, { sync: "never" }, files)
      await careless.append(deliveries(10, 12))
      assert.strictEqual(files.syncs, 2)
      await careless.close()
    }))

  it("takes no more than it may hold, except a single message that is larger than all of it", () =>
    inDirectory(async (directory) => {
      const log = await open(directory, { maxBytes: 1_000, segmentBytes: 400 })
      let written = 0
      while (log.fits(delivery(written + 1))) {
        written += (await log.append(deliveries(written + 1, written + 20))).length
      }
      assert.isAtMost(log.bytes, 1_000)
      assert.isAbove(written, 3)
      const read = await readAll(log)
      read.forEach((kept) => log.settle(kept))
      assert.isTrue(log.fits(delivery(1, "x".repeat(5_000))))
      await log.append([delivery(1, "x".repeat(5_000)), delivery(2)])
      assert.deepStrictEqual(ns(await readAll(log)), [1])
      await log.close()
    }))

  it("knows a message that was written, but perhaps not acknowledged, before the process was killed", () =>
    inDirectory(async (directory) => {
      await left(directory, 3)
      const log = await open(directory)
      const again = (n: number) => delivery(n, "", { deliveryCount: 2 })
      assert.deepStrictEqual([again(3), again(4), delivery(3)].map((one) => log.knows(one)), [true, false, false])
      await log.close()
    }))

  it("touches nothing in the directory of another consumer", () =>
    inDirectory(async (directory) => {
      const path = await left(directory, 3)
      const before = await readFile(path)
      const log = new Log(real, Spill.settings({ directory }), { ...owner, consumer: "other" })
      assert.include(String(await log.open().catch(String)), "JOBS/worker")
      assert.deepStrictEqual(await readFile(path), before)
    }))
})
