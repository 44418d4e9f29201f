/** A program from a seed: the same seed, the same program. */
import * as Settlement from "../../src/Settlement.ts"
import { Dice } from "../simulation/dice.ts"
import * as Flows from "./flows.ts"
import { type Guess as Reader, hasMore, holds } from "./guesses.ts"
import type { Expected, Operation, Program, Reads, Sent, Step } from "./program.ts"
import { Timeline } from "./timeline.ts"
import * as Topologies from "./topology.ts"

export const make = (seed: number): Program => {
  const dice = new Dice(seed * 2_654_435_761)
  const kind = dice.pick(["still", "still", "still", "leases", "leases", "delays", "delays", "ages"] as const)
  const stream = Topologies.stream(dice, kind)
  const consumers = Array.from({ length: dice.int(1, 2) }, (_, index) => Topologies.consumer(dice, kind, stream, index))
  const maker = new Maker(dice, { seed, kind, stream, consumers })
  return { seed, kind, stream, consumers, steps: maker.steps(), endMs: maker.end() }
}

// internals

type Declared = Omit<Program, "steps" | "endMs">

const READERS = 3
const STEPS_MIN = 10
const STEPS_MAX = 30
/** A limit of age is enforced by a timer that does not run more often than this; and one of its own runs late. */
const AGE_LATE_MS = 700
/** A delayed return may find the reader full, which then asks again at its next tick. */
const RETURN_LATE_MS = 400
/** For so long a reader waits for a stream to come back. */
const STREAM_AWAY_MS = 2_000
const EARLY_MS = 500
const LONGEST_MS = 25_000
const END_MS = 800
const END_WITHOUT_STREAM_MS = 3_500
const LONG_MS = 60 * 60_000

/** What it makes depends on what it made: it keeps count of what is open, roughly. */
class Maker {
  readonly #dice: Dice
  readonly #program: Declared
  readonly #timeline = new Timeline()
  readonly #steps: Array<Step> = []
  readonly #readers: Array<Reader | undefined> = Array.from({ length: READERS }, () => undefined)
  readonly #made: Array<boolean>
  readonly #ids: Array<string> = []
  #messages = 0
  #cut = false
  #streamIsThere = true

  constructor(dice: Dice, program: Declared) {
    this.#dice = dice
    this.#program = program
    this.#made = program.consumers.map(() => false)
  }

  steps(): ReadonlyArray<Step> {
    const count = this.#dice.int(STEPS_MIN, STEPS_MAX)
    while (this.#steps.length < count) {
      const at = this.#timeline.quiet()
      if (at === undefined || at > LONGEST_MS) {
        break
      }
      this.#timeline.at = at
      const operation = this.#next()
      if (operation !== undefined) {
        this.#effects(operation)
        this.#steps.push({ atMs: at, operation })
        this.#timeline.take(at)
      }
    }
    return this.#steps
  }

