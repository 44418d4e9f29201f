/**
 * Where every module of `src` belongs, and what it may import from there. A new module is registered here.
 *
 * The order of the ranks is the order in which a message travels: words it is made of, how many may wait, the seam to
 * the broker, the two ends of a stream, patterns built from them, and the program that runs it all.
 */
export type Zone =
  | "words"
  | "flow"
  | "seam"
  | "ends"
  | "patterns"
  | "program"
  | "bin"
  | "layers"
  | "internal"
  | "testing"

/** The modules directly in `src/`, by rank. */
const modules: Partial<Record<Zone, ReadonlyArray<string>>> = {
  words: [
    "Subject",
    "Headers",
    "Message",
    "Settlement",
    "Outcome",
    "Provenance",
    "Topic",
    "Codec",
    "Topology",
    "TransportError",
    "Metrics",
    "Tracing"
  ],
  flow: ["Queue", "Spill", "AckPolicy"],
  seam: ["Transport", "Health"],
  ends: ["Reader", "Lanes", "Publisher"],
  patterns: ["DeadLetter", "Inbox", "Outbox", "Rpc", "Provisioner"],
  program: ["Worker", "index"],
  bin: ["bin"]
}

/** The folders of `src/`; whatever lies in one, however deep, belongs to its zone. */
const folders: Partial<Record<string, Zone>> = {
  bin: "bin",
  layers: "layers",
  internal: "internal",
  testing: "testing"
}

export const registrationHint = "register it in test/support/architecture/ranks.ts"

const upToSeam: ReadonlyArray<Zone> = ["words", "flow", "seam"]
const upToEnds: ReadonlyArray<Zone> = [...upToSeam, "ends"]
const upToPatterns: ReadonlyArray<Zone> = [...upToEnds, "patterns"]
const upToProgram: ReadonlyArray<Zone> = [...upToPatterns, "program"]

/** Its own rank or lower; brokers come in only at the very top, through a layer. */
export const mayImport: Readonly<Record<Zone, ReadonlyArray<Zone>>> = {
  words: ["words"],
  flow: ["words", "flow"],
  seam: upToSeam,
  ends: upToEnds,
  patterns: upToPatterns,
  program: upToProgram,
  bin: [...upToProgram, "bin", "layers"],
  layers: [...upToSeam, "internal", "layers"],
  internal: [...upToSeam, "internal"],
  testing: [...upToEnds, "testing"]
}

/** The zone of a file under `src/`, or nothing when nobody has said where it belongs. */
export const zoneOf = (path: string): Zone | undefined => {
  const [root, first, ...rest] = path.split("/")
  if (root !== "src" || first === undefined) return undefined
  // The private half of the two ends: closed to users as all of internal, but of the rank that it serves.
  if (first === "internal" && (rest[0] === "reader" || rest[0] === "publisher")) return "ends"
  if (first === "internal" && rest[0] === "deadletter") return "patterns"
  if (rest.length > 0) return folders[first]
  const name = first.replace(/\.ts$/, "")
  return (Object.keys(modules) as Array<Zone>).find((zone) => modules[zone]?.includes(name))
}

/** Only these may know a broker's client library. */
export const knowsVendors = (path: string): boolean => ["layers", "internal"].includes(zoneOf(path) ?? "")

const unstableUsers = ["Inbox", "Outbox", "Rpc", "Health", "internal/reader/guards"].map((name) => `src/${name}.ts`)

/** Only these may use modules of Effect that can change in a minor release. */
export const mayUseUnstable = (path: string): boolean =>
  ["layers", "internal", "bin"].includes(zoneOf(path) ?? "") || unstableUsers.includes(path)
