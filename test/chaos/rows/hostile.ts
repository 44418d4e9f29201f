/** Messages that no client of ours would send, straight into the socket. */
import { jetstream, type JsMsg } from "@nats-io/jetstream"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { connect } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import * as AckPolicy from "../../../src/AckPolicy.ts"
import { again } from "../../../src/internal/spill/record.ts"
import * as Reader from "../../../src/Reader.ts"
import * as Topic from "../../../src/Topic.ts"
import * as Topology from "../../../src/Topology.ts"
import { Transport } from "../../../src/Transport.ts"
import { letters, makeDlq } from "../../support/letters.ts"
import type { NatsServer } from "../../support/nats-server.ts"
import { flow } from "../../support/transport.ts"
import { ADMIN, ours, raw, withServer } from "./clients.ts"
import { atMost, isOurs, type Outcome, type Row } from "./Row.ts"

interface Hostile {
  readonly name: string
  readonly headers: Uint8Array
  readonly payload: Uint8Array
}

const MAX_BYTES = 64 * 1_024
const GOOD = 20
const WITHIN_MS = 10_000

const numbers = Topic.make("s.a", { schema: Schema.Struct({ n: Schema.Int }), maxBytes: MAX_BYTES })

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1")
const NONE = bytes("")
const ANY = bytes("{\"n\":1}")

const headers = (name: string, ...lines: ReadonlyArray<string>): Hostile => ({
  name,
  headers: bytes(["NATS/1.0", ...lines, "", ""].join("\r\n")),
  payload: ANY
})

const payload = (name: string, text: string): Hostile => ({ name, headers: NONE, payload: bytes(text) })

const HOSTILE: ReadonlyArray<Hostile> = [
  headers("a name with a control character", "evil\u0001name: x"),
  headers("5,500 names", ...Array.from({ length: 5_500 }, (_, i) => `n${i}: x`)),
  headers("one name 5,500 times", ...Array.from({ length: 5_500 }, () => "name: x")),
  headers("a value of 60 KB", `name: ${"x".repeat(60_000)}`),
  headers("no colon", "name"),
  headers("a folded line", "name: x", " more: y"),
  headers("a bare line feed", "name: x\nNats-Rollup: all"),
  headers("no UTF-8", "name: \xff\xfe"),
  payload("nothing", ""),
  payload("no JSON", "nothing"),
  payload("no UTF-8", "{\"n\":\"\xff\"}"),
  payload("another type", "{\"n\":\"1\"}"),
  payload("a number beyond all numbers", "{\"n\":1e999}"),
  payload("a trap", "{\"__proto__\":{\"n\":1},\"n\":1}"),
  payload("60,000 levels", "[".repeat(60_000)),
  payload("30,000 levels that end", `${"[".repeat(30_000)}${"]".repeat(30_000)}`),
  payload("5,000 keys", `{${Array.from({ length: 5_000 }, (_, i) => `"k${i}":${i}`).join()}}`),
  payload("a list of 30,000", `[${Array.from({ length: 30_000 }, () => "1").join()}]`),
  payload("60,000 characters", `{"n":"${"x".repeat(60_000)}"}`),
  payload("more than the topic takes", `{"n":1,"x":"${"x".repeat(500_000)}"}`)
]

/** Hostile ones and good ones in turns, from a client that checks nothing. */
const send = ({ host, port }: NatsServer): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, host, () => {
      socket.write("CONNECT {\"verbose\":false,\"headers\":true}\r\n")
      for (let n = 0; n < Math.max(GOOD, HOSTILE.length); n++) {
        const one = HOSTILE[n]
        if (one !== undefined) {
          const sizes = `${one.headers.length} ${one.headers.length + one.payload.length}`
          socket.write(one.headers.length === 0 ? `PUB s.a ${one.payload.length}\r\n` : `HPUB s.a ${sizes}\r\n`)
          socket.write(Buffer.concat([one.headers, one.payload, bytes("\r\n")]))
        }
        const good = `{"n":${1_000 + n}}`
        socket.write(n < GOOD ? `PUB s.a ${good.length}\r\n${good}\r\n` : "")
      }
      socket.write("PING\r\n")
    })
    socket.on("error", reject)
    socket.on("data", (data) => {
      if (data.includes("PONG")) {
        socket.end()
        resolve()
      }
    })
  })

const streams = Effect.gen(function*() {
  const { topology } = yield* Transport
  yield* Option.getOrThrow(topology).createStream(Topology.stream("S", { subjects: ["s.>"] }))
  yield* makeDlq
})

