/** Writes a run down: what readers do, what goes through the seam, and where a bound is passed. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Memory from "../../src/layers/Memory.ts"
import type { Delivery } from "../../src/Message.ts"
import type { ConnectionStatus, Inlet, Transport } from "../../src/Transport.ts"
import type { Happening } from "./happenings.ts"
import type { Closing, Event, Outcome } from "./history.ts"
import type { Group } from "./scenario.ts"
import { idOf } from "./stored.ts"

export interface Who {
  readonly group: Group
  readonly replica: number
}

interface Open extends Who {
  readonly inlet: Inlet
  closedAt: number
}

/** Why a delivery was terminated that nobody answered. */
const DELETED = "Unacknowledged message was deleted"
/** A delayed return outlives the reader that gave it back. */
const DELAYED_MS = 15_000

export class Recorder {
  readonly events: Array<Event> = []
  readonly closings: Array<Closing> = []
  readonly inlets: Array<Open> = []
  healed = false
  /** Handlers that run at this moment. */
  running = 0
  readonly #now: () => number
  readonly #away = new Map<string, { count: number; backAt: number }>()
  /** The most readers of a group at once. */
  readonly #most = new Map<string, number>()
  readonly #taken = new WeakMap<Delivery, number>()
  /** By reader and the consumer's count: behind a port, what a reader gets is another object. */
  readonly #given = new Map<string, number>()
  readonly #done = new Map<string, Set<number>>()
  readonly #sequences = new Map<number, readonly [group: Group, sequence: number]>()
  #calls = 0
  /** What befalls everybody at this moment, and when that was last over. */
  #everywhere = 0
  #everywhereAt = Number.NEGATIVE_INFINITY
  #purged = false
  /** Whose consumers were deleted, and made anew. */
  readonly #replaced = new Set<string>()

  constructor(now: () => number) {
    this.#now = now
  }

  get now(): number {
    return this.#now()
  }

  get lastAt(): number {
    return this.events.at(-1)?.at ?? 0
  }

  /** What the readers of a group hold at this moment. */
  held(group: Group): number {
    return this.inlets.reduce(
      (sum, one) => one.group === group && one.closedAt > this.now ? sum + one.inlet.ledger().held : sum,
      0
    )
  }

  /** How many the strategy of a group's queue has displaced. */
  displaced(group: Group): number {
    return this.inlets.reduce((sum, one) => one.group === group ? sum + one.inlet.ledger().displaced : sum, 0)
  }

  began({ group, replica }: Who, delivery: Delivery, job: { readonly id: string; readonly key: string }): number {
    const call = ++this.#calls
    this.running++
    this.#sequences.set(call, [group, delivery.streamSequence])
    this.events.push({
      _tag: "began",
      at: this.now,
      group: group.name,
      replica,
      call,
      sequence: delivery.streamSequence,
      delivery: delivery.deliveryCount,
      id: job.id,
      key: job.key,
      givenAt: this.#given.get(handed({ group, replica }, delivery)) ?? this.now,
      takenAt: this.#taken.get(delivery) ?? this.now,
      swallowed: this.#swallowed({ group, replica })
    })
    return call
  }

  ended(call: number, outcome: Outcome): void {
    this.running--
    const [group, sequence] = this.#sequences.get(call)!
    if (outcome === "ok") {
      this.done(group).add(sequence)
    }
    this.events.push({ _tag: "ended", at: this.now, call, outcome })
  }

  givenUp({ group, replica }: Who, delivery: Delivery, why: string, attempts: number): void {
    const { streamSequence: sequence } = delivery
    this.done(group).add(sequence)
    this.events.push({ _tag: "givenUp", at: this.now, group: group.name, replica, sequence, attempts, why })
  }

  /** What a group has done, or given up. */
  done(group: Group): Set<number> {
    const done = this.#done.get(group.name) ?? new Set<number>()
    this.#done.set(group.name, done)
    return done
  }

  status({ group, replica }: Who, status: ConnectionStatus["_tag"]): void {
    this.events.push({ _tag: "status", at: this.now, group: group.name, replica, status })
  }

  left({ group, replica }: Who, leased: number): void {
    this.events.push({ _tag: "left", at: this.now, group: group.name, replica, leased })
  }

  /** Something befalls the broker. */
  happened(happening: Happening): void {
    const group = "consumer" in happening ? happening.consumer : undefined
    this.events.push({ _tag: "happened", at: this.now, what: happening.what, group })
    this.#purged ||= happening.what === "purge"
    if (group !== undefined) {
      this.#replaced.add(group)
    }
    if ("forMs" in happening) {
      this.#everywhere++
    }
  }

  /** What lasted is over. */
  over(happening: Happening): void {
    this.events.push({ _tag: "over", at: this.now, what: happening.what })
    this.#everywhere--
    this.#everywhereAt = this.now
  }

  /** What the broker says of its own accord. */
  listen({ advisories }: Memory.Broker["Service"], groups: ReadonlyArray<Group>): Effect.Effect<void> {
    const upTo = new Set(groups.flatMap(({ name, policy }) => policy._tag === "upTo" ? [name] : []))
    return Stream.runForEach(advisories, (advisory) =>
      Effect.sync(() => {
        if (advisory._tag === "Terminated" && advisory.reason === DELETED && upTo.has(advisory.consumer)) {
          const { at, consumer, sequence } = advisory
          this.events.push({ _tag: "covered", at, group: consumer, upTo: sequence })
        }
      }))
  }

  /** A publisher's transport, under its faults: what it confirms is stored. */
  publishing(transport: Transport["Service"]): Transport["Service"] {
    return {
      ...transport,
      publish: (batch) =>
        Effect.tap(transport.publish(batch), (receipts) =>
          Effect.sync(() => {
            receipts.forEach((receipt, index) => {
              if (receipt._tag === "Confirmed" && !receipt.duplicate) {
                const { payload, subject } = batch[index]!
                const { sequence } = receipt
                this.events.push({ _tag: "written", at: this.now, sequence, id: idOf(payload), subject })
              }
            })
          }))
    }
  }

