/** What the server owes, when it serves several pulls in turns and says how much each was owed at its end. */
import { assert, describe, it } from "@effect/vitest"
import { Pulls } from "../../src/internal/nats/pulls.ts"

const LIMITS = { maxBatch: 1_000, maxExpiresMs: Number.POSITIVE_INFINITY, maxPullBytes: Number.POSITIVE_INFINITY }

const setup = () => {
  const back = { messages: 0, bytes: 0 }
  const pulls = new Pulls((messages, bytes) => {
    back.messages += messages
    back.bytes += bytes
  })
  const ask = (messages: number, bytes: number, now = 0) => pulls.ask(messages, bytes, LIMITS, now).id
  const serve = (count: number) => {
    for (let i = 0; i < count; i++) {
      pulls.served(10, 0)
    }
  }
  return { pulls, back, ask, serve }
}

describe("several pulls", () => {
  it("are owed what their statuses say, whichever of them was served", () => {
    const { ask, back, pulls, serve } = setup()
    const [one, two] = [ask(10, 1_000), ask(5, 500)]
    // The server took turns: four messages for each.
    serve(8)
    assert.isTrue(pulls.ended(two, { messages: 1, bytes: 460 }))
    assert.deepStrictEqual(back, { messages: 1, bytes: 460 })
    assert.isTrue(pulls.ended(one, { messages: 6, bytes: 960 }))
    assert.deepStrictEqual(back, { messages: 7, bytes: 1_420 })
    assert.isFalse(pulls.isSilent(60_000), "nothing is owed any more")
  })

  it("that were served without a word leave nothing behind", () => {
    const { ask, back, pulls, serve } = setup()
    const [one, two] = [ask(4, 1_000), ask(10, 1_000)]
    serve(8)
    // The first is over at the server, which says nothing about that.
    assert.isTrue(pulls.ended(two, { messages: 6, bytes: 960 }))
    assert.strictEqual(back.messages, 6)
    assert.isFalse(pulls.heard(one, 0))
  })

  it("are all over when the last one is, whatever was thought", () => {
    const { ask, back, pulls, serve } = setup()
    const one = ask(10, 1_000)
    serve(3)
    assert.isTrue(pulls.ended(one, { messages: undefined, bytes: undefined }))
    assert.deepStrictEqual(back, { messages: 7, bytes: 970 })
    assert.isFalse(pulls.ended(one, { messages: 7, bytes: 970 }), "told twice")
  })
})
