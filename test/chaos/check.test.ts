/** The checker itself: a run that is well passes, and each thing that can be wrong with one is found. */
import { assert, describe, it } from "@effect/vitest"
import { seenAfter } from "./check/health.ts"
import { fromJournals } from "./check/Run.ts"
import { compare } from "./check/suffix.ts"
import { KILLED, type Limits, verdict } from "./check/verdict.ts"
import { decode, encode, type Kind, SIZE, type Writing } from "./journal.ts"
import { type FaultKind, FAULTS } from "./kinds.ts"

const limits: Limits = {
  inFlight: 2,
  ackWaitMs: 5_000,
  graceMs: 1_000,
  recoveryMs: 4_000,
  maxRssGrowthMb: 64,
  health: "all"
}

type Written = { [name: string]: Array<Writing> }

/** Ten messages of publisher 1, one every second from 1,000 ms on, each handled 10 ms after it is stored. */
const well = (): Written => {
  const publisher: Array<Writing> = []
  const worker: Array<Writing> = [{ kind: "began", n: 1, at: 0 }]
  const acks: Array<Writing> = []
  const end: Array<Writing> = []
  for (let n = 1; n <= 10; n++) {
    const at = n * 1_000
    const about = { pub: 1, n, seq: n, count: 1 }
    publisher.push({ kind: "intent", pub: 1, n, at, hash: n }, { kind: "confirmed", pub: 1, n, seq: n, at: at + 2 })
    worker.push(
      { kind: "start", ...about, hash: n, at: at + 10 },
      { kind: "effect", ...about, at: at + 12 },
      { kind: "end", ...about, at: at + 13 }
    )
    acks.push({ kind: "acked", seq: n, at: at + 14 }, { kind: "floor", seq: n, at: at + 20 })
    end.push({ kind: "stored", pub: 1, n, seq: n, at: 20_000 }, { kind: "made", pub: 1, n, at: 20_000 })
  }
  worker.push({ kind: "ledger", seq: 10, flag: 1, at: 12_000 })
  return {
    "publisher-1": publisher,
    "worker-1": worker,
    acks,
    end,
    faults: [{ kind: "gone", pub: 1, flag: 0, n: 300, at: 12_300 }],
    health: [{ kind: "healthy", at: 500 }]
  }
}

const read = (written: Written) =>
  new Map(Object.entries(written).map(([name, entries]) => [name, decode(name, encode(entries))]))

const judge = (change: (written: Written) => void, given: Partial<Limits> = {}) => {
  const written = well()
  change(written)
  return verdict(read(written), { ...limits, ...given })
}

const without = (list: Array<Writing>, kind: Kind, n: number) => {
  const index = list.findIndex((entry) => entry.kind === kind && (entry.n === n || entry.seq === n))
  assert.isAtLeast(index, 0)
  return list.splice(index, 1)[0]!
}

const fault = (kind: FaultKind, no: number, from: number, healed: number, seq: number): ReadonlyArray<Writing> => [
  { kind: "fault", pub: FAULTS.indexOf(kind), n: no, at: from },
  { kind: "healed", pub: FAULTS.indexOf(kind), n: no, at: healed, seq }
]

/** What it says is wrong: one finding, and nothing else. */
const finds = (change: (written: Written) => void, expected: RegExp, given?: Partial<Limits>) => {
  const found = judge(change, given)
  assert.lengthOf(found.findings, 1, found.findings.join("\n"))
  assert.match(found.findings[0]!, expected)
  return found
}

const again = (n: number, at: number): Array<Writing> => {
  const about = { pub: 1, n, seq: n, count: 2, hash: n }
  return [{ kind: "start", ...about, at }, { kind: "effect", ...about, at: at + 1 }, {
    kind: "end",
    ...about,
    at: at + 2
  }]
}

/** Calls beyond one for each; the ledger knows of them. */
const repeat = (written: Written, ...calls: ReadonlyArray<Writing>) => {
  const ledger = written["worker-1"]!.pop()!
  written["worker-1"]!.push(...calls, { ...ledger, seq: ledger.seq! + calls.length / 3 })
}

