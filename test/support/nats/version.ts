/**
 * Version numbers of nats-server: how they are asked for, compared and matched.
 */
import { run } from "./run.ts"

/** What stands in for "whatever this machine offers first". */
export const anyVersion = "any"

/** Compares `2.9.10` with `2.10.27` number by number. */
export const compareVersions = (a: string, b: string): number => {
  const left = a.split(".").map(Number)
  const right = b.split(".").map(Number)
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** `2.9` asks for any 2.9.x, `2.9.10` for that one alone, `latest` and `any` for all of them. */
export const matches = (wanted: string, version: string): boolean =>
  wanted === anyVersion || wanted === "latest" || version === wanted || version.startsWith(`${wanted}.`)

export const newest = <A extends { readonly version: string }>(candidates: ReadonlyArray<A>): A | undefined =>
  candidates.toSorted((a, b) => compareVersions(b.version, a.version))[0]

/** The version a binary reports; rejects when it does not run here or is something else. */
export const versionOf = async (binary: string): Promise<string> => {
  const said = await run(binary, ["--version"], { timeoutMillis: 10_000 })
  const version = /^nats-server: v(\d+\.\d+\.\d+)/m.exec(said)?.[1]
  if (version === undefined) {
    throw new Error(`${binary} --version does not speak like nats-server: ${said.trim().slice(0, 200)}`)
  }
  return version
}
