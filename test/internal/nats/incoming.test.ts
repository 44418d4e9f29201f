import { assert, describe, it } from "@effect/vitest"
import { Buffer } from "node:buffer"
import { Incoming } from "../../../src/internal/nats/incoming.ts"
import { Dice } from "../../simulation/dice.ts"

const HEADERS = "NATS/1.0\r\nA: 1\r\n\r\n"

const msg = (subject: string, sid: number, reply: string, payload: string): string =>
  `MSG ${subject} ${sid} ${reply === "" ? "" : `${reply} `}${Buffer.byteLength(payload)}\r\n${payload}\r\n`

const hmsg = (subject: string, sid: number, reply: string, payload: string): string =>
  `HMSG ${subject} ${sid} ${reply === "" ? "" : `${reply} `}${HEADERS.length} `
  + `${HEADERS.length + Buffer.byteLength(payload)}\r\n${HEADERS}${payload}\r\n`

/** Everything that a server says, and what looks like it inside of a payload. */
const SAID = [
  "INFO {\"server_id\":\"a b\"}\r\n",
  msg("a", 1, "", ""),
  msg("a", 1, "$JS.ACK.S.C.1.2.3.4.5", "x".repeat(300)),
  "PING\r\n",
  msg("a.b", 2, "r", "MSG a 1 4\r\nnein\r\n"),
  hmsg("a.b", 2, "", ""),
  hmsg("a", 1, "$JS.ACK.S.C.1.2.3.4.6", "größer"),
  msg("other", 77, "", "for the client"),
  hmsg("other", 77, "r", "for the client"),
  "+OK\r\n",
  msg("größe", 1, "antwort.ä", "\r\n"),
  "-ERR 'Permissions Violation'\r\n",
  "PONG\r\n",
  msg("a".repeat(400), 2, "", "x".repeat(200_000))
]

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

const heard = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<string> => {
  const all: Array<string> = []
  const incoming = new Incoming((frame) => all.push(`passed ${text(frame)}`))
  for (const sid of [1, 2]) {
    incoming.listen(
      sid,
      ({ headers, payload, reply, subject }) =>
        all.push(`${sid} ${subject} [${reply}] ${text(headers)} ${text(payload)}`)
    )
  }
  for (const chunk of chunks) {
    incoming.feed(chunk)
  }
  return all
}

const EXPECTED = [
  `passed ${SAID[0]}`,
  "1 a []  ",
  `1 a [$JS.ACK.S.C.1.2.3.4.5]  ${"x".repeat(300)}`,
  "passed PING\r\n",
  "2 a.b [r]  MSG a 1 4\r\nnein\r\n",
  `2 a.b [] ${HEADERS} `,
  `1 a [$JS.ACK.S.C.1.2.3.4.6] ${HEADERS} größer`,
  `passed ${SAID[7]}`,
  `passed ${SAID[8]}`,
  "passed +OK\r\n",
  "1 größe [antwort.ä]  \r\n",
  "passed -ERR 'Permissions Violation'\r\n",
  "passed PONG\r\n",
  `2 ${"a".repeat(400)} []  ${"x".repeat(200_000)}`
]

describe("what comes in", () => {
  it("is heard whole and in order, wherever it was cut", () => {
    const bytes = Buffer.from(SAID.join(""))
    assert.deepStrictEqual(heard([bytes]), EXPECTED)
    assert.deepStrictEqual(
      heard([...bytes.subarray(0, 2_000)].map((byte) => Uint8Array.of(byte))),
      EXPECTED.slice(0, -1)
    )
    for (let seed = 1; seed <= 300; seed++) {
      const dice = new Dice(seed)
      const longest = dice.pick([3, 20, 200, 5_000, 100_000])
      const chunks: Array<Uint8Array> = []
      for (let at = 0; at < bytes.length;) {
        const size = dice.int(1, longest)
        chunks.push(bytes.subarray(at, at + size))
        at += size
      }
      assert.deepStrictEqual(heard(chunks), EXPECTED)
    }
  })

  it("is the client's as soon as nobody listens", () => {
    const passed: Array<string> = []
    const incoming = new Incoming((frame) => passed.push(Buffer.from(frame).toString()))
    const one = msg("a", 1, "", "x")
    incoming.listen(1, () => incoming.ignore(1))
    incoming.feed(Buffer.from(one + one))
    assert.deepStrictEqual(passed, [one])
    incoming.listen(1, () => assert.fail("nobody listens"))
    incoming.end()
    incoming.feed(Buffer.from(one))
    assert.deepStrictEqual(passed, [one, one])
  })

  it.each([
    "MSG\r\n",
    "MSG a 1\r\n",
    "MSG a x 1\r\nx\r\n",
    "MSG a 1 r -1\r\nx\r\n",
    "MSG a 1 99999999999\r\n",
    "HMSG a 1 5\r\n",
    "HMSG a 1 9 5\r\nxxxxx\r\n"
  ])("is refused where it is not the protocol: %j", (line) => {
    assert.throws(() => new Incoming(() => {}).feed(Buffer.from(line)), /not a message/)
  })

  it("is refused where a line has no end", () => {
    const incoming = new Incoming(() => {})
    assert.throws(() => {
      for (let i = 0; i < 40; i++) {
        incoming.feed(Buffer.alloc(65_536, "x"))
      }
    }, /without an end/)
  })
})