  /** A connection whose cuts are written down. */
  connection({ group, replica }: Who, connection: Memory.Connection): Memory.Connection {
    const note = (_tag: "cut" | "back") =>
      Effect.sync(() => {
        const what = { at: this.now, group: group.name, replica }
        const swallowed = this.#swallowed({ group, replica })
        this.events.push(_tag === "cut" ? { _tag, ...what, swallowed } : { _tag, ...what })
        const away = this.#away.get(group.name) ?? { count: 0, backAt: 0 }
        away.count += _tag === "cut" ? 1 : -1
        away.backAt = this.now
        this.#away.set(group.name, away)
      })
    return {
      transport: this.#giving({ group, replica }, connection.transport),
      disconnect: Effect.andThen(note("cut"), connection.disconnect),
      reconnect: Effect.andThen(connection.reconnect, note("back"))
    }
  }

  /** A transport whose inlets are written down. */
  transport(who: Who, transport: Transport["Service"]): Transport["Service"] {
    return {
      ...transport,
      open: (source, flow) =>
        Effect.gen({ self: this }, function*() {
          const open: Open = { ...who, inlet: undefined as never, closedAt: Number.POSITIVE_INFINITY }
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => {
              open.closedAt = this.now
              this.#note("closed", who)
            })
          )
          const inlet = yield* transport.open(source, flow)
          yield* Effect.addFinalizer(() => Effect.sync(() => this.#note("closing", who)))
          Object.assign(open, { inlet })
          this.inlets.push(open)
          this.#note("opened", who)
          return {
            ...inlet,
            take: (max) =>
              Effect.map(inlet.take(max), (taken) => {
                for (const delivery of taken) {
                  this.#taken.set(delivery, this.now)
                }
                return taken
              }),
            stop: Effect.suspend(() => inlet.stop),
            holds: inlet.holds,
            ledger: inlet.ledger,
            settle: (verdicts) =>
              Effect.suspend(() => {
                for (const { delivery: { streamSequence: sequence }, settlement } of verdicts) {
                  const [at, group, verdict] = [this.now, who.group.name, settlement._tag]
                  this.events.push({ _tag: "verdict", at, group, replica: who.replica, sequence, verdict })
                }
                return inlet.settle(verdicts)
              })
          } satisfies Inlet
        })
    }
  }

  /** Looks whether anybody holds more than may be. */
  watch(group: Group, ackPending: number): void {
    const { messages } = group.queue
    const mine = this.inlets.filter((open) => open.group === group)
    for (const { closedAt, inlet, replica } of mine) {
      const { held } = inlet.ledger()
      if (closedAt > this.now && held > messages) {
        this.#bound(group, `replica ${replica} holds ${held} of ${messages}`)
      }
    }
    // Behind a gap, `upTo` keeps what it has settled, and it does not count all of that.
    if (group.policy._tag === "upTo") {
      return
    }
    if (this.#everywhere > 0 || this.now - this.#everywhereAt < group.ackWaitMs + 1_000) {
      return
    }
    // What a reader left behind while it was cut off counts until its leases are over.
    const away = this.#away.get(group.name)
    const grace = group.ackWaitMs + 1_000
    if (away !== undefined && (away.count > 0 || this.now - away.backAt < grace)) {
      return
    }
    // What was handed back counts until somebody takes it, so the most readers at once are what matters.
    const open = mine.filter(({ closedAt }) => closedAt + grace + DELAYED_MS >= this.now).length
    const most = Math.max(open, this.#most.get(group.name) ?? 0)
    this.#most.set(group.name, most)
    // After a cut, what was settled meanwhile holds no room any more, and the broker may not have heard of it. To a consumer
    // that is made anew every reader is like that: it delivers what is done already, and hears only then that it is.
    // A purge raises the floor above what is delivered by then, and a server hears no nak below it, and forgets those
    // that are due: what is given back counts until its lease is over, and then until there is room for it.
    const isCertain = away === undefined && this.#everywhereAt < 0 && !this.#purged && !this.#replaced.has(group.name)
    const times = isCertain ? 1 : 2
    if (ackPending > messages * most * times) {
      this.#bound(group, `the broker waits for ${ackPending}, and ${most} readers may hold ${messages} each`)
    }
  }

  /** Below all faults: when the layer gave a delivery away. From then on it counts as being worked on. */
  #giving(who: Who, transport: Transport["Service"]): Transport["Service"] {
    return {
      ...transport,
      open: (source, flow) =>
        Effect.map(transport.open(source, flow), (inlet) => ({
          ...inlet,
          take: (max) =>
            Effect.map(inlet.take(max), (taken) => {
              for (const delivery of taken) {
                this.#given.set(handed(who, delivery), this.now)
              }
              return taken
            })
        }))
    }
  }

  #swallowed({ group, replica }: Who): number {
    const mine = this.inlets.filter((open) => open.group === group && open.replica === replica)
    return mine.reduce((sum, { inlet }) => sum + inlet.ledger().swallowed, 0)
  }

  #bound(group: Group, what: string): void {
    this.events.push({ _tag: "bound", at: this.now, group: group.name, what })
  }

  #note(_tag: "opened" | "closing" | "closed", { group, replica }: Who): void {
    this.events.push({ _tag, at: this.now, group: group.name, replica })
  }
}

const handed = ({ group, replica }: Who, { consumerSequence, streamSequence, timestamp }: Delivery): string =>
  [group.name, replica, consumerSequence, streamSequence, timestamp].join()