  /** Everybody knows by then whatever there is to know. */
  end(): number | undefined {
    const least = (this.#steps.at(-1)?.atMs ?? 0) + (this.#streamIsThere ? END_MS : END_WITHOUT_STREAM_MS)
    return this.#timeline.quiet(least)
  }

  /** What comes next, if it can come here. */
  #next(): Operation | undefined {
    const { consumers, kind } = this.#program
    const some = (is: (reader: Reader) => boolean) => this.#readers.some((reader) => reader !== undefined && is(reader))
    const missing = this.#made.findIndex((made, index) => !made && this.#mayMake(index))
    if (missing >= 0 && this.#streamIsThere && !this.#cut && this.#dice.chance(this.#steps.length < 2 ? 0.5 : 0.2)) {
      this.#made[missing] = true
      return { _tag: "createConsumer", consumer: missing }
    }
    const choices: Array<readonly [weight: number, make: () => Operation | undefined]> = [
      [some(hasMore) ? 14 : 30, () => this.#publish()],
      [some(() => true) ? 6 : 40, () => this.#open()],
      [some(hasMore) ? 34 : 2, () => this.#take()],
      [some(holds) ? 34 : 1, () => this.#settle()],
      [2, () => this.#reader() === undefined ? undefined : { _tag: "check", reader: this.#reader()! }],
      [some(holds) ? 4 : 1, () => this.#close()],
      [1, () => this.#stop()],
      [this.#cut ? 16 : 3, () => this.#cutOrMend()],
      [kind === "still" ? 3 : 12, () => this.#wait()],
      [0.5, () => this.#delete(consumers.length)],
      [1.5, () => this.#remove()],
      [this.#streamIsThere && this.#steps.length >= STEPS_MIN ? 1.5 : 0, () => this.#deleteStream()]
    ]
    let point = this.#dice.next() * choices.reduce((sum, [weight]) => sum + weight, 0)
    return choices.find(([weight]) => (point -= weight) < 0)?.[1]()
  }

  /** What happens later because of it. */
  #effects(operation: Operation): void {
    const { consumers, kind, stream } = this.#program
    if (operation._tag === "publish" && stream.maxAgeMs > 0) {
      this.#timeline.expect(stream.maxAgeMs, { lateMs: AGE_LATE_MS })
    }
    if (operation._tag === "publish" && kind === "ages" && stream.duplicateWindowMs < LONG_MS) {
      this.#timeline.expect(stream.duplicateWindowMs, { lateMs: 200 })
    }
    if (operation._tag === "settle" && operation.settlement._tag === "Nak" && operation.settlement.delayMs > 0) {
      this.#timeline.expect(operation.settlement.delayMs, { lateMs: RETURN_LATE_MS })
    }
    if (!this.#streamIsThere) {
      // Whoever learns of it now, gives up then.
      this.#timeline.expect(STREAM_AWAY_MS - EARLY_MS, { lateMs: 2 * EARLY_MS })
    }
    const delivers = ["publish", "open", "settle", "mend", "close", "take"].includes(operation._tag)
    if (kind === "leases" && delivers && this.#readers.some((reader) => reader !== undefined && reader.consumer >= 0)) {
      for (const wait of new Set(consumers.map((consumer) => consumer.ackWaitMs))) {
        this.#timeline.expect(wait, { again: true })
      }
    }
  }

  // operations

  #publish(): Operation {
    const messages = Array.from({ length: this.#dice.int(1, 3) }, () => this.#message())
    this.#more(messages.length)
    return { _tag: "publish", messages, away: this.#cut || this.#dice.chance(0.1) }
  }

  #message(): Sent {
    const dice = this.#dice
    const repeated = this.#ids.length > 0 && dice.chance(0.12)
    const number = ++this.#messages
    const id = repeated ? dice.pick(this.#ids) : `m${number}`
    this.#ids.push(id)
    return {
      rest: dice.pick(Topologies.RESTS),
      id,
      text: `${number}${".".repeat(dice.chance(0.2) ? dice.int(1, 200) : 0)}`,
      headers: dice.chance(0.15) ? { Color: dice.pick(["red", "blue, green", ""]), "X-N": String(number) } : {},
      expect: dice.chance(0.12) ? this.#expectation() : undefined,
      oversized: dice.chance(0.02)
    }
  }

  #expectation(): Expected {
    const off = this.#dice.chance(0.7) ? 0 : this.#dice.pick([-1, 1])
    switch (this.#dice.pick(["stream", "lastSequence", "lastSubjectSequence"] as const)) {
      case "stream":
        return { _tag: "stream", right: off === 0 }
      case "lastSequence":
        return { _tag: "lastSequence", off }
      case "lastSubjectSequence":
        return { _tag: "lastSubjectSequence", off }
    }
  }

  #open(): Operation | undefined {
    const reader = this.#readers.indexOf(undefined)
    if (this.#cut || reader < 0 || !this.#streamIsThere) {
      return undefined
    }
    const reads = this.#reads()
    if (reads === undefined) {
      return undefined
    }
    const durable = reads._tag === "durable"
    const { filters } = durable ? this.#program.consumers[reads.consumer]! : reads
    const part = filters.length === 0 || filters.includes(">") ? 1 : 0.4
    this.#readers[reader] = {
      consumer: durable ? reads.consumer : -1,
      ordered: reads._tag === "ordered",
      stopped: false,
      there: part * this.#messages,
      held: 0,
      part
    }
    if (durable && reads.create !== "no") {
      this.#made[reads.consumer] = true
    }
    const acksAll = durable && this.#acksAll(reads.consumer)
    return {
      _tag: "open",
      reader,
      reads,
      policy: Flows.policy(this.#dice, acksAll),
      queue: Flows.queue(this.#dice, acksAll),
      timeBudgetMs: this.#program.kind === "leases" ? 0 : LONG_MS
    }
  }

  /** One reader per consumer: in which order the pulls of several reach a server is for nobody to say. */
  #reads(): Reads | undefined {
    const dice = this.#dice
    const free = this.#program.consumers.flatMap((_, index) =>
      this.#readers.some((reader) => reader?.consumer === index) || !this.#mayMake(index) ? [] : [index]
    )
    if (dice.chance(0.2) || free.length === 0) {
      const start = Topologies.start(dice, this.#program.stream, Math.floor(this.#messages / 2))
      return { _tag: dice.pick(["ephemeral", "ordered"]), filters: Topologies.filters(dice), start }
    }
    const consumer = dice.pick(free)
    const create = this.#made[consumer] === true
      ? dice.pick(["no", "no", "yes", "yes", dice.chance(0.2) ? "other" : "yes"] as const)
      : dice.chance(0.05)
      ? "no"
      : "yes"
    return { _tag: "durable", consumer, create }
  }

  /** A consumer that begins farther on than the stream reaches is counted wrong by a server, in its own ways. */
  #mayMake(index: number): boolean {
    const start = this.#program.consumers[index]?.start
    return start?._tag !== "sequence" || this.#messages >= 2 * start.sequence + 2
  }

  /** Whether one ack of this consumer is for a prefix. */
  #acksAll(consumer: number): boolean {
    return this.#program.consumers[consumer]?.ack === "all"
  }

  #reader(wants: (reader: Reader) => boolean = () => true): number | undefined {
    const found = this.#readers.flatMap((reader, index) => reader !== undefined && wants(reader) ? [index] : [])
    return found.length === 0 ? undefined : this.#dice.pick(found)
  }

  #take(): Operation | undefined {
    const reader = this.#reader(hasMore) ?? this.#reader(({ there }) => there > 0) ?? this.#reader()
    // With leases that end, everything is taken at once: in the queue they are renewed, by a tick's own time.
    const max = this.#program.kind === "leases" ? 100 : this.#dice.pick([1, 2, 3, 10, 10])
    if (reader === undefined) {
      return undefined
    }
    const one = this.#readers[reader]!
    one.held += Math.min(one.there, max)
    one.there -= Math.min(one.there, max)
    return { _tag: "take", reader, max }
  }

  #settle(): Operation | undefined {
    const dice = this.#dice
    const reader = this.#reader(holds) ?? this.#reader()
    if (reader === undefined) {
      return undefined
    }
    const settlement = this.#settlement()
    if (this.#cut && settlement?._tag === "Nak") {
      // Reconnected, the pull that goes out next may reach the consumer before what was given back.
      return undefined
    }
    if (settlement === undefined || (settlement._tag === "Nak" && this.#acksAll(this.#readers[reader]!.consumer))) {
      // Under `upTo`, what goes back and the pull that asks for it may reach the consumer in either order.
      return undefined
    }
    const count = dice.pick([1, 1, 2, 3, 10])
    const stale = dice.chance(0.06)
    const one = this.#readers[reader]!
    const settled = stale ? 0 : Math.min(one.held, count)
    one.held -= settled
    one.there += settlement._tag === "Nak" ? settled : 0
    return { _tag: "settle", reader, pick: dice.chance(0.7) ? 0 : dice.int(0, 3), count, settlement, stale }
  }

  /** Something may come. */
  #more(count: number): void {
    for (const reader of this.#readers) {
      if (reader !== undefined) {
        reader.there += reader.part * count
      }
    }
  }

  #settlement(): Settlement.Settlement | undefined {
    const { kind } = this.#program
    switch (
      this.#dice.pick(["ack", "ack", "ack", "nak", "nak", kind === "delays" ? "delay" : "ack", "term"] as const)
    ) {
      case "ack":
        return Settlement.ack
      case "nak":
        return Settlement.nak()
      case "term":
        return Settlement.term("no")
      case "delay":
        return this.#delayed()
    }
  }

  #delayed(): Settlement.Settlement | undefined {
    if (this.#program.kind !== "delays") {
      return undefined
    }
    const delays = [500, 1_000, 1_500, 2_000].filter((delay) => {
      const due = this.#timeline.at + delay
      return !this.#timeline.happens(due - 150, due + RETURN_LATE_MS)
    })
    return delays.length === 0 ? undefined : Settlement.nak(this.#dice.pick(delays))
  }

  #stop(): Operation | undefined {
    const reader = this.#cut ? undefined : this.#reader((one) => !one.stopped)
    if (reader === undefined) {
      return undefined
    }
    this.#readers[reader]!.stopped = true
    return { _tag: "stop", reader }
  }

  /** Not while cut off: how long a reader waits for a connection then is its own affair. */
  #close(): Operation | undefined {
    // Nor with a limit of deliveries: which of those given back are spent, depends on when a server forgets the pulls.
    const limited = (one: Reader) => (this.#program.consumers[one.consumer]?.maxDeliver ?? -1) > 0
    const reader = this.#cut ? undefined : this.#reader((one) => !limited(one))
    if (reader === undefined) {
      return undefined
    }
    this.#readers[reader] = undefined
    return { _tag: "close", reader }
  }

  /**
   * Not where one ack for a prefix meets what comes again on the next connection: how far it may go depends on whether
   * the reader has seen that before it learns how its consumer stands.
   */
  #cutOrMend(): Operation | undefined {
    const { kind } = this.#program
    const again = kind === "leases" || kind === "delays"
    if (!this.#cut && !this.#streamIsThere) {
      // How long a reader goes on asking for a stream that is gone, when it is cut off meanwhile, is its own affair.
      return undefined
    }
    if (!this.#cut && again && this.#readers.some((reader) => this.#acksAll(reader?.consumer ?? -1))) {
      return undefined
    }
    this.#cut = !this.#cut
    return { _tag: this.#cut ? "cut" : "mend" }
  }

  /** Goes on after the next thing that happens by itself, if something does. */
  #wait(): Operation | undefined {
    const { at } = this.#timeline
    if (this.#program.kind === "leases" && this.#readers.some((reader) => reader !== undefined && reader.there > 0)) {
      // What waits in a queue is renewed: when that ends is not on the time line.
      return this.#take()
    }
    for (const ms of [300, 1_000, 2_000, 3_000, 4_000]) {
      if (this.#timeline.happens(at, at + ms)) {
        const later = this.#timeline.quiet(at + ms)
        if (later === undefined) {
          return undefined
        }
        this.#timeline.at = later
        this.#more(this.#program.kind === "leases" ? 1 : 0.5)
        return undefined
      }
    }
    return this.#dice.chance(0.2) ? { _tag: "look" } : undefined
  }

  #delete(consumers: number): Operation | undefined {
    if (this.#cut) {
      return undefined
    }
    const consumer = this.#dice.int(0, consumers - 1)
    this.#made[consumer] = false
    return { _tag: "deleteConsumer", consumer }
  }

  #remove(): Operation | undefined {
    const dice = this.#dice
    if (this.#cut) {
      return undefined
    }
    if (dice.chance(0.7)) {
      return { _tag: "deleteMessage", back: dice.int(0, 5) }
    }
    // Not a part of it: where that leaves the floor of a consumer depends on how far it has looked.
    return { _tag: "purge" }
  }

  #deleteStream(): Operation | undefined {
    if (this.#cut) {
      return undefined
    }
    this.#streamIsThere = false
    this.#made.fill(false)
    return { _tag: "deleteStream" }
  }
}