describe("a run that is well", () => {
  it("is clean, and counted", () => {
    const found = judge(() => {})
    assert.deepStrictEqual(found.findings, [])
    assert.deepInclude(found, { published: 10, processed: 10, lost: 0, duplicateCalls: 0, ackedUnprocessed: 0 })
  })

  it("also with a fault that it recovers from, and tells of", () => {
    const found = judge((written) => {
      written["faults"]!.unshift(...fault("kill", 1, 3_500, 5_900, 6))
      written["health"]!.push({ kind: "unhealthy", at: 3_600 }, { kind: "healthy", at: 6_000 })
    })
    assert.deepStrictEqual(found.findings, [])
    assert.deepStrictEqual(found.recoveryMs.kill, { p50: 110, p99: 110, max: 110, count: 1 })
  })

  it("not if there was nothing to do", () => {
    assert.match(verdict(new Map(), limits).findings[0]!, /proves nothing/)
  })
})

describe("a loss", () => {
  it("is told with its publisher, its place and the fault", () => {
    const found = finds((written) => {
      written["faults"]!.unshift(...fault("cut", 1, 4_900, 5_005, 6))
      for (const n of [5, 6]) {
        without(written["end"]!, "made", n)
      }
    }, /^C1: no effect of 1\.5 to 1\.6 \(middle\), confirmed during fault 1 \(cut\)$/)
    assert.deepInclude(found, { lost: 2, processed: 8 })
  })

  it("of the server is told apart", () => {
    finds((written) => void without(written["end"]!, "stored", 10), /^C1: the server has lost 1\.10 \(postfix\)/)
  })
})

describe("an invention", () => {
  it("is an effect that no handler made", () => {
    finds((written) => {
      for (const kind of ["start", "effect", "end"] as const) {
        without(written["worker-1"]!, kind, 7)
      }
      written["acks"] = written["acks"]!.filter(({ seq }) => seq! < 7)
      const ledger = written["worker-1"]!.pop()!
      written["worker-1"]!.push({ ...ledger, seq: 9 })
    }, /^C2: 1\.7 has an effect that no handler made/)
  })

  it("is a message that nobody published, one that is another one, or one that was certainly not sent", () => {
    finds((written) => void without(written["publisher-1"]!, "intent", 4), /^C2: nobody published 1\.4/)
    finds((written) => {
      const index = written["publisher-1"]!.findIndex(({ kind, n }) => kind === "intent" && n === 4)
      written["publisher-1"]![index] = { ...written["publisher-1"]![index]!, hash: 99 }
    }, /^C2: 1\.4 was not handled as it was published/)
    finds((written) => {
      const { at } = without(written["publisher-1"]!, "confirmed", 4)
      written["publisher-1"]!.push({ kind: "notSent", pub: 1, n: 4, at: at! })
    }, /^C2: 1\.4 is stored, and its publisher was told/)
  })

  it("is a message that is stored twice", () => {
    finds(
      (written) => void written["end"]!.push({ kind: "stored", pub: 1, n: 3, seq: 11 }),
      /^C12: 1\.3 is stored 2 times/
    )
  })
})

describe("an ack", () => {
  it("that comes before its effect is found, as an independent subscriber saw it", () => {
    const found = finds((written) => {
      written["acks"]!.unshift({ kind: "acked", seq: 8, at: 8_011 })
    }, /^C3: 8 \(1\.8\) was acknowledged without an effect, 1\.0 ms too early/)
    assert.strictEqual(found.ackedUnprocessed, 1)
  })

  it("that only the server's floor shows is found too", () => {
    finds(
      (written) => void written["acks"]!.unshift({ kind: "floor", seq: 9, at: 8_500 }),
      /^C3: 9 .*below the ack floor/
    )
  })

  it("of a handler that never came to its effect is found", () => {
    assert.match(judge((written) => void without(written["worker-1"]!, "effect", 2)).findings.join("\n"), /C3: 2/)
  })
})

