/**
 * Publishes, each confirmed by its stream, through our own reply inbox and one map of pending acks: no promise, timer or
 * error object per message. What is in flight is bounded in messages and bytes; callers wait beyond that (I10, I11).
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Outgoing } from "../../Message.ts"
import type { Receipt } from "../../Transport.ts"
import { Closed, Disconnected, PermissionDenied, type Reason, TimedOut } from "../../TransportError.ts"
import { prepare } from "../outgoing.ts"
import { Sequences } from "../sequences.ts"
import { Frames } from "./frames.ts"
import type { Raw } from "./raw.ts"
import { Receipts } from "./receipts.ts"
import type { Supervisor, Tenant } from "./supervisor.ts"

export interface Window {
  readonly messages: number
  readonly bytes: number
  /** How long one publish waits for its confirmation, in ms. */
  readonly ackWithinMs: number
  /** How long publishes wait for a connection before they end as not sent, in ms. */
  readonly connectWithinMs: number
}

/** What one caller gave, and what became of it so far. */
interface Batch {
  readonly messages: NonEmptyReadonlyArray<Outgoing>
  readonly receipts: Array<Receipt>
  readonly resume: (effect: Effect.Effect<NonEmptyReadonlyArray<Receipt>>) => void
  next: number
  open: number
}

class Pending {
  readonly number: number
  readonly batch: Batch
  readonly index: number
  readonly bytes: number
  readonly sentAt: number

  constructor(number: number, batch: Batch, index: number, bytes: number, sentAt: number) {
    this.number = number
    this.batch = batch
    this.index = index
    this.bytes = bytes
    this.sentAt = sentAt
  }
}

const SWEEP_MS = 100
const CLOSE_WITHIN_MS = 1_000

export class Publishes implements Tenant {
  readonly #supervisor: Supervisor
  readonly #inbox: string
  readonly #window: Window
  readonly #clock: Clock.Clock
  readonly #receipts = new Receipts()
  /** By the number at the end of the address that its confirmation goes to. */
  readonly #pending = new Sequences<Pending>()
  /** First come, first served. No set: what comes to one and leaves it is kept from being collected (`sequences.ts`). */
  #unsent: Array<Batch> = []
  #bytes = 0
  #last = 0
  #pumpsSoon = false
  #downSince = 0
  /** Why nothing can be published any more, or not on this connection. */
  #over: Reason | undefined
  #deaf: Reason | undefined

  private constructor(supervisor: Supervisor, inbox: string, window: Window, clock: Clock.Clock) {
    this.#supervisor = supervisor
    this.#inbox = inbox
    this.#window = window
    this.#clock = clock
  }

