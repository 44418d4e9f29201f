import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

const source = (path: string) => fileURLToPath(new URL(`src/${path}.ts`, import.meta.url))

/** The longest first, so that none of them is left alone at the end. */
const LONGEST = [
  "conformance.nats",
  "conformance.thread",
  "NatsThread.",
  "Nats.",
  "chaos",
  "shutdown",
  "simulation",
  "traces"
]

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((part) => moduleId.includes(part))
      return at === -1 ? LONGEST.length : at
    }
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b))
  }
}

export default defineConfig({
  // Examples import the package by its name; here that means its sources, never an old build.
  resolve: {
    alias: [
      { find: /^effect-sluice\/(.+)$/, replacement: source("$1") },
      { find: /^effect-sluice$/, replacement: source("index") }
    ]
  },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    // A process per file: a test that blocks its event loop, or kills what it should not, blocks and kills its own.
    pool: "forks",
    maxWorkers: 2,
    // Generous, because servers are killed and restarted in here; a test of pure code that comes near it is broken.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    // A focused test fails the run: it would hide all the others.
    allowOnly: false,
    sequence: { sequencer: LongestFirst }
  }
})
