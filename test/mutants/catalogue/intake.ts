/** Slips between the broker and the reader: what is asked for, held, leased, settled and sent again. */
import type { Mutant } from "../Mutant.ts"

const asking: ReadonlyArray<Mutant> = [
  {
    name: "re-pull-forgotten-after-ack",
    breaks: "a confirmed verdict makes room, and nobody asks for more until a timer does",
    against: "I6",
    file: "src/internal/intake.ts",
    find: `    if (this.holdings.verdicts.confirmed(id)) {
      this.pullMore()
    }`,
    replace: `    this.holdings.verdicts.confirmed(id)`
  },
  {
    name: "re-pull-forgotten-by-timer",
    breaks: "what becomes free without a verdict, as a delayed return that is due, is never asked for again",
    against: "I6",
    file: "src/internal/intake.ts",
    find: `      this.#inspect(now)
    }
    this.pullMore()`,
    replace: `      this.#inspect(now)
    }`
  },
  {
    name: "credit-survives-reconnect",
    breaks: "pulls of a connection that is gone still count as open, and are never answered",
    against: "I6",
    file: "src/internal/intake.ts",
    find: `    this.#credit.void()\n`,
    replace: ``
  },
  {
    name: "unbounded-queue",
    breaks: "what is held already does not count against the capacity, so the queue grows without end",
    against: "I10",
    file: "src/internal/credit.ts",
    find: `this.#capacity.messages - table.counted - this.#messages`,
    replace: `this.#capacity.messages - this.#messages`
  },
  {
    name: "asks-twice-for-the-same-room",
    breaks: "what was asked for and is still on its way does not count against the capacity",
    against: "I3",
    file: "src/internal/credit.ts",
    find: `this.#capacity.messages - table.counted - this.#messages`,
    replace: `this.#capacity.messages - table.counted`
  },
  {
    name: "bytes-never-given-back",
    breaks: "a delivery gives its message back to the credit and keeps its bytes, until no pull fits any more",
    against: "I3",
    file: "src/internal/credit.ts",
    find: `    this.returned(1, bytes)`,
    replace: `    this.returned(1, 0)`
  },
  {
    name: "bytes-held-not-counted",
    breaks: "a pull asks for bytes as if nothing were held",
    against: "I10",
    file: "src/internal/credit.ts",
    find: `this.#capacity.bytes - table.bytes - this.#bytes`,
    replace: `this.#capacity.bytes - this.#bytes`
  }
]

