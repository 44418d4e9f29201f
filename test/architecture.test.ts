/**
 * The house keeps its order: imports go down, brokers stay behind the seam, files stay readable.
 *
 * Every rule is tried twice: on the sources, where it must find nothing, and on a few lines that break it, where it
 * must find exactly that. A rule that cannot fail would be no rule.
 */
import { assert, describe, it } from "@effect/vitest"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import * as Rules from "./support/architecture/rules.ts"
import type { Rule } from "./support/architecture/rules.ts"
import { parse, readTree } from "./support/architecture/source.ts"
import type { SourceFile } from "./support/architecture/source.ts"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tree = ["src", "test", "bench", "examples"].flatMap((folder) => readTree(root, folder))

/** Files in memory: path and code. */
const files = (sources: Record<string, string>): ReadonlyArray<SourceFile> =>
  Object.entries(sources).map(([path, code]) => parse(path, code))

const finds = (rule: Rule, sources: Record<string, string>, ...expected: ReadonlyArray<string>) => {
  const found = rule(files(sources))
  assert.lengthOf(found, expected.length, found.join("\n"))
  for (const [index, part] of expected.entries()) assert.include(found[index], part)
}

describe("the sources", () => {
  it("are seen", () => {
    assert.isAbove(tree.filter((file) => file.path.startsWith("src/")).length, 0)
    assert.isTrue(tree.some((file) => file.path === "test/architecture.test.ts"))
  })

  const rules: Record<string, Rule> = {
    "every file of src has a rank": Rules.everyFileHasARank,
    "imports go down the ranks": Rules.importsGoDown,
    "vendor packages stay in layers and internal": Rules.vendorsStayOutside,
    "unstable modules of Effect stay where they can be replaced": Rules.unstableStaysConfined,
    "nothing in src imports the barrel": Rules.noBarrel,
    "no import goes in a circle": Rules.noCycles,
    [`no file is longer than ${Rules.maxFileLines} lines`]: Rules.filesStayShort,
    [`no function in src is longer than ${Rules.maxFunctionLines} lines`]: Rules.functionsStayShort
  }
  for (const [name, rule] of Object.entries(rules)) {
    it(name, () => {
      const broken = rule(tree)
      assert.isEmpty(broken, broken.join("\n"))
    })
  }
})

describe("ranks", () => {
  it("a file nobody has registered is refused, and told where to register", () => {
    finds(Rules.everyFileHasARank, { "src/Surprise.ts": "" }, "src/Surprise.ts has no rank yet: register it in test/")
    finds(Rules.everyFileHasARank, { "src/misc/helpers.ts": "" }, "src/misc/helpers.ts")
    finds(Rules.everyFileHasARank, {
      "src/Queue.ts": "",
      "src/bin.ts": "",
      "src/bin/run.ts": "",
      "src/layers/x/Y.ts": ""
    })
  })

  it("a lower rank may not look up, whatever the form of the import", () => {
    const up = "words may import words, and this is ends"
    finds(Rules.importsGoDown, { "src/Subject.ts": `import { x } from "./Reader.ts"` }, up)
    finds(Rules.importsGoDown, { "src/Subject.ts": `import type { X } from "./Reader.ts"` }, up)
    finds(Rules.importsGoDown, { "src/Subject.ts": `export * from "./Reader.ts"` }, up)
    finds(Rules.importsGoDown, { "src/Subject.ts": `export { x } from "./Reader.ts"` }, up)
    finds(Rules.importsGoDown, { "src/Subject.ts": `const x = () => import("./Reader.ts")` }, up)
    finds(Rules.importsGoDown, { "src/Subject.ts": `type X = import("./Reader.ts").X` }, up)
    finds(Rules.importsGoDown, { "src/Subject.ts": `new URL("./Reader.ts", import.meta.url)` }, up)
    finds(Rules.importsGoDown, { "src/Subject.ts": `import.meta.resolve("./Reader.js")` }, up)
    finds(
      Rules.importsGoDown,
      { "src/Subject.ts": `\n// …\nimport "./Reader.ts"` },
      "src/Subject.ts:3 imports ./Reader.ts"
    )
  })

  it("its own rank and lower ones are fine", () => {
    finds(Rules.importsGoDown, {
      "src/Worker.ts": `import "./Health.ts"; import "./Reader.ts"; import "./index.ts"`,
      "src/Reader.ts": `import "./Transport.ts"; import "./Lanes.ts"; import "node:fs"; import "effect/Stream"`,
      "src/testing/index.ts": `import "../Publisher.ts"; import "./TransportTest.ts"`
    })
  })

  it("only bin comes near a layer", () => {
    finds(Rules.importsGoDown, { "src/Worker.ts": `import "./layers/Nats.ts"` }, "and this is layers")
    finds(Rules.importsGoDown, { "src/index.ts": `export * from "./layers/Memory.ts"` }, "and this is layers")
    finds(Rules.importsGoDown, { "src/testing/a.ts": `import "../layers/Memory.ts"` }, "and this is layers")
    finds(Rules.importsGoDown, { "src/internal/a.ts": `import "../layers/Memory.ts"` }, "and this is layers")
    finds(Rules.importsGoDown, {
      "src/bin.ts": `import "./layers/Nats.ts"; import "./Worker.ts"`,
      "src/bin/run.ts": `import "../layers/Nats.ts"; import "../bin.ts"`
    })
  })

  it("layers and internal stand on the seam, not above it", () => {
    finds(Rules.importsGoDown, { "src/layers/Nats.ts": `import "../Reader.ts"` }, "and this is ends")
    finds(Rules.importsGoDown, { "src/internal/intake.ts": `import "../DeadLetter.ts"` }, "and this is patterns")
    finds(Rules.importsGoDown, { "src/Reader.ts": `import "./internal/intake.ts"` }, "and this is internal")
    finds(Rules.importsGoDown, {
      "src/layers/Nats.ts": `import "../internal/nats/codec.ts"; import "../Transport.ts"; import "./Faulty.ts"`,
      "src/internal/nats/codec.ts": `import "../../Message.ts"; import "../intake.ts"`
    })
  })

  it("nothing outside of src, and nothing unknown", () => {
    finds(Rules.importsGoDown, { "src/Queue.ts": `import "../test/x.ts"` }, "nothing outside of src")
    finds(Rules.importsGoDown, { "src/Queue.ts": `import "./Surprise.ts"` }, "register it in test/")
  })
})

