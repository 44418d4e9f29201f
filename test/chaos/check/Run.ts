/** What happened, put together from the journals. */
import { type Entry, type Read } from "../journal.ts"
import { type FaultKind, FAULTS } from "../kinds.ts"

/** A handler's call. */
export interface Call {
  readonly worker: string
  readonly seq: number
  readonly count: number
  readonly from: number
  effectAt: number | undefined
  until: number | undefined
}

/** One id: what its publisher knows of it, and what the handlers did with it. */
export interface Message {
  readonly pub: number
  readonly n: number
  intended: { readonly at: number; readonly hash: number } | undefined
  confirmed: { readonly at: number; readonly seq: number; readonly duplicate: boolean } | undefined
  /** Certainly not stored, the publisher said. */
  notSent: boolean
  readonly calls: Array<Call>
  /** Rows of this id in the store of effects. */
  made: number
  readonly stored: Array<number>
  wrongHash: boolean
}

export interface Fault {
  readonly no: number
  readonly kind: FaultKind
  readonly from: number
  healed: number | undefined
  /** What is stored after the healing has at least this sequence. */
  afterSeq: number
}

export interface WorkerProcess {
  readonly name: string
  began: number
  gone: { readonly at: number; readonly code: number; readonly tookMs: number } | undefined
  ended: number
  ledger: { readonly processed: number; readonly addsUp: boolean } | undefined
}

export interface Run {
  readonly damage: ReadonlyArray<string>
  readonly messages: ReadonlyMap<number, Message>
  readonly faults: ReadonlyArray<Fault>
  readonly workers: ReadonlyMap<string, WorkerProcess>
  /** All calls in the order in which they began. */
  readonly calls: ReadonlyArray<Call>
  readonly acks: ReadonlyArray<Entry>
  readonly floors: ReadonlyArray<Entry>
  readonly health: ReadonlyArray<Entry>
  readonly memory: ReadonlyArray<Entry>
  /** Which message the stream holds at a sequence. */
  readonly bySequence: ReadonlyMap<number, Message>
}

export type Journals = ReadonlyMap<string, Read>

export const nameOf = ({ n, pub }: { readonly pub: number; readonly n: number }): string => `${pub}.${n}`

const idOf = (pub: number, n: number): number => pub * 2 ** 32 + n

class Builder {
  readonly messages = new Map<number, Message>()
  readonly faults = new Map<number, Fault>()
  readonly workers = new Map<string, WorkerProcess>()
  readonly calls: Array<Call> = []
  readonly acks: Array<Entry> = []
  readonly floors: Array<Entry> = []
  readonly health: Array<Entry> = []
  readonly memory: Array<Entry> = []
  readonly bySequence = new Map<number, Message>()
  /** The call that a worker has under way with a sequence: its last one. */
  readonly #open = new Map<string, Call>()

  add(journal: string, entry: Entry): void {
    if (entry.kind === "fault" || entry.kind === "healed") {
      this.#fault(entry)
    } else if (entry.kind === "acked" || entry.kind === "returned") {
      this.acks.push(entry)
    } else if (entry.kind === "floor") {
      this.floors.push(entry)
    } else if (entry.kind === "healthy" || entry.kind === "unhealthy") {
      this.health.push(entry)
    } else if (entry.kind === "memory") {
      this.memory.push(entry)
    } else if (entry.kind === "began" || entry.kind === "ledger" || entry.kind === "gone") {
      this.#process(entry.kind === "gone" ? `worker-${entry.pub}` : journal, entry)
    } else {
      this.#message(journal, entry)
    }
  }

  #of(pub: number, n: number): Message {
    const id = idOf(pub, n)
    let message = this.messages.get(id)
    if (message === undefined) {
      message = {
        pub,
        n,
        intended: undefined,
        confirmed: undefined,
        notSent: false,
        calls: [],
        made: 0,
        stored: [],
        wrongHash: false
      }
      this.messages.set(id, message)
    }
    return message
  }

  #message(journal: string, entry: Entry): void {
    const { at, count, hash, kind, n, pub, seq } = entry
    const message = this.#of(pub, n)
    const key = `${journal}:${seq}`
    if (kind === "intent") {
      message.intended ??= { at, hash }
    } else if (kind === "confirmed") {
      message.confirmed ??= { at, seq, duplicate: entry.flag === 1 }
    } else if (kind === "notSent") {
      message.notSent = true
    } else if (kind === "start") {
      const call: Call = { worker: journal, seq, count, from: at, effectAt: undefined, until: undefined }
      message.calls.push(call)
      message.wrongHash ||= message.intended !== undefined && message.intended.hash !== hash
      this.calls.push(call)
      this.#open.set(key, call)
    } else if (kind === "effect") {
      const call = this.#open.get(key)
      if (call !== undefined) {
        call.effectAt = at
      }
    } else if (kind === "end") {
      const call = this.#open.get(key)
      if (call !== undefined) {
        call.until = at
      }
      const worker = this.workers.get(journal)
      if (worker !== undefined) {
        worker.ended++
      }
    } else if (kind === "made") {
      message.made++
    } else if (kind === "stored") {
      message.stored.push(seq)
      this.bySequence.set(seq, message)
    }
  }

  #fault({ at, kind, n, pub, seq }: Entry): void {
    if (kind === "fault") {
      this.faults.set(n, { no: n, kind: FAULTS[pub] ?? "kill", from: at, healed: undefined, afterSeq: 0 })
      return
    }
    const fault = this.faults.get(n)
    if (fault !== undefined) {
      fault.healed = at
      fault.afterSeq = seq
    }
  }

  #process(name: string, { at, flag, kind, n, seq }: Entry): void {
    const worker = this.workers.get(name) ?? { name, began: at, gone: undefined, ended: 0, ledger: undefined }
    this.workers.set(name, worker)
    if (kind === "gone") {
      worker.gone = { at, code: flag, tookMs: n }
    } else if (kind === "ledger") {
      worker.ledger = { processed: seq, addsUp: flag === 1 }
    }
  }
}

/** Publishers' journals come first: what they intended is what all others are compared with. */
const order = (name: string): number => name.startsWith("publisher") ? 0 : name.startsWith("worker") ? 1 : 2

export const fromJournals = (journals: Journals): Run => {
  const builder = new Builder()
  for (const [name, { entries }] of [...journals].toSorted(([a], [b]) => order(a) - order(b))) {
    for (const entry of entries) {
      builder.add(name, entry)
    }
  }
  return {
    damage: [...journals.values()].flatMap(({ damage }) => damage),
    messages: builder.messages,
    faults: [...builder.faults.values()].toSorted((a, b) => a.from - b.from),
    workers: builder.workers,
    calls: builder.calls.toSorted((a, b) => a.from - b.from),
    acks: builder.acks.toSorted((a, b) => a.at - b.at),
    floors: builder.floors,
    health: builder.health.toSorted((a, b) => a.at - b.at),
    memory: builder.memory,
    bySequence: builder.bySequence
  }
}