const holding: ReadonlyArray<Mutant> = [
  {
    name: "swallows-what-was-lost",
    breaks: "a delivery whose lease ran out stays in the table, and its redelivery is taken for a repeat",
    against: "I7",
    file: "src/internal/holdings.ts",
    find: `    this.counts.lost++
    this.#awaitReturn(entry, this.now())`,
    replace: `    this.counts.lost++`
  },
  {
    name: "swallows-what-was-returned",
    breaks: "the redelivery of a message given back with a delay is taken for a repeat, and never runs",
    against: "I7",
    file: "src/internal/holdings.ts",
    find: `} else if (isSame && entry.phase !== "returning") {`,
    replace: `} else if (isSame) {`
  },
  {
    name: "takes-a-nak-for-an-end",
    breaks: "a returned message is remembered as ended, so its redelivery is swallowed though it was not done",
    against: "I7",
    file: "src/internal/holdings.ts",
    find: `    if (settlement._tag !== "Nak") {`,
    replace: `    if (settlement !== undefined) {`
  },
  {
    name: "takes-a-term-for-no-end",
    breaks:
      "only what was acknowledged is remembered as ended; what was terminated runs again when a broker repeats it",
    against: "I7",
    file: "src/internal/holdings.ts",
    find: `    if (settlement._tag !== "Nak") {`,
    replace: `    if (settlement._tag === "Ack") {`
  },
  {
    name: "resumes-past-what-others-returned",
    breaks: "a consumer made anew begins behind a message that another reader was given and has not answered",
    against: "I6",
    file: "src/internal/holdings.ts",
    find: `let lowest = Math.min(this.highest, this.#answered) + 1`,
    replace: `let lowest = this.highest + 1`
  },
  {
    name: "displaced-always-acked",
    breaks: "what a full queue displaces is acknowledged, whatever onDrop says",
    against: "I4",
    file: "src/internal/holdings.ts",
    find: `this.decide(entry, this.#options.flow.queue.onDrop)`,
    replace: `this.decide(entry, Settlement.ack)`
  },
  {
    name: "refused-without-a-verdict",
    breaks: "a delivery that the queue refuses gets no verdict; only older ones that it displaces do",
    against: "I4",
    file: "src/internal/holdings.ts",
    find: `    for (const out of displaced) {
      this.#displace(out)`,
    replace: `    for (const out of displaced.filter((other) => other !== entry)) {
      this.#displace(out)`
  },
  {
    name: "hands-back-only-what-waits",
    breaks: "a closing reader hands back what is queued and forgets what it has taken",
    against: "I9",
    file: "src/internal/holdings.ts",
    find: `      if (isUndecided(entry)) {
        this.handBack(entry)`,
    replace: `      if (isUndecided(entry) && entry.phase === "queued") {
        this.handBack(entry)`
  },
  {
    name: "delayed-return-gives-up-its-room",
    breaks: "what was given back with a delay takes up no room, though the broker still counts it as unanswered",
    against: "I3",
    file: "src/internal/holdings.ts",
    find: `} else if (settlement._tag === "Nak" && settlement.delayMs > 0 && !this.closing) {`,
    replace: `} else if (settlement._tag === "Nak" && settlement.delayMs > 0 && this.closing) {`
  },
  {
    name: "displaced-counted-twice",
    breaks: "what was acknowledged on enqueue and then displaced is counted under both ends",
    against: "I14",
    file: "src/internal/holdings.ts",
    find: `      this.counts.settled--\n`,
    replace: ``
  },
  {
    name: "running-never-counts-down",
    breaks: "a delivery lost while it ran counts as running for ever, and a queue that displaces finds itself full",
    against: "I4",
    file: "src/internal/inflight.ts",
    find: `    this.uncount(entry)
    if (entry.phase === "running") {`,
    replace: `    this.uncount(entry)
    if (entry.phase === "settled") {`
  },
  {
    name: "prefix-over-a-returned-one",
    breaks: "under upTo one ack covers a message that was given back and has not come again",
    against: "I4",
    file: "src/internal/inflight.ts",
    find: `if (!isDone(entry) && entry.delivery.streamSequence < open) {`,
    replace: `if ((entry.phase === "queued" || entry.phase === "running") && entry.delivery.streamSequence < open) {`
  },
  {
    name: "returned-gives-up-its-room-on-reconnect",
    breaks: "on a new connection a nak on its way gives up its room, and under upTo nothing can come back behind it",
    against: "I3",
    file: "src/internal/inflight.ts",
    find: `if (entry.phase === "settled" && entry.settlement?._tag !== "Nak") {`,
    replace: `if (entry.phase === "settled") {`
  }
]

const leasing: ReadonlyArray<Mutant> = [
  {
    name: "lease-renewed-for-ever",
    breaks: "a lease is renewed whatever the handler's time budget is",
    against: "I5",
    file: "src/internal/leases.ts",
    find: `entry.phase === "running" && now - entry.since < budgetMs`,
    replace: `entry.phase === "running"`
  },
  {
    name: "waiting-not-renewed",
    breaks: "only what runs keeps its lease; what waits in the queue loses it",
    against: "I5",
    file: "src/internal/leases.ts",
    find: `if ((runs || waits || isHeldUp)`,
    replace: `if ((runs || isHeldUp)`
  },
  {
    name: "renews-what-has-run-out",
    breaks: "a lease that ran out is renewed, and what belongs to somebody else is held on to",
    against: "I5",
    file: "src/internal/leases.ts",
    find: `age >= thanMs && (runs ? age < runningMs : !this.expired(entry, now))) {`,
    replace: `age >= thanMs) {\n        entry.leasedAt = now`
  },
  {
    name: "renewal-not-noted",
    breaks: "the broker hears of a renewal and the table does not, so that a lease that holds counts as lost",
    against: "I5",
    file: "src/internal/leases.ts",
    find: `    entry.leasedAt = now\n  }\n}`,
    replace: `  }\n}`
  },
  {
    name: "starts-on-a-lost-lease",
    breaks: "nobody looks at the lease before a handler starts",
    against: "I5",
    file: "src/internal/taking.ts",
    find: `    if (leases.expired(entry, this.#holdings.now())) {`,
    replace: `    if (entry.settlement !== undefined) {`
  }
]

