/**
 * Whoever looks up a name finds what it is, and how it is used.
 *
 * - Every public module begins with a block of its own, and has a runnable example.
 * - Every export has a block with a first sentence, `@category` and `@since`. What is handed on from another file is
 *   documented there.
 * - Every exported function is shown in a runnable example of its module, in its own block or in another's.
 * - The examples type-check as they stand, as whoever copies them expects. `test/doc-examples.test.ts` runs them.
 *
 * Each rule is tried on a few lines that break it, too: a rule that cannot fail would be no rule.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { examplesOf, problemsOf } from "./support/documentation.ts"

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const load = (path: string): string | undefined =>
  existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : undefined

const find = (...patterns: ReadonlyArray<string>): ReadonlyArray<string> =>
  globSync(patterns, { cwd: root }).map((path) => path.replaceAll("\\", "/")).toSorted()

const modules = find("src/*.ts", "src/layers/*.ts", "src/testing/{index,TransportTest}.ts")
  .filter((path) => path !== "src/bin.ts")

describe("public modules", () => {
  it("are seen", () => {
    assert.includeMembers([...modules], ["src/index.ts", "src/Reader.ts", "src/layers/Nats.ts", "src/testing/index.ts"])
  })

  for (const path of modules) {
    it(`${path} is documented`, () => {
      const problems = problemsOf(path, load(path)!, load)
      assert.isEmpty(problems, problems.join("\n"))
    })
  }
})

/** Inside of `node_modules`, so that packages are found from there; of this process alone, so that runs may overlap. */
const cache = join(root, "node_modules", ".cache", "effect-sluice", `doc-types-${process.pid}`)

const options = {
  customConditions: ["effect-sluice-source"],
  lib: ["es2024", "dom"],
  module: "nodenext",
  noEmit: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  target: "es2024",
  types: ["node"]
}

/** What the compiler says of these modules; nothing if it is content. */
const typeErrors = async (name: string, examples: Record<string, string>): Promise<string> => {
  const folder = join(cache, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["*.ts"] }))
  for (const [file, code] of Object.entries(examples)) {
    writeFileSync(join(folder, `${file}.ts`), `${code}\nexport {}\n`)
  }
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc")
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [tsc, "--project", folder], (error, stdout, stderr) => {
      if (error !== null && stdout === "") {
        // It found no errors: it did not run.
        return reject(new Error(stderr, { cause: error }))
      }
      return resolve(stdout)
    })
  })
}

describe("examples", () => {
  afterAll(() => rmSync(cache, { recursive: true, force: true }))

  it("type-check", async () => {
    const examples = find("src/**/*.ts", "README.md").flatMap((path) =>
      examplesOf(path, load(path)!).map((code, index) => {
        // A name in the first line is for the others to import.
        const name = /^\/\/ ([\w-]+)\.ts\b/.exec(code)?.[1] ?? `${path.replaceAll(/[/.]/g, "_")}_${index + 1}`
        return [name, code] as const
      })
    )
    assert.isAbove(examples.length, 40)
    assert.strictEqual(await typeErrors("all", Object.fromEntries(examples)), "")
  }, 60_000)

  it("that do not are found", async () => {
    const right = `import * as Queue from "effect-sluice/Queue"\nQueue.suspend({ messages: 5 })`
    const found = await typeErrors("wrong", { right, wrong: `const one = 1\n\n(await Promise.resolve(2)).toFixed()` })
    assert.include(found, "wrong.ts")
    assert.notInclude(found, "right.ts")
  }, 60_000)

  it("are found in comments and in Markdown", () => {
    const comment = ["/**", " * ```ts import.meta.vitest", " * one", " *", " *   two", " * ```", " */"].join("\n")
    assert.deepStrictEqual(examplesOf("src/X.ts", comment), ["one\n\n  two\n"])
    assert.deepStrictEqual(examplesOf("README.md", "```sh\nno\n```\n```ts\nyes\n```\n"), ["yes\n"])
  })
})

