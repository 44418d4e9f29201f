/**
 * Fetches nats-server from the Debian mirror this machine is configured with.
 *
 * apt works on a state of its own in a temporary directory: nothing is installed, no root is needed, the machine's
 * package lists stay untouched, and signatures are checked as always. Three Debian releases carry three generations of
 * the server.
 */
import { existsSync } from "node:fs"
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { run } from "./run.ts"
import { versionOf } from "./version.ts"

export interface Mirror {
  readonly uri: string
  /** Path of the key ring that signs it. */
  readonly signedBy: string | undefined
}

const suites = ["bookworm", "trixie", "sid"]

const defaultKeyRing = "/usr/share/keyrings/debian-archive-keyring.gpg"

/** The main archive and dated snapshots of it; never the security archive, never other vendors' repositories. */
const isDebianArchive = (uri: string): boolean => /^https?:\/\/.+\/debian(\/\d{8}T\d{6}Z)?\/?$/.test(uri)

const keyRing = (value: string | undefined): string | undefined => {
  if (value?.startsWith("/")) return value
  return existsSync(defaultKeyRing) ? defaultKeyRing : undefined
}

/** One-line style: `deb [signed-by=… arch=…] URI suite component…` */
export const parseSourcesList = (text: string): ReadonlyArray<Mirror> =>
  text.split("\n").flatMap((line) => {
    const parts = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)/.exec(line)
    if (parts?.[2] === undefined) return []
    return [{ uri: parts[2], signedBy: keyRing(/signed-by=(\S+)/i.exec(parts[1] ?? "")?.[1]) }]
  })

/** Stanza style (`*.sources`): fields, continued by indented lines, separated by empty ones. */
export const parseDeb822 = (text: string): ReadonlyArray<Mirror> =>
  text.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>()
    const lines = stanza.split("\n").filter((line) => !line.startsWith("#")).join("\n").replaceAll(/\n[ \t]+/g, " ")
    for (const [, key, value] of lines.matchAll(/^([\w-]+):(.*)$/gm)) {
      if (key !== undefined && value !== undefined) fields.set(key.toLowerCase(), value.trim())
    }
    const isOn = !/^(no|false|0)$/i.test(fields.get("enabled") ?? "yes")
    if (!isOn || !(fields.get("types") ?? "").split(/\s+/).includes("deb")) return []
    const uris = (fields.get("uris") ?? "").split(/\s+/)
    return uris.map((uri) => ({ uri, signedBy: keyRing(fields.get("signed-by")) }))
  })

/** The Debian mirrors named in apt's own configuration below `aptDir`, in the order apt reads them. */
export const debianMirrors = async (aptDir: string): Promise<ReadonlyArray<Mirror>> => {
  const parts = join(aptDir, "sources.list.d")
  const names = (await readdir(parts).catch(() => [])).filter((name) => /\.(list|sources)$/.test(name))
  const files = [join(aptDir, "sources.list"), ...names.toSorted().map((name) => join(parts, name))]
  const found = new Map<string, Mirror>()
  for (const file of files) {
    const text = await readFile(file, "utf8").catch(() => "")
    for (const mirror of file.endsWith(".sources") ? parseDeb822(text) : parseSourcesList(text)) {
      if (isDebianArchive(mirror.uri) && !found.has(mirror.uri)) found.set(mirror.uri, mirror)
    }
  }
  return [...found.values()]
}

interface Apt {
  readonly options: ReadonlyArray<string>
  readonly downloads: string
}

const prepareApt = async (state: string, mirror: Mirror): Promise<Apt> => {
  const downloads = join(state, "debs")
  for (const dir of ["lists/partial", "cache/archives/partial", "debs"]) {
    await mkdir(join(state, dir), { recursive: true })
  }
  const signed = mirror.signedBy === undefined ? "" : `[signed-by=${mirror.signedBy}] `
  const sources = join(state, "sources.list")
  await writeFile(sources, suites.map((suite) => `deb ${signed}${mirror.uri} ${suite} main\n`).join(""))
  const settings = {
    "Dir::Etc::sourcelist": sources,
    "Dir::Etc::sourceparts": "-",
    "Dir::State::Lists": join(state, "lists"),
    "Dir::Cache": join(state, "cache"),
    // As root apt would drop to a user who may not write into our directory.
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
    "Acquire::Retries": "2",
    "Acquire::http::Timeout": "20",
    "Acquire::https::Timeout": "20"
  }
  return { options: Object.entries(settings).map(([key, value]) => `-o${key}=${value}`), downloads }
}

const download = async (apt: Apt): Promise<void> => {
  // One suite that a mirror does not have makes apt complain; what counts is which versions there are afterwards.
  const complaint = await run("apt-get", [...apt.options, "update", "-qq"], { timeoutMillis: 240_000 })
    .then(() => undefined, (error: Error) => error)
  const table = await run("apt-cache", [...apt.options, "madison", "nats-server"])
  const versions = new Set(table.split("\n").flatMap((line) => line.split("|")[1]?.trim() || []))
  if (versions.size === 0) throw complaint ?? new Error("the mirror has no package nats-server")
  for (const version of versions) {
    const what = ["download", "-qq", `nats-server=${version}`]
    await run("apt-get", [...apt.options, ...what], { cwd: apt.downloads, timeoutMillis: 240_000 })
  }
}

/** Unpacks each package and moves its binary to `<into>/<version>/nats-server`, whole or not at all. */
const unpack = async (apt: Apt, state: string, into: string): Promise<void> => {
  for (const deb of await readdir(apt.downloads)) {
    const root = join(state, "root", deb)
    await mkdir(root, { recursive: true })
    await run("dpkg-deb", ["-x", join(apt.downloads, deb), root])
    const binary = join(root, "usr/sbin/nats-server")
    // A release newer than this machine's C library may not run here; the others still do.
    const version = await versionOf(binary).catch(() => undefined)
    if (version === undefined || existsSync(join(into, version))) continue
    const incoming = await mkdtemp(join(into, ".incoming-"))
    await run("cp", [binary, join(incoming, "nats-server")])
    await chmod(incoming, 0o755)
    await rename(incoming, join(into, version))
  }
}

/** Puts every nats-server the machine's Debian mirror offers under `into`; rejects when there is no way to get any. */
export const fetchFromDebian = async (into: string, aptDir: string): Promise<void> => {
  const mirrors = await debianMirrors(aptDir)
  if (mirrors.length === 0) throw new Error(`no Debian mirror is configured in ${aptDir}`)
  await mkdir(into, { recursive: true })
  const failures: Array<string> = []
  for (const mirror of mirrors) {
    const state = await mkdtemp(join(tmpdir(), "nats-server-apt-"))
    try {
      const apt = await prepareApt(state, mirror)
      await download(apt)
      return await unpack(apt, state, into)
    } catch (error) {
      failures.push((error as Error).message)
    } finally {
      await rm(state, { recursive: true, force: true })
    }
  }
  throw new Error(failures.join("\n"))
}
