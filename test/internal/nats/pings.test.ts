/** When a connection counts as silent. */
import { afterEach, assert, beforeEach, describe, it, vi } from "@effect/vitest"
import { Pings } from "../../../src/internal/nats/pings.ts"

const FLOWS = 8 * 1024

describe("pings", () => {
  const state = { sent: 0, silent: 0, answers: true, waits: 0, written: 0 }
  let pings: Pings
  let last = () => {}

  beforeEach(() => {
    vi.useFakeTimers()
    Object.assign(state, { sent: 0, silent: 0, answers: true, waits: 0, written: 0 })
    pings = new Pings({
      ping: () => {
        state.sent++
        return new Promise((resolve) => {
          last = resolve
          return state.answers ? resolve() : undefined
        })
      },
      outgoing: () => state,
      silent: () => {
        state.silent++
      }
    })
  })
  afterEach(() => {
    pings.end()
    vi.useRealTimers()
  })

  /** In each of so many pauses this much comes. */
  const pass = async (pauses: number, bytes: number) => {
    for (let i = 0; i < pauses; i++) {
      pings.came(bytes / 2)
      pings.came(bytes / 2)
      await vi.advanceTimersByTimeAsync(500)
    }
  }

  it("that are answered go on for ever", async () => {
    await pass(100, 0)
    assert.deepInclude(state, { sent: 100, silent: 0 })
  })

  it("are four without an answer, and when the next is due the other end is silent, once", async () => {
    state.answers = false
    await pass(4, 0)
    assert.deepInclude(state, { sent: 4, silent: 0 })
    await pass(10, 0)
    assert.deepInclude(state, { sent: 4, silent: 1 })
  })

  it("may be answered late while messages come: the answer stands behind them", async () => {
    state.answers = false
    await pass(50, FLOWS)
    assert.deepInclude(state, { sent: 50, silent: 0 })
    last()
    await pass(4, 0)
    assert.strictEqual(state.silent, 0)
    await pass(1, 0)
    assert.strictEqual(state.silent, 1)
  })

  it("are not answered by messages: as soon as these end, the other end is silent", async () => {
    state.answers = false
    await pass(4, FLOWS)
    await pass(1, 0)
    assert.strictEqual(state.silent, 1)
  })

  it("may be answered late while what waits here is taken: the ping stands behind it", async () => {
    Object.assign(state, { answers: false, waits: 1 })
    for (let i = 0; i < 6; i++) {
      state.written += FLOWS
      await pass(4, 0)
    }
    assert.strictEqual(state.silent, 0)
    await pass(1, 0)
    assert.strictEqual(state.silent, 1, "nobody takes it any more")
  })

  it("are answered by any other answer", async () => {
    state.answers = false
    for (let i = 0; i < 6; i++) {
      await pass(4, 0)
      pings.answered()
    }
    assert.strictEqual(state.silent, 0)
    await pass(5, 0)
    assert.strictEqual(state.silent, 1)
  })

  it("are not answered by what is written into a line that takes all at once: nobody may be there", async () => {
    state.answers = false
    for (let i = 0; i < 5; i++) {
      state.written += FLOWS
      await pass(1, 0)
    }
    assert.strictEqual(state.silent, 1)
  })

  it("are not waited for because of a few statuses", async () => {
    state.answers = false
    await pass(5, FLOWS - 2)
    assert.strictEqual(state.silent, 1)
  })

  it("end with the connection", async () => {
    state.answers = false
    pings.end()
    await pass(10, 0)
    assert.deepInclude(state, { sent: 0, silent: 0 })
  })
})
