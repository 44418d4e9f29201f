/**
 * Counts what a reader does: for its ledger, and for the metrics.
 */
import type * as Context from "effect/Context"
import type * as Metric from "effect/Metric"
import * as Metrics from "../../Metrics.ts"
import type * as Transport from "../../Transport.ts"
import type { Ledger } from "./options.ts"

type Inlets = Omit<Transport.Ledger, "held">

const zero: Inlets = { delivered: 0, settled: 0, displaced: 0, returned: 0, lost: 0, swallowed: 0, unconfirmed: 0 }

const add = (a: Inlets, b: Inlets): Inlets => ({
  delivered: a.delivered + b.delivered,
  settled: a.settled + b.settled,
  displaced: a.displaced + b.displaced,
  returned: a.returned + b.returned,
  lost: a.lost + b.lost,
  swallowed: a.swallowed + b.swallowed,
  unconfirmed: a.unconfirmed + b.unconfirmed
})

export class Tally {
  /** Verdicts handed over, by kind. */
  acked = 0
  naked = 0
  termed = 0
  processed = 0
  retried = 0
  rejected = 0
  failed = 0
  deadLettered = 0
  dropped = 0
  /** Handed back by the reader, not by the inlet. */
  returned = 0
  abandoned = 0
  /** Observes how long a handler ran, in seconds. */
  readonly ran: (seconds: number) => void
  /** What the inlets before the present one did. */
  #before = zero
  #inlet: Transport.Inlet | undefined
  readonly #metrics: ReadonlyArray<readonly [read: (inlets: Inlets) => number, update: (value: number) => void]>
  readonly #written: Array<number>
  readonly #updateHeld: (value: number) => void
  #held = 0

  constructor(labels: Metrics.Labels, context: Context.Context<never>) {
    const metrics = Metrics.reader(labels)
    const { outcomes } = metrics
    this.ran = Metrics.updater(metrics.handlerSeconds, context)
    this.#updateHeld = (change) => metrics.held.modifyUnsafe(change, context)
    const counters: ReadonlyArray<readonly [(inlets: Inlets) => number, Metric.Counter<number>]> = [
      [(inlets) => inlets.delivered, metrics.delivered],
      [() => this.acked, metrics.acked],
      [() => this.naked, metrics.naked],
      [() => this.termed, metrics.termed],
      [() => this.processed, outcomes.processed],
      [() => this.retried, outcomes.retried],
      [() => this.rejected, outcomes.rejected],
      [() => this.failed, outcomes.failed],
      [() => this.abandoned, outcomes.abandoned],
      [() => this.deadLettered, outcomes.deadLettered],
      [() => this.dropped, outcomes.dropped],
      [(inlets) => inlets.returned + this.returned, metrics.returned],
      [(inlets) => inlets.displaced, metrics.displaced],
      [(inlets) => inlets.lost, metrics.lost],
      [(inlets) => inlets.swallowed, metrics.swallowed]
    ]
    this.#metrics = counters.map(([read, metric]) => [read, Metrics.updater(metric, context)])
    this.#written = this.#metrics.map(() => 0)
  }

  /** Goes on with another inlet. */
  attach(inlet: Transport.Inlet): void {
    this.#inlet = inlet
  }

  get isAttached(): boolean {
    return this.#inlet !== undefined
  }

  /** The present inlet is closed, and its numbers are final. */
  detach(): void {
    this.#before = this.#inlets
    this.#inlet = undefined
    this.sync()
  }

  get #inlets(): Inlets {
    return this.#inlet === undefined ? this.#before : add(this.#before, this.#inlet.ledger())
  }

  readonly ledger = (): Ledger => {
    const inlets = this.#inlets
    return {
      delivered: inlets.delivered,
      // The inlet counts every verdict alike; handing back is none that a handler's outcome gave.
      finished: inlets.settled - this.returned - this.abandoned,
      returned: inlets.returned + this.returned,
      abandoned: this.abandoned,
      lost: inlets.lost,
      swallowed: inlets.swallowed,
      displaced: inlets.displaced,
      unconfirmed: inlets.unconfirmed,
      processed: this.processed,
      retried: this.retried,
      rejected: this.rejected,
      failed: this.failed,
      deadLettered: this.deadLettered,
      dropped: this.dropped
    }
  }

  /** Brings the metrics up to date: once per batch of verdicts, not once per message. */
  sync(): void {
    const inlets = this.#inlets
    this.#metrics.forEach(([read, update], i) => {
      const value = read(inlets)
      if (value !== this.#written[i]) {
        update(value - (this.#written[i] as number))
        this.#written[i] = value
      }
    })
    const held = this.#inlet?.ledger().held ?? 0
    if (held !== this.#held) {
      this.#updateHeld(held - this.#held)
      this.#held = held
    }
  }
}
