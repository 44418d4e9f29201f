/**
 * Runs every example of the documentation.
 *
 * An example is a block with the info string `ts import.meta.vitest`, in the JSDoc of `src/` or in README.md and docs/. Each
 * becomes a module of its own and is run; what it imports from `effect-sluice` is the source. A line such as
 *
 *     expression // => expected
 *
 * says that the two are deeply and strictly equal. What is supported:
 *
 * - An assertion stands behind an expression statement at the top level of the block, not behind a declaration, and not
 *   inside of a function.
 * - The expression may take several lines: it starts at the nearest line above that is outside of brackets and does not
 *   begin with a dot. The assertion stands behind its last line; `expected` is the rest of that line.
 * - `await` is allowed everywhere. A promise is not awaited by itself.
 * - Brackets and quotes inside of regular expressions confuse the search for that first line.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

interface Example {
  readonly file: string
  /** The line of the file on which the first line of `code` stands. */
  readonly line: number
  readonly code: ReadonlyArray<string>
}

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** Inside of `node_modules`, so that packages are found from there; of this process alone, so that runs may overlap. */
const cache = join(root, "node_modules", ".cache", "effect-sluice", `doc-examples-${process.pid}`)

/** Finds the examples of a file. The margin of a comment or of a list is taken off. */
const extract = (file: string, text: string): ReadonlyArray<Example> => {
  const lines = text.split("\n")
  const examples: Array<Example> = []
  for (let index = 0; index < lines.length; index++) {
    const margin = /^(\s*(?:\* ?)?)```ts import\.meta\.vitest\s*$/.exec(lines[index]!)?.[1]
    if (margin === undefined) {
      continue
    }
    const length = lines.slice(index + 1).findIndex((line) => /^\s*(?:\* ?)?```\s*$/.test(line))
    if (length === -1) {
      throw new Error(`${file}:${index + 1}: the example has no end`)
    }
    const code = lines.slice(index + 1, index + 1 + length).map((line) =>
      margin.includes("*") ? line.replace(/^\s*\* ?/, "") : line.slice(margin.length)
    )
    examples.push({ file, line: index + 2, code })
    index += length + 1
  }
  return examples
}

/** How deep in brackets each line begins and ends; quotes and comments are looked over. */
const depths = (code: ReadonlyArray<string>): ReadonlyArray<{ readonly begin: number; readonly end: number }> => {
  let depth = 0
  let quote = ""
  return code.map((line) => {
    const begin = depth + (quote === "" ? 0 : 1)
    for (let at = 0; at < line.length; at++) {
      const character = line[at]!
      if (quote !== "") {
        if (character === "\\") {
          at++
        } else if (character === quote) {
          quote = ""
        }
      } else if (`"'\``.includes(character)) {
        quote = character
      } else if (line.startsWith("//", at)) {
        break
      } else if ("([{".includes(character)) {
        depth++
      } else if (")]}".includes(character)) {
        depth--
      }
    }
    quote = quote === "`" ? quote : ""
    return { begin, end: depth + (quote === "" ? 0 : 1) }
  })
}

const ASSERTION = /^(.*?\S)\s*\/\/ => (.*\S)\s*$/
const DECLARATION = /^(?:const|let|var|type|interface|class|function|import|export|if|for|while|return|throw)\b/

/** The module that an example becomes; its lines are those of the example. */
const toModule = ({ code, file, line }: Example): string => {
  const lines = [...code]
  const at = depths(code)
  for (const [index, text] of code.entries()) {
    const [, expression, expected] = ASSERTION.exec(text) ?? []
    if (expression === undefined || /^\s*\/\//.test(text)) {
      continue
    }
    let first = index
    while (first > 0 && (at[first]!.begin > 0 || /^\s*\??\./.test(code[first]!))) {
      first--
    }
    if (at[index]!.end !== 0 || DECLARATION.test(code[first]!)) {
      throw new Error(`${file}:${line + index}: an assertion belongs behind an expression at the top level`)
    }
    lines[index] = `${lines[index]!.slice(0, expression.length).replace(/;$/, "")}), (${expected}));`
    lines[first] = `;__check(${line + index}, (${lines[first]!}`
  }
  const check = pathToFileURL(join(cache, "check.mjs")).href
  const header = `import { checkIn } from "${check}"; const __check = checkIn(${JSON.stringify(file)}); `
  return stripTypeScriptTypes(header + resolveImports(lines.join("\n"), file, line))
}

const resolveImports = (code: string, file: string, line: number): string =>
  code.replace(/(\bfrom\s*|\bimport\s*\(?\s*)"effect-sluice(?:\/([^"]*))?"/g, (_, before: string, path = "index") => {
    const source = [`${path}.ts`, `${path}/index.ts`].map((name) => join(root, "src", name)).find(existsSync)
    if (source === undefined) {
      throw new Error(`${file}:${line}: there is no module effect-sluice/${path}`)
    }
    return `${before}"${pathToFileURL(source).href}"`
  })

