/**
 * Writes `orders.ndjson`: 10,000 lines, always the same, from a fixed seed.
 *
 * 900 customers; 40 lines that do not decode (torn JSON, a missing field, a wrong type); 25 orders whose card is always
 * declined; 200 whose card works at the second try. Run it with `node examples/01_orders/generate.ts`.
 */
import { writeFileSync } from "node:fs"

const LINES = 10_000
const CUSTOMERS = 900
const BROKEN = 40
const DECLINED = 25
const FLAKY = 200
const SEED = 20_260_101
const REGIONS = ["eu", "us", "ap"]

/** mulberry32: small, fast, and the same everywhere. */
const randomFrom = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

const random = randomFrom(SEED)
const below = (n: number): number => Math.floor(random() * n)

/** So many different lines, none of them in `taken`. */
const pick = (count: number, taken: Set<number>): Set<number> => {
  const picked = new Set<number>()
  while (picked.size < count) {
    const line = below(LINES)
    if (!taken.has(line)) {
      taken.add(line)
      picked.add(line)
    }
  }
  return picked
}

const taken = new Set<number>()
const broken = pick(BROKEN, taken)
const declined = pick(DECLINED, taken)
const flaky = pick(FLAKY, taken)

const order = (line: number) => ({
  id: `o-${String(line + 1).padStart(6, "0")}`,
  // Every customer orders at least once; the rest falls where it falls.
  customer: `c-${String((line < CUSTOMERS ? line : below(CUSTOMERS)) + 1).padStart(4, "0")}`,
  region: REGIONS[below(REGIONS.length)],
  total: below(50_000) / 100,
  card: declined.has(line) ? "declined" : flaky.has(line) ? "flaky" : "ok"
})

const breakIt = (line: number): string => {
  const { customer, ...rest } = order(line)
  switch (line % 4) {
    case 0:
      return JSON.stringify({ ...rest, customer }).slice(0, 37)
    case 1:
      return JSON.stringify(rest)
    case 2:
      return JSON.stringify({ ...rest, customer, total: "a lot" })
    default:
      return "not an order at all"
  }
}

const lines = Array.from(
  { length: LINES },
  (_, line) => broken.has(line) ? breakIt(line) : JSON.stringify(order(line))
)
writeFileSync(new URL("orders.ndjson", import.meta.url), `${lines.join("\n")}\n`)