describe("the rules", () => {
  const module = "/**\n * Words.\n *\n * @since 0.1.0\n */\n"
  const block = (...lines: ReadonlyArray<string>) => ["/**", ...lines.map((line) => ` * ${line}`), " */\n"].join("\n")
  const tags = ["@category models", "@since 0.1.0"]
  const documented = block("Does it.", "", ...tags)
  const example = (code: string) => block("Shown.", "", "```ts import.meta.vitest", code, "```", "", ...tags)

  const finds = (code: string, expected: ReadonlyArray<string>, others: Record<string, string> = {}) => {
    const files: Record<string, string> = { "src/X.ts": code, ...others }
    const found = problemsOf("src/X.ts", code, (path) => files[path])
    assert.deepStrictEqual(found.map((problem) => problem.replace(/^src\/X\.ts:\d* ?/, "")), expected)
  }

  it("pass what is documented", () => {
    finds(`${module}${example("X.f(1)")}export const f = (n: number) => n\n`, [])
    finds(
      `${module}${example("X.f(1)\nX.g()")}export const f = (n: number) => n\n${documented}export function g() {}\n`,
      []
    )
    finds(`${module}${example("1")}export type A = 1\n${documented}export interface B {}\n`, [])
    finds(`${module}${example("1")}export class C {}\n`, [])
    finds(`${module}export * as Y from "./Y.ts"\n`, [], { "src/Y.ts": module })
    finds(`${module}${example("1")}export const a = 1\n${block("@internal")}export const b = () => 2\n`, [])
  })

  it("say where", () => {
    const code = `${module}${example("1")}export const a = "…"\n\nexport const b = 2\n`
    assert.deepStrictEqual(problemsOf("src/X.ts", code, () => undefined), ["src/X.ts:18 b has no JSDoc block"])
  })

  it("miss a block, a sentence, a category, a version", () => {
    finds(`${module}${example("1")}export const a = 1\nexport const b = 2\n`, ["b has no JSDoc block"])
    const last = (text: string) => `${module}${example("1")}export const a = 1\n${text}export type B = 1\n`
    finds(last("// Not a block.\n"), ["B has no JSDoc block"])
    finds(last(`${documented}// Something between.\n`), ["B has no JSDoc block"])
    finds(last(block(...tags)), ["B has no first sentence"])
    finds(last(block("No end", "", ...tags)), ["B has no first sentence"])
    finds(last(block("Does it.", "", "@since 0.1.0")), ["B has no @category"])
    finds(last(block("Does it.", "", "@category models", "@since soon")), ["B has no @since"])
  })

  it("miss the module's own block", () => {
    finds(`${example("1")}export const a = 1\n`, ["the module has no JSDoc block"])
    finds(`import "./Y.ts"\n${example("1")}export const a = 1\n`, ["the module has no JSDoc block"])
  })

  it("look where a name comes from", () => {
    const from = (text: string) => ({ "src/internal/y.ts": text })
    const code = `${module}${example("X.f()")}export const f = () => 1\nexport { y } from "./internal/y.ts"\n`
    finds(code, ["y has no JSDoc block"], from("export const y = 1\n"))
    finds(code, [], from(`${documented}export const y = 1\n`))
    const shown = "no runnable example of this module shows X.y"
    finds(code, [shown], from(`${documented}export const y = () => 1\n`))
    finds(`${module}export * from "./Y.ts"\n`, ["* has no JSDoc block", "no runnable example"])
    finds(`${module}export * as Y from "./Y.ts"\n`, ["Y has no JSDoc block"])
  })

  it("miss examples", () => {
    finds(`${module}${documented}export const a = 1\n`, ["no runnable example"])
    const shown = "no runnable example of this module shows X.g"
    const second = (text: string) => `${module}${example("X.f()")}export const f = () => 1\n${documented}${text}\n`
    finds(second("export const g = () => 2"), [shown])
    finds(second("export function g() {}"), [shown])
    finds(second("export const g: (n: number) => number = h"), [shown])
    finds(second("export const g: { (n: number): number } = h"), [shown])
    finds(second("export const g = Effect.fnUntraced(function*() {})"), [shown])
    finds(second("export const g: Config<number> = Config.map(h, (n) => n)"), [])
    finds(second("export const g = 2"), [])
    const plain = `${module}${example("X.f()").replace(" import.meta.vitest", "")}export const f = () => 1\n`
    finds(plain, ["no runnable example", "no runnable example of this module shows X.f"])
  })
})
