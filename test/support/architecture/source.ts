/**
 * Reads TypeScript files as far as the architecture rules need them: what they import, and how long things are.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseAst } from "vitest/node"

export interface Import {
  readonly specifier: string
  readonly line: number
}

export interface FunctionSpan {
  readonly name: string
  readonly line: number
  readonly lines: number
}

export interface SourceFile {
  /** From the project's root, with `/`. */
  readonly path: string
  readonly lines: number
  readonly imports: ReadonlyArray<Import>
  readonly functions: ReadonlyArray<FunctionSpan>
}

/** A node of the syntax tree, seen as what it has in common with all others. */
interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as Node).type === "string"

const visit = (node: Node, parent: Node | undefined, see: (node: Node, parent: Node | undefined) => void): void => {
  see(node, parent)
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) visit(child, node, see)
    }
  }
}

const text = (node: unknown): string | undefined =>
  isNode(node) && node.type === "Literal" && typeof node["value"] === "string" ? node["value"] : undefined

const isImportMeta = (node: unknown): boolean => isNode(node) && node.type === "MetaProperty"

/** `import.meta.url` and `import.meta.resolve` */
const isOfImportMeta = (node: unknown, property: string): boolean =>
  isNode(node) && node.type === "MemberExpression" && isImportMeta(node["object"])
  && isNode(node["property"]) && node["property"]["name"] === property

/** The file a node depends on: also one that is only named, as a worker's entry point is. */
const specifierOf = (node: Node): string | undefined => {
  const [first, second] = Array.isArray(node["arguments"]) ? node["arguments"] : []
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
    case "ImportExpression":
    case "TSImportType":
      return text(node["source"])
    case "NewExpression":
      return isOfImportMeta(second, "url") ? text(first) : undefined
    case "CallExpression":
      return isOfImportMeta(node["callee"], "resolve") ? text(first) : undefined
    default:
      return undefined
  }
}

const functionTypes = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"])

const nameOf = (node: Node, parent: Node | undefined): string => {
  for (const named of [node["id"], parent?.["id"], parent?.["key"]]) {
    if (isNode(named) && typeof named["name"] === "string") return named["name"]
  }
  return "a function without a name"
}

export const parse = (path: string, code: string): SourceFile => {
  const lineOf = (offset: number): number => code.slice(0, offset).split("\n").length
  const imports: Array<Import> = []
  const functions: Array<FunctionSpan> = []
  visit(parseAst(code, { lang: "ts", astType: "ts" }) as unknown as Node, undefined, (node, parent) => {
    const specifier = specifierOf(node)
    if (specifier !== undefined) imports.push({ specifier, line: lineOf(node.start) })
    if (!functionTypes.has(node.type)) return
    const line = lineOf(node.start)
    functions.push({ name: nameOf(node, parent), line, lines: lineOf(node.end) - line + 1 })
  })
  return { path, lines: code.replace(/\n$/, "").split("\n").length, imports, functions }
}

/** Every TypeScript file below `folder`, parsed. A folder that does not exist yet has none. */
export const readTree = (root: string, folder: string): ReadonlyArray<SourceFile> => {
  let names: ReadonlyArray<string>
  try {
    names = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return []
    throw error
  }
  return names.filter((name) => name.endsWith(".ts") && !name.includes("node_modules")).toSorted().map((name) => {
    const path = join(folder, name).replaceAll("\\", "/")
    return parse(path, readFileSync(join(root, path), "utf8"))
  })
}
