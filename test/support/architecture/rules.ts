/**
 * The rules of the house. Each takes files and returns what breaks it, one readable line each; an empty array is a
 * pass.
 */
import { posix } from "node:path"
import { knowsVendors, mayImport, mayUseUnstable, registrationHint, zoneOf } from "./ranks.ts"
import type { Import, SourceFile } from "./source.ts"

export type Rule = (files: ReadonlyArray<SourceFile>) => ReadonlyArray<string>

export const maxFileLines = 400
export const maxFunctionLines = 70

const isIn = (folder: string) => (file: SourceFile): boolean => file.path.startsWith(`${folder}/`)

/** Asks `judge` about every import of every file under `src/`; what it answers is what is wrong with it. */
const eachImport = (judge: (file: SourceFile, found: Import) => string | undefined): Rule => (files) =>
  files.filter(isIn("src")).flatMap((file) =>
    file.imports.flatMap((found) => {
      const problem = judge(file, found)
      return problem === undefined ? [] : [`${file.path}:${found.line} imports ${found.specifier}: ${problem}`]
    })
  )

/** The path of the file that a relative import means, wherever it is. */
const target = (file: SourceFile, found: Import): string | undefined =>
  found.specifier.startsWith(".")
    ? posix.join(posix.dirname(file.path), found.specifier).replace(/\.js$/, ".ts")
    : undefined

const isOf = (specifier: string, scope: string): boolean => specifier === scope || specifier.startsWith(`${scope}/`)

export const everyFileHasARank: Rule = (files) =>
  files.filter(isIn("src")).filter((file) => zoneOf(file.path) === undefined)
    .map((file) => `${file.path} has no rank yet: ${registrationHint}`)

export const importsGoDown: Rule = eachImport((file, found) => {
  const to = target(file, found)
  const from = zoneOf(file.path)
  if (to === undefined || from === undefined) return undefined
  if (!to.startsWith("src/")) return "src imports nothing outside of src"
  const zone = zoneOf(to)
  if (zone === undefined) return `no rank is known for ${to}: ${registrationHint}`
  return mayImport[from].includes(zone)
    ? undefined
    : `${from} may import ${mayImport[from].join(", ")}, and this is ${zone}`
})

export const vendorsStayOutside: Rule = eachImport((file, found) =>
  isOf(found.specifier, "@nats-io") && !knowsVendors(file.path)
    ? "a vendor's package is known only in layers/ and internal/"
    : undefined
)

export const unstableStaysConfined: Rule = eachImport((file, found) => {
  if (["effect/testing", "@effect/vitest"].some((scope) => isOf(found.specifier, scope))) {
    return zoneOf(file.path) === "testing" ? undefined : "this is for testing/ and the tests"
  }
  const isUnstable = found.specifier.startsWith("@effect/") || /^effect\/[a-z]/.test(found.specifier)
  return isUnstable && !mayUseUnstable(file.path)
    ? "it may change in a minor release; only layers/, internal/, bin, Inbox, Outbox, Rpc and Health use such modules"
    : undefined
})

export const noBarrel: Rule = eachImport((_file, found) =>
  found.specifier === "effect" ? `import single modules, as in import * as Effect from "effect/Effect"` : undefined
)

export const noCycles: Rule = (files) => {
  const byPath = new Map(files.filter(isIn("src")).map((file) => [file.path, file]))
  const finished = new Set<string>()
  const cycles: Array<string> = []
  const walk = (path: string, trail: ReadonlyArray<string>): void => {
    const file = byPath.get(path)
    if (file === undefined || finished.has(path)) return
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "))
      return
    }
    for (const found of file.imports) {
      const to = target(file, found)
      if (to !== undefined) walk(to, [...trail, path])
    }
    finished.add(path)
  }
  for (const path of byPath.keys()) walk(path, [])
  return cycles
}

export const filesStayShort: Rule = (files) =>
  files.filter((file) => file.lines > maxFileLines)
    .map((file) =>
      `${file.path} has ${file.lines} lines, ${maxFileLines} are allowed: what is the second concept in it?`
    )

export const functionsStayShort: Rule = (files) =>
  files.filter(isIn("src")).flatMap((file) =>
    file.functions.filter((found) => found.lines > maxFunctionLines)
      .map((found) =>
        `${file.path}:${found.line} ${found.name} has ${found.lines} lines, ${maxFunctionLines} are allowed`
      )
  )
