/** What was measured last for the documentation, where, and with what. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { arch, availableParallelism, cpus, totalmem, type as system } from "node:os"
import type { Row } from "./report.ts"
import type { Workload } from "./workloads.ts"

export interface Recorded {
  /** Where and with what, as a person wants to read it. */
  readonly where: string
  readonly rounds: number
  readonly workloads: Partial<Record<Workload, Measured>>
}

export interface Measured {
  readonly messages: number
  readonly size: number
  readonly inFlight: number
  readonly rows: ReadonlyArray<Row>
}

const FILE = new URL("./figures.json", import.meta.url)
const GIGABYTE = 2 ** 30
const DIGITS = 4

export const load = (): Recorded | undefined =>
  existsSync(FILE) ? JSON.parse(readFileSync(FILE, "utf8")) as Recorded : undefined

/** As they are read: nobody needs the digits beyond the fourth, and a file that is compared has fewer changes. */
export const save = (recorded: Recorded): void => {
  const rounded = (_: string, value: unknown) => typeof value === "number" ? Number(value.toPrecision(DIGITS)) : value
  writeFileSync(FILE, `${JSON.stringify(recorded, rounded, 2)}\n`)
}

/** Some measured anew, the others as they were. Nothing if they were measured somewhere else, or otherwise. */
export const merged = (old: Recorded | undefined, fresh: Recorded): Recorded | undefined =>
  old === undefined
    ? fresh
    : old.where === fresh.where && old.rounds === fresh.rounds
    ? { ...fresh, workloads: { ...old.workloads, ...fresh.workloads } }
    : undefined

export const where = (serverVersion: string): string => {
  const cpu = cpus()[0]?.model.trim() ?? arch()
  const machine = `${availableParallelism()} cores of ${cpu}, ${Math.round(totalmem() / GIGABYTE)} GB, ${system()}`
  const client = ["@nats-io/transport-node", "@nats-io/jetstream"].map((name) => `${name} ${versionOf(name)}`)
  return `${machine}; Node ${process.versions.node}, nats-server ${serverVersion} on the same machine, effect ${
    versionOf("effect")
  }, ${client.join(", ")}`
}

// internals

/** A package need not say where its own package.json is. */
const versionOf = (name: string): string => {
  const require = createRequire(import.meta.url)
  for (const path of require.resolve.paths(name) ?? []) {
    const file = `${path}/${name}/package.json`
    if (existsSync(file)) {
      return (JSON.parse(readFileSync(file, "utf8")) as { readonly version: string }).version
    }
  }
  return "unknown"
}