describe("packages", () => {
  it("a vendor's package outside of layers and internal is refused, even as a type", () => {
    const code = `import type { NatsConnection } from "@nats-io/transport-node"`
    finds(Rules.vendorsStayOutside, { "src/Reader.ts": code, "src/bin.ts": code }, "src/Reader.ts:1", "src/bin.ts:1")
    finds(Rules.vendorsStayOutside, { "src/layers/Nats.ts": code, "src/internal/nats/x.ts": code, "test/a.ts": code })
  })

  it("unstable modules of Effect have few users", () => {
    const http = `import * as HttpClient from "effect/http/HttpClient"`
    const node = `import * as NodeRuntime from "@effect/platform-node/NodeRuntime"`
    finds(Rules.unstableStaysConfined, { "src/Queue.ts": http, "src/Worker.ts": node }, "src/Queue.ts", "src/Worker.ts")
    finds(Rules.unstableStaysConfined, { "src/Queue.ts": `import "effect/cli"` }, "may change in a minor release")
    finds(Rules.unstableStaysConfined, { "src/Queue.ts": `import "effect/Stream"`, "test/a.test.ts": http })
    const users = ["layers/Nats", "internal/x", "Inbox", "Outbox", "Rpc", "Health", "bin", "bin/run"]
    finds(Rules.unstableStaysConfined, Object.fromEntries(users.map((name) => [`src/${name}.ts`, `${http}; ${node}`])))
  })

  it("what tests are written with is for testing", () => {
    const code = `import * as TestClock from "effect/testing/TestClock"; import { it } from "@effect/vitest"`
    finds(Rules.unstableStaysConfined, { "src/layers/Memory.ts": code }, "is for testing/", "is for testing/")
    finds(Rules.unstableStaysConfined, { "src/testing/index.ts": code, "test/a.test.ts": code })
  })

  it("the barrel is refused in src alone", () => {
    const code = `import { Effect } from "effect"`
    finds(Rules.noBarrel, { "src/Queue.ts": code, "examples/01/main.ts": code }, `import single modules`)
  })
})

describe("cycles", () => {
  it("are named by their path", () => {
    const sources = {
      "src/Queue.ts": `import "./Spill.ts"`,
      "src/Spill.ts": `import "./AckPolicy.ts"`,
      "src/AckPolicy.ts": `import type { X } from "./Queue.ts"`
    }
    finds(Rules.noCycles, sources, "src/Queue.ts → src/Spill.ts → src/AckPolicy.ts → src/Queue.ts")
    finds(Rules.noCycles, { "src/Queue.ts": `import "./Queue.ts"` }, "src/Queue.ts → src/Queue.ts")
  })

  it("are not what two roads to one module make", () => {
    finds(Rules.noCycles, {
      "src/Reader.ts": `import "./Queue.ts"; import "./Message.ts"`,
      "src/Queue.ts": `import "./Message.ts"`,
      "src/Message.ts": ""
    })
  })
})

describe("sizes", () => {
  const lines = (count: number) => Array.from({ length: count }, (_, i) => `const a${i} = "…"`).join("\n")

  it("a file may be as long as the limit and no longer, in tests too", () => {
    finds(Rules.filesStayShort, { "src/Queue.ts": `${lines(400)}\n` })
    finds(Rules.filesStayShort, { "test/Queue.test.ts": `${lines(401)}\n` }, "has 401 lines, 400 are allowed")
  })

  it("a function may be as long as the limit and no longer, in any form", () => {
    const body = (count: number) => `{\n${lines(count - 2)}\n}`
    finds(Rules.functionsStayShort, { "src/Queue.ts": `// …\nexport const take = () => ${body(70)}` })
    finds(
      Rules.functionsStayShort,
      { "src/Queue.ts": `// …\nexport const take = () => ${body(71)}` },
      ":2 take has 71 lines"
    )
    finds(Rules.functionsStayShort, { "src/Queue.ts": `function offer() ${body(71)}` }, "offer has 71 lines")
    finds(Rules.functionsStayShort, { "src/Queue.ts": `class Q { close() ${body(71)} }` }, "close has 71 lines")
    finds(Rules.functionsStayShort, { "src/Queue.ts": `Effect.gen(function*() ${body(71)})` }, "without a name has 71")
    finds(Rules.functionsStayShort, { "test/Queue.test.ts": `const suite = () => ${body(71)}` })
  })
})
