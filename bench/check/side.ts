/** `node side.ts memory`, `node side.ts wire <url>`: one measurement, in a process of its own; prints it as JSON. */
import { writeSync } from "node:fs"

/** Whoever asked may be gone, and with it the server: a reader would wait for it for ever. */
const WITHIN_MS = 60_000
setTimeout(() => process.exit(1), WITHIN_MS).unref()

const [what, url] = process.argv.slice(2)
const found = what === "memory"
  ? await (await import("./inMemory.ts")).inMemory()
  : await (await import("./onWire.ts")).onWire(url!)
writeSync(1, `${JSON.stringify(found)}\n`)
process.exit(0)
