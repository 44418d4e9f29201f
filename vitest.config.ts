import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
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
