/** Runs tests of the project with a mutant in place. No server is needed, and the first failure is enough. */
import { defineConfig } from "vitest/config"
import { active } from "./active.ts"
import { root } from "./Mutant.ts"

const mutant = active()

export default defineConfig({
  root,
  plugins: mutant === undefined ? [] : [{
    name: "mutant",
    enforce: "pre",
    transform: (code: string, id: string) => id === mutant.path ? mutant.broken(code) : undefined
  }],
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 1,
    bail: 1,
    // A transformed module on disk would outlive its mutant, and be taken for the next one, or for the right one.
    fsModuleCache: false,
    cache: false
  }
})