/** How long a message takes to be decoded, in ms: the best of some, because others use this machine, too. */
const best = (decode: () => void): number =>
  Math.min(...Array.from({ length: 25 }, () => {
    const from = performance.now()
    decode()
    return performance.now() - from
  }))

/** Each of them as it arrived, and how long it takes to decode it. */
const decoding = Effect.scoped(Effect.gen(function*() {
  const { open } = yield* Transport
  const inlet = yield* open({ _tag: "ordered", stream: "S", filters: [], start: { _tag: "all" } }, flow())
  const times: Array<number> = []
  for (let count = 0; count < HOSTILE.length + GOOD;) {
    const taken = yield* inlet.take(10)
    count += taken.length
    // A delivery remembers its headers: each look needs its own.
    times.push(...taken.map((delivery) => best(() => numbers.decode(again(delivery)))))
  }
  return Math.max(...times)
}))

/** What a reader with dead letters makes of them. */
const reading = Effect.gen(function*() {
  const calls: Array<number> = []
  const reader = yield* Effect.forkChild(
    Reader.handle(
      numbers,
      { stream: "S", consumer: "D", lanes: 4, deadLetter: true },
      ({ n }) => Effect.sync(() => void calls.push(n))
    )
  )
  const deadline = performance.now() + WITHIN_MS
  while (performance.now() < deadline && (calls.length < GOOD || (yield* letters).length < HOSTILE.length)) {
    yield* Effect.sleep(50)
  }
  // One rejection each, and not another one a little later.
  yield* Effect.sleep(500)
  yield* Fiber.interrupt(reader)
  return { calls, rejected: (yield* letters).map(({ provenance }) => provenance) }
})

const outcome = (maxMs: number, text: string): Outcome["measured"] => [text, `decoded in ≤ ${maxMs.toFixed(1)} ms`]

const oursFound = Effect.gen(function*() {
  const { calls, rejected } = yield* reading
  const maxMs = yield* decoding
  const once = new Set(rejected.map(({ sequence }) => sequence)).size
  const first = rejected.filter(({ attempts }) => attempts === 1).length
  const isRight = rejected.length === HOSTILE.length && once === HOSTILE.length && first === HOSTILE.length
    && calls.length === GOOD && calls.every((n) => n >= 1_000)
  const text = `${once} of ${HOSTILE.length} rejected, ${
    rejected.length - once
  } again, ${first} at the first attempt; ${new Set(calls).size} of ${GOOD} others handled`
  return {
    measured: outcome(maxMs, text),
    wrong: [...(isRight ? [] : [text]), ...atMost("decoding", maxMs, 2)]
  }
})

/** As its documentation shows it: what cannot be decoded throws into the handler. */
const rawFound = async (server: NatsServer): Promise<Outcome> => {
  const connection = await raw(server, ADMIN)
  const messages = await (await jetstream(connection).consumers.get("S")).consume()
  let [count, threw, maxMs] = [0, 0, 0]
  const decode = (message: JsMsg): void => {
    try {
      void message.headers?.keys()
      numbersOf(message.json())
    } catch {
      threw++
    }
  }
  void sleep(WITHIN_MS, undefined, { ref: false }).then(() => messages.stop())
  for await (const message of messages) {
    // It remembers its headers, so that a second look would cost nothing.
    const from = performance.now()
    decode(message)
    maxMs = Math.max(maxMs, performance.now() - from)
    if (++count === HOSTILE.length + GOOD) {
      break
    }
  }
  await connection.close()
  return { measured: outcome(maxMs, `${threw} of ${HOSTILE.length} throw in the handler, none is rejected`), wrong: [] }
}

/** What an application would check itself. */
const numbersOf = Schema.decodeUnknownSync(Schema.Struct({ n: Schema.Int }))

export const hostile: Row = {
  id: "T-24",
  fault: `hostile headers and payloads, ${HOSTILE.length} sorts, between good ones`,
  figure: "one rejection each, at the first attempt; the others handled; ≤ 2 ms to decode",
  run: ({ mode, version }) =>
    withServer({ version }, async (server) => {
      await ours("inline", server, ADMIN, streams)
      await send(server)
      return isOurs(mode)
        ? ours(mode, server, ADMIN, Effect.provide(oursFound, Layer.merge(AckPolicy.onProcess, Logger.layer([]))))
        : rawFound(server)
    })
}