describe("a repeat", () => {
  it("without a reason is found", () => {
    const found = finds(
      (written) => repeat(written, ...again(2, 9_500)),
      /^C4: 1\.2 \(2\) was handled again 7487 ms after/
    )
    assert.deepInclude(found, { duplicateCalls: 1, unexplainedDuplicates: 1, duplicateEffects: 0 })
  })

  it("of what a fault found under way is explained, as far as so much was under way", () => {
    const cut = (written: Written) => void written["faults"]!.unshift(...fault("cut", 1, 2_400, 2_600, 3))
    const explained = judge((written) => {
      cut(written)
      repeat(written, ...again(2, 7_000), ...again(3, 8_000))
    })
    assert.deepStrictEqual(explained.findings, [])
    assert.strictEqual(explained.duplicateCalls, 2)
    finds(
      (written) => {
        cut(written)
        repeat(written, ...again(2, 7_000), ...again(3, 8_000))
      },
      /cannot have repeated 2: 1 were on their way/,
      { inFlight: 1 }
    )
    finds((written) => {
      cut(written)
      repeat(written, ...again(8, 9_500))
    }, /^C4: 1\.8/)
  })

  it("of an effect is never explained", () => {
    finds((written) => void written["end"]!.push({ kind: "made", pub: 1, n: 3 }), /1 effects beyond one for each/)
  })
})

describe("a recovery", () => {
  it("that takes too long, or never comes, is found", () => {
    const slow = (written: Written, seq: number) => {
      written["faults"]!.unshift(...fault("refuse", 1, 2_500, 2_600, seq))
      written["health"]!.push({ kind: "unhealthy", at: 2_550 }, { kind: "healthy", at: 8_010 })
    }
    const many = { inFlight: 10 }
    finds((written) => slow(written, 8), /^C8: 5410 ms until something came after fault 1 \(refuse\)/, many)
    assert.match(judge((written) => slow(written, 11), many).findings.join("\n"), /C8: nothing came after/)
    // Two were under way, the third has been delivered since: what was stored later waits behind it.
    assert.strictEqual(judge((written) => slow(written, 8)).recoveryMs.refuse?.max, 2_410)
  })
})

describe("health", () => {
  it("may not be told for three seconds of a fault that nothing comes through", () => {
    finds((written) => {
      written["faults"]!.unshift(...fault("freeze", 1, 4_500, 8_500, 9))
    }, /^C9: healthy 3300 ms into fault 1 \(freeze\)/)
    assert.strictEqual(
      judge((written) => {
        written["faults"]!.unshift(...fault("block", 1, 4_500, 8_500, 9))
      }, { health: "connection" }).healthLies,
      0
    )
  })

  it("is told by nobody whose only thread is blocked, until it no longer is", () => {
    const blocked = (until: number) => (written: Written) => {
      written["faults"]!.unshift(...fault("block", 1, 4_400, until, 9), ...fault("freeze", 2, 4_600, 9_000, 9))
    }
    const inline = { health: "connection" } as const
    assert.strictEqual(judge(blocked(7_000), inline).healthLies, 0)
    finds(blocked(5_000), /^C9: healthy 3300 ms into fault 2 \(freeze\)/, inline)
    assert.strictEqual(judge(blocked(7_000)).healthLies, 1)
  })

  it("must be told again three seconds after things move again", () => {
    finds((written) => {
      written["faults"]!.unshift(...fault("kill", 1, 2_500, 2_900, 3))
      written["health"]!.push({ kind: "unhealthy", at: 2_600 })
    }, /^C9: unhealthy for 3300 ms, 0 ms after the first message of fault 1/)
  })

  it("must not be denied later either, until the next fault or the end", () => {
    const alarm = (from: number, until: number, ...more: ReadonlyArray<Writing>) => (written: Written) => {
      written["faults"]!.unshift(...fault("kill", 1, 2_500, 2_900, 3), ...more)
      written["health"]!.push({ kind: "unhealthy", at: from }, { kind: "healthy", at: until })
    }
    finds(alarm(5_000, 8_400), /^C9: unhealthy for 3300 ms, 1990 ms after the first message of fault 1 \(kill\)/)
    assert.deepStrictEqual(judge(alarm(5_000, 8_200)).findings, [])
    assert.deepStrictEqual(judge(alarm(5_000, 8_400, ...fault("cut", 2, 6_500, 8_000, 8))).findings, [])
    assert.deepStrictEqual(judge(alarm(9_000, 30_000)).findings, [], "it was told to end 3 s later")
  })

  it("tells how long a fault went unseen", () => {
    const written = well()
    written["health"]!.push({ kind: "unhealthy", at: 2_600 })
    assert.strictEqual(seenAfter(fromJournals(read(written)), 2_500), 100)
    assert.isUndefined(seenAfter(fromJournals(read(well())), 2_500))
  })
})

