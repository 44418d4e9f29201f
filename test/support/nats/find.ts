/**
 * Finds a nats-server to test against, wherever this machine has one.
 *
 * In this order: `NATS_SERVER_BIN`, the PATH, what was fetched before, the machine's Debian mirror, Docker. There is no
 * silent way out: without any of them it throws, and says what to install.
 */
import { accessSync, constants } from "node:fs"
import { readdir } from "node:fs/promises"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { dockerAnswers } from "./container.ts"
import { fetchFromDebian } from "./debian.ts"
import { withLock } from "./lock.ts"
import { anyVersion, compareVersions, matches, newest, versionOf } from "./version.ts"

export type Found =
  | { readonly via: "binary"; readonly version: string; readonly path: string }
  | { readonly via: "docker"; readonly image: string }

type Binary = Extract<Found, { via: "binary" }>

/** Everything the search looks at, so that a test can put it into an empty world. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where fetched binaries are kept: `<cacheDir>/<version>/nats-server`. */
  readonly cacheDir: string
  /** apt's configuration, where the machine's Debian mirror is named. */
  readonly aptDir: string
  readonly dockerAnswers: () => Promise<boolean>
}

export class NoNatsServer extends Error {
  override readonly name = "NoNatsServer"
}

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))

export const thisMachine = (): Surroundings => ({
  env: process.env,
  cacheDir: join(root, "node_modules/.cache/nats-server"),
  aptDir: "/etc/apt",
  dockerAnswers
})

/** `TEST_NATS_VERSIONS`, or what the machine offers first. */
export const wantedVersions = (env: Surroundings["env"] = process.env): ReadonlyArray<string> => {
  const list = (env["TEST_NATS_VERSIONS"] ?? "").split(",").map((version) => version.trim()).filter(Boolean)
  return list.length === 0 ? [anyVersion] : list
}

/** Where the test run's own search leaves its failures, so that each worker does not wait for the same ones again. */
export const missingVariable = "SLUICE_TEST_NATS_MISSING"

const knownToBeMissing = (env: Surroundings["env"], wanted: string): string | undefined =>
  (JSON.parse(env[missingVariable] ?? "{}") as Record<string, string>)[wanted]

const onPath = (env: Surroundings["env"]): string | undefined =>
  (env["PATH"] ?? "").split(delimiter).filter(Boolean).map((dir) => join(dir, "nats-server")).find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/**
 * Binaries that are on the machine already. One named by hand must work; one that happens to be on the PATH may not.
 */
const installed = async (env: Surroundings["env"], tried: Array<string>): Promise<ReadonlyArray<Binary>> => {
  const found: Array<Binary> = []
  const named = env["NATS_SERVER_BIN"]
  if (named) {
    const version = await versionOf(named).catch((error: Error) => {
      throw new NoNatsServer(`NATS_SERVER_BIN is set to ${named}, which does not answer --version: ${error.message}`)
    })
    found.push({ via: "binary", version, path: named })
  } else tried.push("NATS_SERVER_BIN: not set")
  const path = onPath(env)
  if (path === undefined) tried.push("PATH: no nats-server there")
  else {
    const version = await versionOf(path).catch((error: Error) => void tried.push(`PATH: ${error.message}`))
    if (version !== undefined) found.push({ via: "binary", version, path })
  }
  return found
}

const cached = async (cacheDir: string): Promise<ReadonlyArray<Binary>> => {
  const names = await readdir(cacheDir).catch(() => [])
  return names.filter((name) => /^\d+\.\d+\.\d+$/.test(name))
    .map((version) => ({ via: "binary", version, path: join(cacheDir, version, "nats-server") }))
}

/** Fetches once for everybody: whoever comes second finds the first one's binaries when the lock opens. */
const fetched = async (where: Surroundings, tried: Array<string>): Promise<ReadonlyArray<Binary>> => {
  const before = await cached(where.cacheDir)
  if (before.length > 0) return before
  return withLock(join(where.cacheDir, ".lock"), async () => {
    const meanwhile = await cached(where.cacheDir)
    if (meanwhile.length > 0) return meanwhile
    await fetchFromDebian(where.cacheDir, where.aptDir).catch((error: Error) => {
      tried.push(`Debian mirror: ${error.message.replaceAll("\n", " ")}`)
    })
    return cached(where.cacheDir)
  })
}

const findBinary = async (
  wanted: string,
  where: Surroundings,
  tried: Array<string>
): Promise<Binary | undefined> => {
  const here = await installed(where.env, tried)
  const first = here.find((binary) => matches(wanted, binary.version))
  // "latest" is a wish for the newest of all, so what happens to be installed does not end the search.
  if (first !== undefined && wanted !== "latest") return first
  const more = await fetched(where, tried)
  const fitting = [...here, ...more].filter((binary) => matches(wanted, binary.version))
  if (fitting.length === 0 && more.length > 0) {
    const have = [...here, ...more].map((binary) => binary.version).toSorted(compareVersions)
    tried.push(`found only ${have.join(", ")}`)
  }
  return newest(fitting)
}

const giveUp = (wanted: string, tried: ReadonlyArray<string>): NoNatsServer =>
  new NoNatsServer([
    `No nats-server${
      wanted === anyVersion ? "" : ` ${wanted}`
    } to test against. These tests need a real one. Looked at:`,
    ...tried.map((line) => `  - ${line}`),
    "Do one of these:",
    "  - install nats-server (https://github.com/nats-io/nats-server/releases) so that it is on the PATH",
    "  - set NATS_SERVER_BIN=/path/to/nats-server",
    "  - on Debian: keep a Debian mirror in apt's sources, and this fetches it by itself, without root",
    "  - start Docker, and this uses the image nats"
  ].join("\n"))

/** The server for one entry of `TEST_NATS_VERSIONS`. `TEST_NATS_VIA` (`binary` or `docker`) rules out the other way. */
export const find = async (wanted: string, where: Surroundings = thisMachine()): Promise<Found> => {
  const missing = knownToBeMissing(where.env, wanted)
  if (missing !== undefined) throw new NoNatsServer(missing)
  const via = where.env["TEST_NATS_VIA"] || "any"
  if (!["any", "binary", "docker"].includes(via)) {
    throw new NoNatsServer(`TEST_NATS_VIA is "${via}"; it can be binary or docker`)
  }
  const tried: Array<string> = []
  if (via !== "docker") {
    const binary = await findBinary(wanted, where, tried)
    if (binary !== undefined) return binary
  }
  if (via === "binary") tried.push("Docker: ruled out by TEST_NATS_VIA=binary")
  else if (await where.dockerAnswers()) {
    return { via: "docker", image: `nats:${wanted === anyVersion ? "latest" : wanted}` }
  } else tried.push("Docker: no daemon answers")
  throw giveUp(wanted, tried)
}
