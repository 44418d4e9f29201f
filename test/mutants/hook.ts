/** For `node --import`: the process, and every worker thread of it, loads the broken source in place of the right one. */
import { registerHooks } from "node:module"
import { pathToFileURL } from "node:url"
import { active } from "./active.ts"

const mutant = active()

if (mutant !== undefined) {
  const wanted = pathToFileURL(mutant.path).href
  const decoder = new TextDecoder()
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context)
      if (url !== wanted) {
        return loaded
      }
      const { source } = loaded
      const text = typeof source === "string" ? source : decoder.decode(source ?? undefined)
      return { ...loaded, source: mutant.broken(text) }
    }
  })
}
