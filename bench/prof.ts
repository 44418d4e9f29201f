import { jetstreamManager, StorageType } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { fork } from "node:child_process"
import { start } from "../test/support/nats-server.ts"
// usage: prof.ts n size inflight workload side
const [n, size, inFlight, workload, side] = process.argv.slice(2)
const server = await start({})
const nc = await connect({ servers: server.url })
const jsm = await jetstreamManager(nc)
await jsm.streams.add({ name: "B", subjects: ["b"], storage: StorageType.Memory })
const payload = new Uint8Array(Number(size))
if (!workload!.match(/publ|single/)) {
  for (let i = 0; i < Number(n); i++) {
    nc.publish("b", payload)
    if (i % 1000 === 999) await nc.flush()
  }
}
await nc.flush()
const child = fork(new URL("./side.ts", import.meta.url), {
  execArgv: [...(process.env.NOPROF ? [] : ["--cpu-prof", "--cpu-prof-dir=/tmp/w/prof"]), ...process.execArgv]
})
const f: any = await new Promise((r, x) => {
  child.once("message", r)
  child.once("exit", (c) => x(new Error(" " + c)))
  child.send({
    workload,
    side,
    url: server.url,
    stream: "B",
    subject: "b",
    messages: Number(n),
    size: Number(size),
    inFlight: Number(inFlight)
  })
})
console.log(Math.round(f.messagesPerSecond), f.cpuUs.toFixed(1), (f.mainBusy * 100).toFixed(0) + "%")
await new Promise((r) => child.once("exit", r))
await nc.close()
await server.stop()