const settling: ReadonlyArray<Mutant> = [
  {
    name: "nak-lost-on-reconnect",
    breaks: "what was not confirmed on the old connection goes out again on the new one, except naks",
    against: "I7",
    file: "src/internal/verdicts.ts",
    find: `this.#outbox = this.#outbox.concat(stillOwed(batch))`,
    replace: `this.#outbox = this.#outbox.concat(stillOwed(batch).filter((entry) => entry.settlement?._tag !== "Nak"))`
  },
  {
    name: "verdicts-lost-on-reconnect",
    breaks: "verdicts without a confirmation are dropped when the connection is replaced",
    against: "I7",
    file: "src/internal/verdicts.ts",
    find: `      this.#outbox = this.#outbox.concat(stillOwed(batch))\n`,
    replace: `      stillOwed(batch)\n`
  },
  {
    name: "nak-lost-beside-an-ack",
    breaks: "under upTo a nak that is written together with an ack is left out",
    against: "I4",
    file: "src/internal/verdicts.ts",
    find: `[[...single, last], [...single, ...prefix]]`,
    replace: `[[last], [...single, ...prefix]]`
  },
  {
    name: "term-covers-a-prefix",
    breaks: "under upTo a term goes out at once, and a server takes it for an ack of everything before it",
    against: "I4",
    file: "src/internal/verdicts.ts",
    find: `const single = posted.filter((entry) => entry.settlement?._tag === "Nak")`,
    replace: `const single = posted.filter((entry) => entry.settlement?._tag !== "Ack")`
  },
  {
    name: "confirmed-without-the-word",
    breaks: "under confirmed a verdict counts as handed over before the broker has confirmed it",
    against: "I4",
    file: "src/internal/taking.ts",
    find: `return word === undefined || open === 0 ? Effect.void : opened(word)`,
    replace: `return word === undefined || open > 0 ? Effect.void : opened(word)`
  },
  {
    name: "second-verdict-counts",
    breaks: "a delivery may be settled again after its verdict",
    against: "I4",
    file: "src/internal/taking.ts",
    find: `if (entry?.delivery !== delivery || entry.phase !== "running") {
          continue`,
    replace: `if (entry?.delivery !== delivery) {
          continue`
  },
  {
    name: "stop-forgets-what-arrived",
    breaks: "a reader that stops is told of the end before it has got what arrived",
    against: "I9",
    file: "src/internal/taking.ts",
    find: `      if (taken.length > 0) {`,
    replace: `      if (taken.length > 0 && !this.#ended) {`
  },
  {
    name: "take-spins",
    breaks: "an empty queue leaves its latch open, so that a waiting reader asks again without end",
    against: "I1",
    file: "src/internal/taking.ts",
    find: `      if (this.#holdings.queue.size === 0 && !this.#ended) {`,
    replace: `      if (this.#holdings.queue.size < 0 && !this.#ended) {`
  }
]

const choosing: ReadonlyArray<Mutant> = [
  {
    name: "running-outside-the-limit",
    breaks: "a queue that displaces counts what waits, and not what runs",
    against: "I3",
    file: "src/Queue.ts",
    find: `return this.size + heldOutside >= this.#limit`,
    replace: `return this.size >= this.#limit`
  },
  {
    name: "latest-forgets-the-older",
    breaks: "the strategy latest takes the older message of a subject out and names it to nobody",
    against: "I4",
    file: "src/Queue.ts",
    find: `      this.#unlink(older)
      displaced = [older.element]`,
    replace: `      this.#unlink(older)`
  },
  {
    name: "hybrid-asks-all-patterns",
    breaks: "under hybrid a subject must match every pattern to be acknowledged on enqueue",
    against: "I4",
    file: "src/AckPolicy.ts",
    find: `policy.onEnqueue.some((pattern)`,
    replace: `policy.onEnqueue.every((pattern)`
  }
]

export const intake: ReadonlyArray<Mutant> = [...asking, ...holding, ...leasing, ...settling, ...choosing]
