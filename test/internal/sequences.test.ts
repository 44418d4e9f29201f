import { assert, describe, it } from "@effect/vitest"
import { Sequences } from "../../src/internal/sequences.ts"
import { Dice } from "../simulation/dice.ts"

/** Near one another, a table's size apart, and beyond 32 bits. */
const SEQUENCES = Array.from({ length: 100 }, (_, n) => [n, n * 65_536, 2 ** 40 + n]).flat()

describe("Sequences", () => {
  it("is a map", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const dice = new Dice(seed)
      const [table, map] = [new Sequences<string>(), new Map<number, string>()]
      for (let step = 0; step < 300; step++) {
        const key = dice.pick(SEQUENCES)
        if (dice.chance(0.4)) {
          table.delete(key)
          map.delete(key)
        } else {
          table.set(key, `v${step}`)
          map.set(key, `v${step}`)
        }
        assert.strictEqual(table.size, map.size)
      }
      assert.deepStrictEqual(SEQUENCES.map((key) => table.get(key)), SEQUENCES.map((key) => map.get(key)))
      assert.deepStrictEqual(table.all.toSorted(), [...map.values()].toSorted())
    }
  })

  it("holds a window that moves on, however far apart its sequences are", () => {
    for (const apart of [1, 7, 64, 65_536, 2 ** 33]) {
      const table = new Sequences<number>()
      for (let at = 0; at < 20_000; at++) {
        table.set(at * apart, at)
        table.delete((at - 1_000) * apart)
        assert.strictEqual(table.get((at - 500) * apart), at < 500 ? undefined : at - 500)
      }
      assert.strictEqual(table.size, 1_000)
    }
  })

  it("is empty when it is cleared", () => {
    const table = new Sequences<string>()
    table.set(7, "seven")
    table.clear()
    assert.deepStrictEqual([table.size, table.get(7), table.all], [0, undefined, []])
  })
})
