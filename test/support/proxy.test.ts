/** The proxy breaks a line in every way but one: what it carries keeps its bytes and their order. */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import * as Proxy from "./proxy.ts"

/** Pieces of all sizes, each of bytes that no neighbour has. */
const pieces = Array.from({ length: 400 }, (_, n) => Buffer.alloc(40 + (n * 7) % 300, n % 251))
const whole = Buffer.concat(pieces)

/** Says all pieces to whoever connects, a few at a time. */
const speaker = async () => {
  const server = createServer((socket) => {
    socket.on("error", () => {})
    let n = 0
    const timer = setInterval(() => {
      for (const piece of pieces.slice(n, n + 3)) {
        socket.write(piece)
      }
      n += 3
    }, 1)
    socket.on("close", () => clearInterval(timer))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return { server, port: (server.address() as { readonly port: number }).port }
}

const listen = (url: string): { readonly socket: Socket; readonly heard: () => Buffer } => {
  const chunks: Array<Buffer> = []
  const socket = connect(Number(new URL(url).port), "127.0.0.1")
  socket.on("error", () => {})
  socket.on("data", (chunk) => chunks.push(chunk))
  return { socket, heard: () => Buffer.concat(chunks) }
}

const until = async (what: () => boolean, withinMs = 10_000): Promise<void> => {
  const deadline = performance.now() + withinMs
  while (!what() && performance.now() < deadline) {
    await sleep(10)
  }
}

describe("a line", () => {
  it("that is slow, thin and in slices, and then well again, keeps every byte in its place", async () => {
    const { port, server } = await speaker()
    const { proxies: [proxy], stop } = await Proxy.start([{ host: "127.0.0.1", port }])
    try {
      await proxy!.shape({ latencyMs: 20, jitterMs: 60, bytesPerSecond: 200_000, sliceBytes: 113 })
      const { heard, socket } = listen(proxy!.url)
      await until(() => heard().length > whole.length / 2)
      await proxy!.shape(undefined)
      await until(() => heard().length >= whole.length)
      assert.isTrue(heard().equals(whole))
      socket.destroy()
    } finally {
      server.close()
      await stop()
    }
  })

  it("that went without a word carries nothing and stays open; a new one works, unless it is refused", async () => {
    const { port, server } = await speaker()
    const { proxies: [proxy], stop } = await Proxy.start([{ host: "127.0.0.1", port }])
    try {
      const first = listen(proxy!.url)
      await until(() => first.heard().length > 0)
      await proxy!.blackhole("down")
      // What was on its way before.
      await sleep(300)
      const before = first.heard().length
      await sleep(100)
      assert.strictEqual(first.heard().length, before)
      assert.isFalse(first.socket.closed)
      const second = listen(proxy!.url)
      await until(() => second.heard().length > 0)
      assert.isAbove(second.heard().length, 0)
      await proxy!.refuse(true)
      await proxy!.cut()
      await until(() => second.socket.closed)
      assert.isTrue(second.socket.closed)
      const third = listen(proxy!.url)
      await until(() => third.socket.closed)
      assert.strictEqual(third.heard().length, 0)
    } finally {
      server.close()
      await stop()
    }
  })

  it("loses deliveries, or carries them twice, and everything else as it is", async () => {
    const said: Array<Socket> = []
    const server = createServer((socket) => void said.push(socket.on("error", () => {})))
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const { port } = server.address() as { readonly port: number }
    const { proxies: [proxy], stop } = await Proxy.start([{ host: "127.0.0.1", port }])
    const delivery = (n: number) =>
      n % 2 === 0
        ? `MSG s.a 1 $JS.ACK.S.D.1.${n}.${n}.0.0 2\r\n0${n}\r\n`
        : `HMSG s.a 1 $JS.ACK.S.D.1.${n}.${n}.0.0 12 14\r\nNATS/1.0\r\n\r\n0${n}\r\n`
    try {
      const { heard, socket } = listen(proxy!.url)
      await until(() => said.length === 1)
      /** Each piece by itself: the next one is not written before this one has come. */
      const say = async (text: string, comes = text) => {
        said[0]!.write(text)
        await until(() => heard().toString().endsWith(comes))
      }
      const edit = async (what: Proxy.Edit) => {
        const edited = proxy!.edit(what)
        // Orders are taken one after the other: when this one is done, the edit is in force.
        await proxy!.refuse(false)
        return { edited }
      }
      const lost = await edit({ what: "lose", count: 2 })
      await say("PING\r\n")
      await say(delivery(1) + delivery(2) + delivery(3), delivery(3))
      await lost.edited
      const repeated = await edit({ what: "repeat", count: 1 })
      await say("MSG other 1 5\r\nhallo\r\n")
      await say(delivery(4) + delivery(5))
      await repeated.edited
      await say(delivery(6))
      const expected = ["PING\r\n", delivery(3), "MSG other 1 5\r\nhallo\r\n", delivery(4), delivery(4), delivery(5)]
      assert.strictEqual(heard().toString(), [...expected, delivery(6)].join(""))
      socket.destroy()
    } finally {
      server.close()
      await stop()
    }
  })
})
