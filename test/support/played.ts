/**
 * An intake on a broker that the test plays: it sees what it is asked for, and answers when the test says so.
 */
import * as Effect from "effect/Effect"
import type { Entry } from "../../src/internal/inflight.ts"
import * as Intake from "../../src/internal/intake.ts"
import type { Port } from "../../src/internal/port.ts"
import type { Standing } from "../../src/internal/unseen.ts"
import type { Batch } from "../../src/internal/verdicts.ts"
import { Delivery } from "../../src/Message.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import type { Flow } from "../../src/Transport.ts"

export class Script implements Port {
  readonly pulls: Array<readonly [messages: number, bytes: number]> = []
  readonly batches: Array<Batch> = []
  /** Every verdict, as `sequence.delivery verdict`. */
  readonly written: Array<string> = []
  readonly extended: Array<ReadonlyArray<number>> = []
  stops = 0
  /** Called with every batch, once the test is over: then nothing must wait any more. */
  answer: ((id: number) => void) | undefined
  readonly pull = (messages: number, bytes: number): void => {
    this.pulls.push([messages, bytes])
  }
  readonly settle = (batch: Batch): void => {
    this.batches.push(batch)
    this.written.push(...batch.entries.map(said))
    this.answer?.(batch.id)
  }
  /** Whether it confirms renewals. */
  hearsRenewals = true
  readonly extend = (entries: ReadonlyArray<Entry>, id: number): void => {
    this.extended.push(entries.map((entry) => entry.delivery.streamSequence))
    if (this.hearsRenewals) {
      queueMicrotask(() => this.intake?.confirmed(id))
    }
  }
  /** How the consumer stands. `undefined`: the broker does not answer. */
  standing: Standing | undefined
  intake: Intake.Intake | undefined
  readonly inspect = (): void => {
    if (this.standing !== undefined) {
      this.intake?.learned(this.standing)
    }
  }
  readonly stop = Effect.sync(() => {
    this.stops++
  })
}

const said = ({ settlement, token }: Batch["entries"][number]): string => `${token} ${settlement?._tag}`

export const delivery = (
  streamSequence: number,
  options: { count?: number; nth?: number; subject?: string; at?: number; size?: number } = {}
) =>
  new Delivery({
    subject: options.subject ?? "s",
    payload: new Uint8Array(options.size ?? 9),
    headerBytes: new Uint8Array(0),
    stream: "S",
    consumer: "C",
    streamSequence,
    consumerSequence: options.nth ?? streamSequence,
    deliveryCount: options.count ?? 1,
    timestamp: options.at ?? 1,
    pending: 0,
    overheadBytes: 0
  })

export interface Options extends Partial<Flow> {
  readonly leaseMs?: number
  readonly pullBytesMin?: number
  /** Even when the test is over, the broker confirms nothing by itself. */
  readonly silent?: boolean
  /** How the consumer stands. Default: nothing is unanswered under `upTo`, else the broker does not answer. */
  readonly standing?: Standing
}

export const LEASE = 3_000

/** An intake on a script, connected. Verdicts are written when the turn ends: with `turn`. */
export const setup = (options: Options = {}) =>
  Effect.gen(function*() {
    const port = new Script()
    const deferred: Array<() => void> = []
    const intake = yield* Intake.open({
      labels: { stream: "S", consumer: "C" },
      flow: {
        queue: options.queue ?? Queue.suspend({ messages: 10, bytes: 10_000 }),
        ack: options.ack ?? { _tag: "onProcess" },
        timeBudgetMs: options.timeBudgetMs ?? 1_000_000
      },
      port,
      leaseMs: options.leaseMs ?? LEASE,
      pullBytesMin: options.pullBytesMin ?? 100,
      defer: (run) => {
        deferred.push(run)
      }
    })
    const turn = () => {
      for (const run of deferred.splice(0)) {
        run()
      }
    }
    const arrive = (...given: ReadonlyArray<Delivery>) => {
      for (const one of given) {
        intake.deliver(one, `${one.streamSequence}.${one.deliveryCount}`)
      }
    }
    const settle = (given: ReadonlyArray<Delivery>, settlement: Settlement.Settlement = Settlement.ack) =>
      intake.inlet.settle(given.map((one) => ({ delivery: one, settlement })))
    const confirmAll = () => {
      turn()
      for (const batch of port.batches) {
        intake.confirmed(batch.id)
      }
    }
    port.intake = intake
    const nothing = { ackFloor: 0, ackPending: 0, delivered: 0 }
    port.standing = options.standing ?? (options.ack?._tag === "upTo" ? nothing : undefined)
    intake.connected()
    if (options.silent !== true) {
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          port.answer = (id) => queueMicrotask(() => intake.confirmed(id))
          intake.connected()
        })
      )
    }
    return { port, intake, turn, arrive, settle, confirmAll, take: intake.inlet.take, ledger: intake.inlet.ledger }
  })

export const sequences = (given: ReadonlyArray<Delivery>) => given.map((one) => one.streamSequence)
export const many = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => delivery(from + i))