describe("an end", () => {
  const gone = (change: Partial<Writing>) => (written: Written) => {
    written["faults"]![0] = { ...written["faults"]![0]!, ...change }
  }

  it("with an exit code, or after the grace, is found; a kill is no end", () => {
    finds(gone({ flag: 1 }), /^C10: worker-1 ended with 1/)
    finds(gone({ n: 1_001 }), /^C10: worker-1 ended with 0 after 1001 ms/)
    assert.deepStrictEqual(judge(gone({ flag: KILLED })).findings, [])
  })

  it("whose ledger says something else than the journal is found", () => {
    finds((written) => {
      const ledger = written["worker-1"]!.pop()!
      written["worker-1"]!.push({ ...ledger, seq: 11 })
    }, /^C12: worker-1 says that it has processed 11, and its journal says 10/)
    finds((written) => {
      const ledger = written["worker-1"]!.pop()!
      written["worker-1"]!.push({ ...ledger, flag: 0 })
    }, /does not add up/)
  })

  it("with much more memory than it began with is found", () => {
    const found = finds((written) => {
      written["memory"] = Array.from(
        { length: 40 },
        (_, i) => ({ kind: "memory", pub: 1, n: 100_000 + i * 5_000, at: i })
      )
    }, /^C7: the worker has grown by/)
    assert.isAbove(found.rssGrowthMb, 64)
  })
})

describe("a journal", () => {
  it("of which a record is missing, or unknown, is found", () => {
    const bytes = encode(well()["worker-1"]!)
    const cut = new Uint8Array([...bytes.subarray(0, SIZE * 4), ...bytes.subarray(SIZE * 5)])
    assert.match(decode("worker-1", cut).damage.join(), /record 4 is .* and numbered 5/)
    bytes[0] = 255
    assert.match(decode("worker-1", bytes).damage.join(), /record 0 is unknown/)
  })

  it("may end in the middle of a record: what it announces was never done", () => {
    const bytes = encode(well()["worker-1"]!)
    const torn = decode("worker-1", bytes.subarray(0, bytes.length - 5))
    assert.deepStrictEqual(torn.damage, [])
    assert.lengthOf(torn.entries, bytes.length / SIZE - 1)
  })

  it("keeps what is written into it", () => {
    const entry = {
      kind: "start",
      at: 12.5,
      flag: 1,
      pub: 65_535,
      n: 2 ** 32 - 1,
      seq: 2 ** 40 + 3,
      count: 7,
      hash: 2 ** 32 - 1
    }
    assert.deepStrictEqual(decode("x", encode([entry as Writing])).entries, [entry as never])
  })
})

describe("reading in order", () => {
  const stored = [3, 4, 6, 7].map((seq) => ({ seq, n: seq * 10 }))
  const read = (...seqs: ReadonlyArray<number>) => compare(seqs.map((seq) => ({ seq, n: seq * 10 })), stored)
  const well = { missing: 0, repeated: 0, disordered: 0, invented: 0 }

  it("is exactly what is stored, in order, once", () => {
    assert.deepStrictEqual(read(3, 4, 6, 7), well)
  })

  it("with a gap, a repeat, something too late or something that nobody stored is found", () => {
    assert.deepStrictEqual(read(3, 6, 7), { ...well, missing: 1 })
    assert.deepStrictEqual(read(3, 4), { ...well, missing: 2 })
    assert.deepStrictEqual(read(3, 4, 4, 6, 7, 3), { ...well, repeated: 2 })
    assert.deepStrictEqual(read(3, 6, 4, 7), { ...well, disordered: 1 })
    assert.deepStrictEqual(read(3, 4, 5, 6, 7), { ...well, invented: 1 })
    assert.deepStrictEqual(compare([{ seq: 3, n: 31 }], stored.slice(0, 1)), { ...well, invented: 1 })
    assert.deepStrictEqual(read(), { ...well, missing: 4 })
  })
})
