/** Secrets that are grepped for in everything that a program says, also while things go wrong (T-42). */
import { assert, describe, it } from "@effect/vitest"
import { setTimeout as sleep } from "node:timers/promises"
import * as NatsServer from "./support/nats-server.ts"
import { freePort } from "./support/nats/port.ts"
import { file, imports, sluice } from "./support/sluice.ts"

const CANARY = "CANARYxPASSx4711"
const worker = `${imports}
export default Worker.make({
  readers: [Reader.handle(ticks, { stream: "TICKS", consumer: "C" }, (n) => Effect.fail({ _tag: "Odd", n }))],
  topology
})
`
const authorization = (password: string) => `authorization { user: ann, password: "${password}" }`

describe("a secret", () => {
  it(
    "is in nothing that a worker says: logs of every level, health, metrics; refused, cut off, stopped",
    async () => {
      const server = await NatsServer.start({ config: authorization(CANARY) })
      const health = await freePort()
      const said: Array<string> = []
      const ask = async (path: string) =>
        said.push(await fetch(`http://127.0.0.1:${health}${path}`).then((answer) => answer.text(), () => ""))
      const env = { NATS_URL: server.url, NATS_USER: "ann", NATS_PASSWORD: CANARY }
      let tell: (kill: (signal: NodeJS.Signals) => void) => void = () => {}
      const started = new Promise<(signal: NodeJS.Signals) => void>((resolve) => {
        tell = resolve
      })
      const args = ["run", file("secret.ts", worker), "--health", String(health), "--log-level", "all"]
      const running = sluice(args, { env, started: tell })
      const kill = await started
      const pub = ["pub", "--topic", "secret.ts#ticks", "--log-level", "all"]
      const ready = async () => {
        while ((await fetch(`http://127.0.0.1:${health}/readyz`).then(({ status }) => status, () => 0)) !== 200) {
          await sleep(50)
        }
      }
      await ready()
      const published = await sluice(pub, { env, input: "1\n2\n" })
      assert.strictEqual(published.code, 0, published.stderr)
      said.push(published.stdout, published.stderr)
      for (const path of ["/health", "/metrics", "/livez"]) {
        await ask(path)
      }
      // It comes back with another password, and is taken for what it is; then with the right one.
      await server.restart({ config: authorization("other") })
      while (!(await server.logs()).includes("authentication error")) {
        await sleep(50)
      }
      while (!said.at(-1)!.includes("Disconnected")) {
        await ask("/health")
      }
      await server.restart({ config: authorization(CANARY) })
      await ready()
      kill("SIGTERM")
      const { code, stderr, stdout } = await running
      await server.stop()
      assert.strictEqual(code, 0, stderr)
      said.push(stdout, stderr)
      const all = said.join("\n")
      for (const expected of ["Odd", "connection lost", "sluice_connected", "Disconnected", "Authorization"]) {
        assert.include(all.toLowerCase(), expected.toLowerCase(), "otherwise nothing was looked at")
      }
      assert.notInclude(all, CANARY)
    },
    60_000
  )

  it.each([
    ["a password in the URL", { NATS_URL: `nats://ann:${CANARY}@127.0.0.1:1` }],
    ["a password that is refused in clear text", {
      NATS_URL: "nats://192.0.2.1:4222",
      NATS_USER: "a",
      NATS_PASSWORD: CANARY
    }],
    ["a token", { NATS_URL: "nats://127.0.0.1:1", NATS_TOKEN: CANARY }],
    ["a seed that is none", { NATS_URL: "nats://127.0.0.1:1", NATS_NKEY_SEED: CANARY }]
  ])("is not in the error: %s", async (_, env) => {
    const { code, stderr, stdout } = await sluice(["read", "S", "--log-level", "all"], { env })
    assert.notStrictEqual(code, 0)
    assert.match(stderr, /^sluice: /u)
    assert.notInclude(stdout + stderr, CANARY)
  }, 20_000)
})
