import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const source = (path: string) => fileURLToPath(new URL(`src/${path}.ts`, import.meta.url))

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
    allowOnly: false
  }
})
