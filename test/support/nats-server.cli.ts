/**
 * `npm run nats-server -- --port 4222 --version 2.10`: one nats-server with JetStream in the foreground, until Ctrl-C.
 *
 * The first line on stdout is its URL and nothing else, so that a script can read it. Its store is temporary.
 */
import { parseArgs } from "node:util"
import { start } from "./nats-server.ts"

const { values } = parseArgs({
  options: {
    port: { type: "string", short: "p" },
    version: { type: "string", short: "v" }
  }
})

const port = values.port === undefined ? undefined : Number(values.port)
if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
  console.error(`--port ${values.port}: a port is a number from 1 to 65535`)
  process.exit(2)
}

const server = await start({ port, version: values.version }).catch((error: Error) => {
  console.error(error.message)
  process.exit(1)
})
console.log(server.url)
console.error(`nats-server ${server.version} with JetStream; its data goes away with it. Ctrl-C ends it.`)

// The server does not hold the event loop, so something has to.
const holding = setInterval(() => {}, 60_000)
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    clearInterval(holding)
    void server.stop()
  })
}