const CHECK = `
import { inspect, isDeepStrictEqual } from "node:util"
export const checkIn = (file) => (line, actual, expected) => {
  if (!isDeepStrictEqual(actual, expected)) {
    throw new Error(\`\${file}:\${line}: expected \${inspect(expected)}, got \${inspect(actual)}\`)
  }
}
`

let modules = 0

/** Runs an example. Whatever goes wrong names its file and line. */
const run = async (example: Example): Promise<void> => {
  const path = join(cache, `${++modules}.mjs`)
  mkdirSync(cache, { recursive: true })
  writeFileSync(join(cache, "check.mjs"), CHECK)
  try {
    writeFileSync(path, toModule(example))
    await import(/* @vite-ignore */ pathToFileURL(path).href)
  } catch (error) {
    const place = new RegExp(`/${modules}\\.mjs:(\\d+)`).exec(String(error instanceof Error ? error.stack : ""))?.[1]
    const text = error instanceof Error ? error.message : String(error)
    const line = example.line + Number(place ?? 1) - 1
    throw text.startsWith(`${example.file}:`) ? error : new Error(`${example.file}:${line}: ${text}`, { cause: error })
  }
}

afterAll(() => rmSync(cache, { recursive: true, force: true }))

const files = [...globSync("src/**/*.ts", { cwd: root }), ...globSync(["README.md", "docs/**/*.md"], { cwd: root })]

describe("examples", () => {
  for (const example of files.toSorted().flatMap((file) => extract(file, readFileSync(join(root, file), "utf8")))) {
    it(`${example.file}:${example.line}`, () => run(example))
  }
})

describe("the runner", () => {
  const example = (...code: ReadonlyArray<string>): Example => ({ file: "src/X.ts", line: 10, code })

  const fails = async (block: Example, expected: string): Promise<void> => {
    const message = await run(block).then(() => "nothing failed", (error: Error) => error.message)
    assert.include(message, expected)
  }

  it("finds blocks in comments and in Markdown", () => {
    const source = ["/**", " * ```ts import.meta.vitest", " * a // => 1", " *", " *   b", " * ```", " */"].join("\n")
    assert.deepStrictEqual(extract("src/X.ts", source), [
      { file: "src/X.ts", line: 3, code: ["a // => 1", "", "  b"] }
    ])
    const markdown = ["# X", "```ts", "no", "```", "- ", "  ```ts import.meta.vitest", "  yes", "  ```"].join("\n")
    assert.deepStrictEqual(extract("README.md", markdown), [{ file: "README.md", line: 7, code: ["yes"] }])
    assert.throws(() => extract("README.md", "```ts import.meta.vitest\n"), "README.md:1: the example has no end")
  })

  it("finds the examples of this repository", () => {
    const found = files.flatMap((file) => extract(file, readFileSync(join(root, file), "utf8")))
    assert.isTrue(found.some(({ file }) => file === join("src", "Subject.ts")))
  })

  it("passes what is right", () =>
    run(example(
      "import * as Settlement from \"effect-sluice/Settlement\"",
      "import * as Option from \"effect/Option\"",
      "interface Point { readonly x: number }",
      "const point = { x: await Promise.resolve(1) } as Point",
      "point // => { x: 1 }",
      "Option.some([1, 2]) // => Option.some([1, 2])",
      "await Promise.resolve(\"(\") // => \"(\"",
      "[3, 1, 2]",
      "  .toSorted()",
      "  .map((x) => x + 1) // => [2, 3, 4]",
      "Settlement.nak({",
      "  seconds: 5 // the time in which it comes back",
      "}) // => { _tag: \"Nak\", delayMs: 5000 }",
      "// nothing // => is asserted here"
    )))

  it("fails what is wrong, and says where", async () => {
    await fails(example("const one = 1", "", "one // => 2"), "src/X.ts:12: expected 2, got 1")
    await fails(example("[1].map(", "  (x) => x", ") // => [2]"), "src/X.ts:12: expected [ 2 ], got [ 1 ]")
    await fails(example("await Promise.resolve(1) // => 2"), "src/X.ts:10: expected 2, got 1")
    await fails(example("({ a: undefined }) // => {}"), "src/X.ts:10")
    await fails(example("Promise.resolve(1) // => 1"), "src/X.ts:10: expected 1, got Promise { 1 }")
  })

  it("fails what throws, and says where", async () => {
    await fails(example("", "throw new Error(\"no\")"), "src/X.ts:11: no")
    await fails(example("await Promise.reject(new Error(\"no\")) // => 1"), "src/X.ts:10: no")
    await fails(example("const = 1"), "src/X.ts:10: ")
  })

  it("refuses assertions that would not be checked", async () => {
    const refused = "an assertion belongs behind an expression at the top level"
    await fails(example("const one = 1 // => 1"), `src/X.ts:10: ${refused}`)
    await fails(example("const f = () => {", "  one // => 1", "}"), `src/X.ts:11: ${refused}`)
  })

  it("refuses modules that do not exist", () =>
    fails(example("import \"effect-sluice/Nonsense\""), "src/X.ts:10: there is no module effect-sluice/Nonsense"))
})
