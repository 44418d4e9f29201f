/**
 * Puts what the I/O thread runs into files of its own, with all that they import: a thread loads its modules anew, and
 * hundreds of small ones take longer than the rest of its start. Part of `npm run build`, after the compiler.
 *
 * Whoever bundles an application finds them complete, and copies the folder beside the bundle.
 */
import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { rolldown } from "rolldown"

const FOLDER = "dist/layers/thread"

/** `…/node_modules/@nats-io/nats-core/lib/mod.js` is of `…/node_modules/@nats-io/nats-core`. */
const packageOf = (id: string): string | undefined => /^(.*node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)/.exec(id)?.[1]

const licenseOf = async (folder: string): Promise<string> => {
  const { license, name, version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as Record<
    string,
    string
  >
  const text = await readFile(join(folder, "LICENSE"), "utf8").catch(() => `${license}\n`)
  return `${name} ${version}\n\n${text}`
}

const bundle = await rolldown({ input: join(FOLDER, "nats.js"), platform: "node" })
// Names stay, because they are in stack traces.
const minify = { compress: true, mangle: false, codegen: { removeWhitespace: true } }
const { output } = await bundle.write({ dir: FOLDER, format: "esm", minify })
await bundle.close()
await rm(join(FOLDER, "nats.js.map"))

const modules = output.flatMap((file) => file.type === "chunk" ? file.moduleIds : [])
const folders = [...new Set(modules.map(packageOf))].filter((folder) => folder !== undefined).toSorted()
await writeFile(
  join(FOLDER, "LICENSES.txt"),
  (await Promise.all(folders.map(licenseOf))).join(`\n${"-".repeat(80)}\n\n`)
)
