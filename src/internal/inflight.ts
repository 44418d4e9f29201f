/**
 * The in-flight table: every delivery that the broker counts as unanswered, by stream sequence (I7).
 *
 * It also remembers what was finished lately, so that a broker that forgot our acks (it was killed before it wrote them
 * down) gets them again instead of having its redeliveries run twice.
 */
import type { Delivery } from "../Message.ts"
import type { Settlement } from "../Settlement.ts"
import { type Answer, Remembered } from "./remembered.ts"
import { Sequences } from "./sequences.ts"

/**
 * Where an entry stands: waiting in the queue, with the reader, settled but not confirmed by the broker, or given back
 * with a delay that has not passed (the broker still counts it).
 */
export type Phase = "queued" | "running" | "settled" | "returning"

/** The broker was asked to start leases anew; whether it said that it heard so. */
export interface Asked {
  readonly id: number
  isHeard: boolean
}

/** What the broker was asked for one entry. */
export interface Renewal {
  readonly asked: Asked
  /** When the lease had started until then. */
  readonly before: number
  /** One that had not been heard then. */
  readonly earlier: Renewal | undefined
}

/**
 * Made by a class, and not written as a literal: of literals V8 keeps count how many outlive a collection, and in a table
 * that is full most of them do. Then it makes them old from birth, and each keeps what it points to from being collected.
 */
export class Entry implements Answer {
  readonly delivery: Delivery
  readonly subject: string
  readonly bytes: number
  token: string
  /** The consumer's own count of the delivery that the token is of. */
  consumerSequence: number
  /** The consumer was made anew, and has not delivered it yet: the token means another delivery there, or none. */
  stale = false
  phase: Phase = "queued"
  settlement: Settlement | undefined = undefined
  /** Whether it still takes up room: not once its verdict had to be sent again on a new connection. */
  counted = true
  /** Acknowledged when it was enqueued: its verdict is no longer the reader's. */
  readonly ackedEarly: boolean
  /** When the broker last started this lease anew, in ms; with a renewal, only if that was heard. */
  leasedAt: number
  renewal: Renewal | undefined = undefined
  /** When the reader took it, or when a delayed return is due. */
  since: number
  /** The batch that carries its verdict; 0 before that. */
  batch = 0
  onConfirmed: (() => void) | undefined = undefined

  constructor(delivery: Delivery, token: string, now: number, ackedEarly: boolean) {
    this.delivery = delivery
    this.subject = delivery.subject
    this.bytes = delivery.bytes
    this.token = token
    this.consumerSequence = delivery.consumerSequence
    this.ackedEarly = ackedEarly
    this.leasedAt = now
    this.since = now
  }
}

export class InFlight {
  readonly entries = new Sequences<Entry>()
  bytes = 0
  running = 0
  /** What takes up room. */
  counted = 0
  readonly ended: Remembered

  constructor(rememberedMax: number) {
    this.ended = new Remembered(rememberedMax)
  }

  get size(): number {
    return this.entries.size
  }

  get(sequence: number): Entry | undefined {
    return this.entries.get(sequence)
  }

  /** Of all that it holds, in no order. */
  get sequences(): Array<number> {
    return this.entries.all.map(({ delivery }) => delivery.streamSequence)
  }

  /** The earliest message first. */
  get inOrder(): Array<Entry> {
    return this.entries.all.sort((a, b) => a.delivery.streamSequence - b.delivery.streamSequence)
  }

  add(delivery: Delivery, token: string, now: number, ackedEarly: boolean): Entry {
    const entry = new Entry(delivery, token, now, ackedEarly)
    this.entries.set(delivery.streamSequence, entry)
    this.bytes += entry.bytes
    this.counted++
    return entry
  }

  /** Moves an entry on, and keeps count of what is running. */
  move(entry: Entry, phase: Phase, now: number): void {
    if (entry.phase === "running") {
      this.running--
    }
    if (phase === "running") {
      this.running++
    }
    entry.phase = phase
    entry.since = now
  }

  delete(entry: Entry): void {
    if (this.entries.get(entry.delivery.streamSequence) !== entry) {
      return
    }
    this.entries.delete(entry.delivery.streamSequence)
    this.bytes -= entry.bytes
    this.uncount(entry)
    if (entry.phase === "running") {
      this.running--
    }
  }

  uncount(entry: Entry): void {
    if (entry.counted) {
      entry.counted = false
      this.counted--
    }
  }

  /**
   * A new connection, perhaps to a server that forgot what we sent or never learned that it had delivered: it may never
   * confirm these verdicts, and nothing must wait for that.
   */
  reconnected(now: number): void {
    this.ended.reconnected(now)
    for (const entry of this.entries.all) {
      // What goes back comes back, and needs its room then: behind it, `upTo` may hold all the rest.
      if (entry.phase === "settled" && entry.settlement?._tag !== "Nak") {
        this.uncount(entry)
      }
    }
  }

  /** Forgets everything, because the sequences no longer mean the same messages. */
  reset(): void {
    this.entries.clear()
    this.ended.clear()
    this.bytes = 0
    this.counted = 0
    this.running = 0
  }

  /**
   * For `upTo`: everything settled below the lowest message that is not, in order of their sequences. One ack for the
   * last of them covers all.
   *
   * It ends where the consumer's own count would go back: a server hears no ack below one that it has heard, in either
   * sequence. So something delivered again is acknowledged with what had been delivered before that, and lies beyond it.
   */
  prefix(): Array<Entry> {
    let open = Number.POSITIVE_INFINITY
    for (const entry of this.entries.all) {
      if (!isDone(entry) && entry.delivery.streamSequence < open) {
        open = entry.delivery.streamSequence
      }
    }
    const covered: Array<Entry> = []
    let earliest = Number.POSITIVE_INFINITY
    for (const entry of this.entries.all) {
      if (isDone(entry) && entry.delivery.streamSequence < open) {
        covered.push(entry)
      } else if (entry.phase !== "returning" && !entry.stale) {
        earliest = Math.min(earliest, entry.consumerSequence)
      }
    }
    covered.sort((a, b) => a.delivery.streamSequence - b.delivery.streamSequence)
    for (let last = covered.at(-1); last !== undefined && last.consumerSequence > earliest; last = covered.at(-1)) {
      covered.pop()
    }
    return covered
  }
}

const isDone = ({ phase, stale }: Entry): boolean => phase === "settled" && !stale
