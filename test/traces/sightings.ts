/** Which kinds of operations and outcomes a program really reached, so that equality is not emptiness. */
import type { Delivery } from "../../src/Message.ts"
import type { Settlement } from "../../src/Settlement.ts"
import type { ConsumerInfo, StreamInfo } from "../../src/Topology.ts"
import type { Ledger, Receipt } from "../../src/Transport.ts"
import type { Operation, Program, Sent } from "./program.ts"
import * as Say from "./words.ts"

export class Sightings {
  readonly counts = new Map<string, number>()
  readonly #program: Program
  readonly #lastOf = new Map<string, number>()
  readonly #givenBack = new Set<number>()
  readonly #ledgers = new Map<number, Ledger>()
  /** The last sequence of the stream, as far as receipts tell. */
  last = 0
  #first = 0
  #deleted = false
  #held = 0
  #cut = false

  constructor(program: Program) {
    this.#program = program
    const { consumers, kind, stream } = program
    this.see(`program: ${kind}`)
    this.see(`stream: ${stream.retention}`)
    this.see(`stream: discard ${stream.discard}`)
    this.see(`stream: ${stream.storage}`)
    for (const consumer of consumers) {
      this.see(`consumer: ack ${consumer.ack}`)
      this.see(`consumer: start ${consumer.start._tag}`)
      this.see("consumer: with filters", consumer.filters.length > 0 ? 1 : 0)
    }
  }

  see(kind: string, times = 1): void {
    if (times > 0) {
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + times)
    }
  }

  /** The last sequence that was stored on a subject, as far as receipts tell. */
  lastOf(rest: string): number {
    return this.#lastOf.get(rest) ?? 0
  }

  operation(operation: Operation): void {
    this.see(`operation: ${operation._tag}`)
    switch (operation._tag) {
      case "open":
        this.#ledgers.delete(operation.reader)
        this.see(`policy: ${operation.policy._tag}`)
        this.see(`queue: ${operation.queue.strategy}`)
        this.see(`reads: ${operation.reads._tag}`)
        break
      case "purge":
      case "deleteMessage":
        this.#deleted = true
        break
      case "deleteStream":
        this.#deleted = true
        this.#lastOf.clear()
        this.last = 0
        break
      case "cut":
        this.#cut = true
        break
      case "mend":
        this.see("mended with deliveries held", this.#cut && this.#held > 0 ? 1 : 0)
        this.#cut = false
        break
      default:
    }
  }

  receipt({ expect, rest }: Sent, receipt: Receipt): void {
    if (receipt._tag === "Confirmed") {
      this.see(receipt.duplicate ? "publish: stored before" : "publish: stored")
      this.see("publish: as expected", expect === undefined ? 0 : 1)
      if (!receipt.duplicate) {
        this.#lastOf.set(rest, receipt.sequence)
        this.last = receipt.sequence
      }
    } else {
      this.see(`publish: ${receipt._tag} ${Say.reason(receipt.reason)}`)
    }
  }

  delivery(_reader: number, { deliveryCount, streamSequence }: Delivery): void {
    this.see("delivered")
    if (deliveryCount > 1) {
      const why = this.#givenBack.has(streamSequence) ? "after a nak" : "without a nak"
      this.see(`delivered again ${why}`)
    }
    const { consumers } = this.#program
    this.see("on its last delivery", consumers.some((one) => one.maxDeliver === deliveryCount) ? 1 : 0)
  }

  settled({ streamSequence }: Delivery, settlement: Settlement, stale: boolean): void {
    const delayed = settlement._tag === "Nak" && settlement.delayMs > 0
    this.see(`settled: ${settlement._tag}${delayed ? " with delay" : ""}${stale ? ", once more" : ""}`)
    if (settlement._tag === "Nak") {
      this.#givenBack.add(streamSequence)
    }
  }

  ledger(reader: number, ledger: Ledger): void {
    const before = this.#ledgers.get(reader)
    for (const kind of ["displaced", "returned", "lost", "swallowed", "unconfirmed"] as const) {
      this.see(`ledger: ${kind}`, ledger[kind] - (before?.[kind] ?? 0))
    }
    this.#ledgers.set(reader, ledger)
    this.#held = [...this.#ledgers.values()].reduce((sum, { held }) => sum + held, 0)
  }

  consumer(info: ConsumerInfo | undefined): void {
    if (info !== undefined) {
      const { ackPending, consumer: { maxAckPending }, pending } = info
      this.see("max ack pending reached", ackPending === maxAckPending && pending > 0 ? 1 : 0)
    }
  }

  stream(info: StreamInfo | undefined): void {
    if (info !== undefined && info.firstSequence > Math.max(1, this.#first) && !this.#deleted) {
      const { discard, maxAgeMs, retention } = info.stream
      const why = retention !== "limits" ? retention : maxAgeMs > 0 ? "age or limits" : `limits, discard ${discard}`
      this.see(`removed by ${why}`)
    }
    this.#first = info?.firstSequence ?? 0
  }
}
