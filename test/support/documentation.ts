/**
 * Reads the documentation of a module: what it exports, the JSDoc block of each export, and the examples in it.
 */
import { posix } from "node:path"
import { parseAst } from "vitest/node"

/** The text of a file by its path from the project's root, `undefined` for one that does not exist. */
export type Load = (path: string) => string | undefined

interface Export {
  readonly name: string
  readonly line: number
  /** Whether one calls it: the functions, not the values and not the classes. */
  readonly isFunction: boolean
  /** The block before it, without its margin; `undefined` if there is none. */
  readonly doc: string | undefined
}

/** A node of the syntax tree, seen as what it has in common with all others. */
interface Node {
  readonly type: string
  readonly start: number
  readonly [key: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as Node).type === "string"

const nodes = (value: unknown): ReadonlyArray<Node> => Array.isArray(value) ? value.filter(isNode) : []

const nameOf = (node: unknown): string => {
  const named = isNode(node) ? node["name"] ?? node["value"] : undefined
  return typeof named === "string" ? named : "?"
}

const statements = (code: string): ReadonlyArray<Node> =>
  nodes((parseAst(code, { lang: "ts", astType: "ts" }) as unknown as Node)["body"])

/** The block that ends where `start` is, but for white space. */
const blockBefore = (code: string, start: number): string | undefined => {
  const before = code.slice(0, start).trimEnd()
  const begin = before.lastIndexOf("/**")
  return before.endsWith("*/") && before.indexOf("*/", begin) === before.length - 2
    ? withoutMargin(before.slice(begin + 3, -2))
    : undefined
}

const withoutMargin = (block: string): string => block.replace(/^[ \t]*\* ?/gm, "").trim()

const functionTypes = new Set([
  "FunctionDeclaration",
  "TSDeclareFunction",
  "FunctionExpression",
  "ArrowFunctionExpression"
])

/**
 * Something declared with the type of a function; without a type, a function, or what a call makes of one, such as
 * `Effect.fnUntraced(function*…)`.
 */
const isFunction = ({ id, init, type }: Node): boolean => {
  const annotation = isNode(id) && isNode(id["typeAnnotation"]) ? id["typeAnnotation"]["typeAnnotation"] : undefined
  if (isNode(annotation)) {
    return annotation.type === "TSFunctionType" || nodes(annotation["members"]).some(isCallSignature)
  }
  return functionTypes.has(type) || (isNode(init) && (functionTypes.has(init.type)
    || (init.type === "CallExpression" && nodes(init["arguments"]).some((given) => functionTypes.has(given.type)))))
}

const isCallSignature = (node: Node): boolean => node.type === "TSCallSignatureDeclaration"

/** What a statement declares: several for `const a = 1, b = 2`. */
const declared = (declaration: Node): ReadonlyArray<Node> =>
  declaration.type === "VariableDeclaration" ? nodes(declaration["declarations"]) : [declaration]

/** The statement of a file that declares `name`, exported or not, with what it declares. */
const find = (code: string, name: string): { readonly statement: Node; readonly node: Node } | undefined => {
  for (const statement of statements(code)) {
    const declaration = isNode(statement["declaration"]) ? statement["declaration"] : statement
    const node = declared(declaration).find(({ id }) => nameOf(id) === name)
    if (node !== undefined) {
      return { statement, node }
    }
  }
  return undefined
}

/** What `export { x } from` hands on is documented there, or where it is declared. */
const handedOn = (path: string, code: string, statement: Node, specifier: Node, load: Load): Omit<Export, "line"> => {
  const source = isNode(statement["source"]) ? nameOf(statement["source"]) : undefined
  const origin = source === undefined ? code : load(posix.join(posix.dirname(path), source)) ?? ""
  const found = find(origin, nameOf(specifier["local"]))
  return {
    name: nameOf(specifier["exported"]),
    isFunction: found !== undefined && isFunction(found.node),
    doc: blockBefore(code, statement.start) ?? (found && blockBefore(origin, found.statement.start))
  }
}

/** Everything that a file exports, except what it marks `@internal`. */
const exportsOf = (path: string, code: string, load: Load): ReadonlyArray<Export> => {
  const found: Array<Export> = []
  for (const statement of statements(code)) {
    const { declaration, type } = statement
    const line = code.slice(0, statement.start).split("\n").length
    const doc = blockBefore(code, statement.start)
    if (type === "ExportNamedDeclaration" && isNode(declaration)) {
      for (const node of declared(declaration)) {
        found.push({ name: nameOf(node["id"]), line, isFunction: isFunction(node), doc })
      }
    } else if (type === "ExportNamedDeclaration") {
      for (const specifier of nodes(statement["specifiers"])) {
        found.push({ line, ...handedOn(path, code, statement, specifier, load) })
      }
    } else if (type === "ExportAllDeclaration" && isNode(statement["exported"])) {
      // A whole module: its own first block documents it.
      const module = load(posix.join(posix.dirname(path), nameOf(statement["source"]))) ?? ""
      found.push({ name: nameOf(statement["exported"]), line, isFunction: false, doc: moduleDoc(module) })
    } else if (type === "ExportAllDeclaration" || type === "ExportDefaultDeclaration") {
      found.push({ name: type === "ExportAllDeclaration" ? "*" : "default", line, isFunction: false, doc: undefined })
    }
  }
  return found.filter(({ doc }) => doc === undefined || !/^@internal\b/m.test(doc))
}

/** The block that a file begins with; the first export's own block is not the module's. */
const moduleDoc = (code: string): string | undefined => {
  const block = /^\/\*\*([\s\S]*?)\*\/(?!\s*export (?!\*|\{))/.exec(code)?.[1]
  return block === undefined ? undefined : withoutMargin(block)
}

/** The code of every example of a file: the runnable ones of a module, and all of a Markdown file's. */
export const examplesOf = (path: string, code: string): ReadonlyArray<string> =>
  path.endsWith(".md")
    ? [...code.matchAll(/^```ts.*\n([\s\S]*?)^```$/gm)].map(([, example]) => example!)
    : [...code.matchAll(/^ \* ```ts import\.meta\.vitest\n([\s\S]*?)^ \* ```$/gm)]
      .map(([, example]) => example!.replace(/^ \* ?/gm, ""))

/** What is wrong with the documentation of a public module, one readable line each. */
export const problemsOf = (path: string, code: string, load: Load): ReadonlyArray<string> => {
  const name = posix.basename(path, ".ts")
  const exported = exportsOf(path, code, load)
  const examples = examplesOf(path, code)
  // What declares tests cannot run inside of one: its examples are its own tests.
  const tests = path.startsWith("src/testing/")
  const shows = ({ name: of }: Export) => examples.some((example) => new RegExp(`\\b${name}\\.${of}\\b`).test(example))
  const functions = tests ? [] : exported.filter((one) => one.isFunction)
  const needsExample = !tests && exported.some((one) => !isModule(one, code))
  return [
    ...problemsOfBlock(moduleDoc(code), ["@since"]).map((problem) => `${path}: the module ${problem}`),
    ...exported.flatMap((one) =>
      problemsOfBlock(one.doc, isModule(one, code) ? ["@since"] : ["@category", "@since"])
        .map((problem) => `${path}:${one.line} ${one.name} ${problem}`)
    ),
    ...(needsExample && examples.length === 0 ? [`${path}: no runnable example`] : []),
    ...functions.filter((one) => !shows(one))
      .map((one) => `${path}:${one.line} no runnable example of this module shows ${name}.${one.name}`)
  ]
}

const isModule = ({ line }: Export, code: string): boolean => code.split("\n")[line - 1]!.startsWith("export * as ")

const problemsOfBlock = (doc: string | undefined, tags: ReadonlyArray<string>): ReadonlyArray<string> =>
  doc === undefined ? ["has no JSDoc block"] : [
    ...(/^[^@*|`\s-][^]*?[.:](?:\s|$)/.test(doc.split(/\n\s*\n|\n@/)[0]!) ? [] : ["has no first sentence"]),
    ...tags.filter((tag) => !(tag === "@since" ? /^@since \d+\.\d+\.\d+$/m : /^@category \S+/m).test(doc))
      .map((tag) => `has no ${tag}`)
  ]