  static make(supervisor: Supervisor, inbox: string, window: Window): Effect.Effect<Publishes, never, Scope.Scope> {
    return Effect.gen(function*() {
      const publishes = new Publishes(supervisor, inbox, window, yield* Clock.Clock)
      yield* supervisor.join(publishes)
      yield* Effect.addFinalizer(() => publishes.#close)
      yield* Effect.sync(() => publishes.#sweep()).pipe(
        Effect.andThen(Effect.sleep(SWEEP_MS)),
        Effect.forever,
        Effect.forkScoped
      )
      return publishes
    })
  }

  readonly up = (link: Supervisor["link"]): void => {
    this.#deaf = undefined
    link.subscribe(`${this.#inbox}.*`, (raw) => this.#acked(raw), true)
    this.#pump()
  }

  /** What was on its way may or may not have been stored; what was not begun waits for the next connection. */
  readonly down = (reason: Reason): void => {
    this.#downSince = this.#now()
    this.#endPending(new Disconnected({ detail: reason.problem }))
  }

  /** There will be no connection any more: nobody may wait for one. */
  readonly gone = (reason: Reason): void => {
    this.#over = reason
    this.#endUnsent(reason)
  }

  /** What is on its way gets a moment to be confirmed; then nobody waits any more, because nobody will answer. */
  get #close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.gone(new Closed({}))
      const answered = Effect.sleep(10).pipe(Effect.repeat({ while: () => this.#pending.size > 0 }))
      return this.#pending.size === 0 ? Effect.void : Effect.timeoutOption(answered, CLOSE_WITHIN_MS)
    }).pipe(Effect.andThen(Effect.sync(() => this.#endPending(new Closed({})))))
  }

  readonly denied = (action: "publish" | "subscribe", subject: string): void => {
    const reason = new PermissionDenied({ action, subject })
    if (subject.startsWith(`${this.#inbox}.`)) {
      // No confirmation can reach us: what was sent may be stored, and nothing more is sent.
      this.#deaf = reason
      this.#endPending(reason)
      this.#endUnsent(reason)
      return
    }
    const receipt: Receipt = { _tag: "NotSent", reason }
    for (const pending of this.#pending.all) {
      if (pending.batch.messages[pending.index]?.subject === subject) {
        this.#end(pending, receipt)
      }
    }
  }

  readonly publish = (
    messages: NonEmptyReadonlyArray<Outgoing>
  ): Effect.Effect<NonEmptyReadonlyArray<Receipt>> =>
    Effect.callback((resume) => {
      const receipts: Array<Receipt> = []
      const hopeless = this.#over ?? this.#deaf
      if (hopeless !== undefined) {
        const receipt: Receipt = { _tag: "NotSent", reason: hopeless }
        resume(Effect.succeed(messages.map(() => receipt) as unknown as NonEmptyReadonlyArray<Receipt>))
        return
      }
      const batch: Batch = { messages, receipts, resume, next: 0, open: messages.length }
      this.#unsent.push(batch)
      this.#pump()
      return Effect.sync(() => {
        this.#unsent = this.#unsent.filter((other) => other !== batch)
      })
    })

  #now(): number {
    return this.#clock.currentTimeMillisUnsafe()
  }

  /** Sends what waits, first come first served, as far as the window allows. */
  #pump(): void {
    const frames = new Frames()
    this.#fill(frames)
    if (!frames.isEmpty) {
      this.#supervisor.link.write(frames.bytes)
    }
  }

  /** Once for all confirmations that have come together. */
  #pumpSoon(): void {
    if (this.#unsent.length > 0 && !this.#pumpsSoon) {
      this.#pumpsSoon = true
      queueMicrotask(() => {
        this.#pumpsSoon = false
        this.#pump()
      })
    }
  }

  #fill(frames: Frames): void {
    const now = this.#now()
    for (let batch = this.#unsent[0]; batch !== undefined; batch = this.#unsent[0]) {
      while (batch.next < batch.messages.length) {
        if (!this.#supervisor.isUp || this.#pending.size >= this.#window.messages) {
          return
        }
        const index = batch.next
        const message = batch.messages[index] as Outgoing
        const prepared = prepare(message, this.#supervisor.link.maxPayload)
        if ("reason" in prepared) {
          batch.next++
          this.#receive(batch, index, { _tag: "NotSent", reason: prepared.reason })
          continue
        }
        // A single message may be larger than the window; then it travels alone.
        if (this.#pending.size > 0 && this.#bytes + prepared.bytes > this.#window.bytes) {
          return
        }
        batch.next++
        const number = ++this.#last
        this.#pending.set(number, new Pending(number, batch, index, prepared.bytes, now))
        this.#bytes += prepared.bytes
        const { header, headerLength } = prepared
        frames.add(message.subject, `${this.#inbox}.${number}`, header, headerLength, message.payload)
      }
      // A receipt may have let its caller publish more, and that sent what was left of this one.
      if (this.#unsent[0] === batch) {
        this.#unsent.shift()
      }
    }
  }

  #acked(raw: Raw): void {
    const pending = this.#pending.get(raw.number)
    if (pending !== undefined) {
      const message = pending.batch.messages[pending.index] as Outgoing
      this.#end(pending, this.#receipts.read(raw, message))
      this.#pumpSoon()
    }
  }

  #end(pending: Pending, receipt: Receipt): void {
    this.#pending.delete(pending.number)
    this.#bytes -= pending.bytes
    this.#receive(pending.batch, pending.index, receipt)
  }

  #receive(batch: Batch, index: number, receipt: Receipt): void {
    batch.receipts[index] = receipt
    if (--batch.open === 0) {
      batch.resume(Effect.succeed(batch.receipts as unknown as NonEmptyReadonlyArray<Receipt>))
    }
  }

  #sweep(): void {
    const now = this.#now()
    for (const pending of this.#pending.all) {
      if (now - pending.sentAt >= this.#window.ackWithinMs) {
        const reason = new TimedOut({ operation: "publish", millis: this.#window.ackWithinMs })
        this.#end(pending, { _tag: "Ambiguous", reason })
      }
    }
    if (!this.#supervisor.isUp && now - this.#downSince >= this.#window.connectWithinMs) {
      this.#endUnsent(new Disconnected({ detail: "there was no connection to send it on" }))
    }
    this.#pump()
  }

  #endPending(reason: Reason): void {
    const receipt: Receipt = { _tag: "Ambiguous", reason }
    for (const pending of this.#pending.all) {
      this.#end(pending, receipt)
    }
  }

  #endUnsent(reason: Reason): void {
    for (let batch = this.#unsent.shift(); batch !== undefined; batch = this.#unsent.shift()) {
      while (batch.next < batch.messages.length) {
        this.#receive(batch, batch.next++, { _tag: "NotSent", reason })
      }
    }
  }
}
