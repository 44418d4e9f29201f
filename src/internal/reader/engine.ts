/**
 * The machine behind `Lanes`: plain data and plain loops; a fiber exists only for a lane that has something to run.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Hash from "effect/Hash"
import * as Latch from "effect/Latch"

type Step = { readonly _tag: "Done" } | { readonly _tag: "Park"; readonly millis: number; readonly room?: number }

/** What `Lanes.Options` documents. */
interface Options<A, R> {
  readonly lanes: number
  readonly capacity: number
  readonly key: (item: A) => string | undefined
  readonly run: (item: A, startedAt: number) => Effect.Effect<Step, never, R>
  readonly handBack: (items: ReadonlyArray<A>, begun: boolean) => Effect.Effect<void, never, R>
  readonly overflow?: (item: A, millis: number) => Effect.Effect<void, never, R>
  readonly budget?: { readonly millis: number; readonly exceeded: (item: A) => Effect.Effect<Step, never, R> }
}

type RunFork<R> = <B, E>(effect: Effect.Effect<B, E, R>) => Fiber.Fiber<B, E>

/** A key that waits to be run again, and what waits behind it. */
interface Parked<A> {
  readonly items: Array<A>
  readonly timer: Fiber.Fiber<void>
  readonly until: number
  readonly room: number
}

/** One lane: what waits in it, which of its keys are parked, what runs. */
class Lane<A, R> {
  readonly line = new Line<A>()
  readonly parked = new Map<string, Parked<A>>()
  /** The fiber's whole work, made once: it ends when there is nothing left to run. */
  readonly work: Effect.Effect<void, never, R>
  active = false
  running: A | undefined
  startedAt = 0
  fiber: Fiber.Fiber<void> | undefined
  overdue: "no" | "interrupted" | "reported" = "no"
  ownLast = false

  constructor(work: (lane: Lane<A, R>) => Effect.Effect<void, never, R>) {
    this.work = work(this)
  }
}

export class Engine<A, R> {
  readonly #options: Options<A, R>
  readonly #clock: Clock.Clock
  readonly #runFork: RunFork<R>
  readonly #defer: (task: () => void) => void
  readonly #lanes: ReadonlyArray<Lane<A, R>>
  readonly #shared = new Line<A>()
  /** Items without a key that wait to be run again. */
  readonly #parked = new Set<Parked<A>>()
  readonly #hasRoom = Latch.makeUnsafe(true)
  readonly #isEmpty = Latch.makeUnsafe(true)
  #size = 0
  #next = 0
  #wakes = false
  #closed = false

  readonly awaitRoom = this.#hasRoom.await
  readonly awaitEmpty = this.#isEmpty.await
  readonly size = (): number => this.#size
  readonly room = (): number => this.#closed ? 0 : this.#options.capacity - this.#size

  constructor(options: Options<A, R>, clock: Clock.Clock, runFork: RunFork<R>, defer: (task: () => void) => void) {
    this.#options = options
    this.#clock = clock
    this.#runFork = runFork
    this.#defer = defer
    this.#lanes = Array.from({ length: options.lanes }, () =>
      new Lane<A, R>((lane) =>
        Effect.whileLoop({
          while: () => this.#begin(lane),
          body: () => options.run(lane.running as A, lane.startedAt),
          step: (step) => this.#finish(lane, step)
        })
      ))
  }

  readonly offerUnsafe = (items: ReadonlyArray<A>): number => {
    const count = Math.max(0, Math.min(items.length, this.room()))
    if (count === 0) {
      return 0
    }
    const touched: Array<Lane<A, R>> = []
    for (let i = 0; i < count; i++) {
      const item = items[i] as A
      const key = this.#options.key(item)
      if (key === undefined) {
        this.#shared.push(item)
        continue
      }
      const lane = this.#laneOf(key)
      lane.line.push(item)
      if (!lane.active) {
        lane.active = true
        touched.push(lane)
      }
    }
    this.#size += count
    this.#isEmpty.closeUnsafe()
    if (this.#size >= this.#options.capacity) {
      this.#hasRoom.closeUnsafe()
    }
    // Started only now, so that a lane finds its whole share of the chunk, not one item at a time.
    for (const lane of touched) {
      this.#start(lane, lane.work)
    }
    this.#startFree()
    return count
  }

  readonly withdraw = (which: (item: A) => boolean = () => true): Array<A> => {
    const out = splitOff(this.#shared, which)
    for (const parked of this.#parked) {
      if (which(parked.items[0] as A)) {
        out.push(...parked.items)
        this.#parked.delete(parked)
        parked.timer.interruptUnsafe()
      }
    }
    for (const lane of this.#lanes) {
      for (const [key, parked] of lane.parked) {
        out.push(...parked.items.filter(which))
        const kept = parked.items.filter((item) => !which(item))
        parked.items.splice(0, parked.items.length, ...kept)
        if (kept.length === 0) {
          lane.parked.delete(key)
          parked.timer.interruptUnsafe()
        }
      }
      out.push(...splitOff(lane.line, which))
    }
    this.#leave(out.length)
    return out
  }

  /** Hands back what waits, interrupts what runs, hands that back. */
  get close(): Effect.Effect<void, never, R> {
    return Effect.suspend(() => {
      this.#closed = true
      const waiting = this.withdraw()
      const running = this.#lanes.filter((lane) => lane.running !== undefined)
      running.forEach((lane) => lane.fiber?.interruptUnsafe())
      return Effect.andThen(
        waiting.length === 0 ? Effect.void : this.#options.handBack(waiting, false),
        Effect.forEach(running, (lane) => this.#closeLane(lane), { concurrency: "unbounded", discard: true })
      )
    })
  }

  #closeLane(lane: Lane<A, R>): Effect.Effect<void, never, R> {
    return Effect.andThen(lane.fiber === undefined ? Effect.void : Fiber.await(lane.fiber), () => this.#giveBack(lane))
  }

  /** What a lane was at, if it did not come to an end. */
  #giveBack(lane: Lane<A, R>): Effect.Effect<void, never, R> {
    const item = lane.running
    if (item === undefined) {
      return Effect.void
    }
    lane.running = undefined
    this.#leave(1)
    return this.#options.handBack([item], true)
  }

  /** Sees to it that no run takes longer than its budget; wakes up only when one may. */
  watch(millis: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      while (true) {
        const now = this.#clock.currentTimeMillisUnsafe()
        let next = now + millis
        for (const lane of this.#lanes) {
          if (lane.running === undefined) {
            continue
          }
          if (now < lane.startedAt + millis) {
            next = Math.min(next, lane.startedAt + millis)
          } else if (lane.overdue === "no") {
            lane.overdue = "interrupted"
            lane.fiber?.interruptUnsafe()
          } else if (lane.overdue === "interrupted" && now >= lane.startedAt + 2 * millis) {
            lane.overdue = "reported"
            yield* Effect.logError("a run is over its time budget and cannot be interrupted; its lane is blocked")
          }
        }
        yield* Effect.sleep(next - now)
      }
    })
  }

  #laneOf(key: string): Lane<A, R> {
    return this.#lanes[mix(Hash.string(key)) % this.#lanes.length] as Lane<A, R>
  }

  /** Starts lanes that are free for items without a key, not more than there are such items. */
  #startFree(): void {
    for (let tried = 0; tried < this.#lanes.length && this.#shared.length > 0; tried++) {
      const lane = this.#lanes[this.#next++ % this.#lanes.length] as Lane<A, R>
      if (!lane.active) {
        lane.active = true
        this.#start(lane, lane.work)
      }
    }
  }

  #start(lane: Lane<A, R>, work: Effect.Effect<void, never, R>): void {
    // The fiber runs at once, until it first waits: it has to be known before that.
    const fiber = this.#runFork(Effect.withFiber((fiber) => {
      lane.fiber = fiber as Fiber.Fiber<void>
      return work
    }))
    fiber.addObserver((exit) => this.#ended(lane, fiber, exit))
  }

  /** Picks what the lane runs next. `false`: there is nothing, and its fiber ends. */
  #begin(lane: Lane<A, R>): boolean {
    while (true) {
      // In turns, so that neither the lane's own keys nor the items without one starve the other.
      const fromShared = this.#shared.length > 0 && (lane.line.length === 0 || lane.ownLast)
      const item = this.#closed ? undefined : fromShared ? this.#shared.shift() : lane.line.shift()
      if (item === undefined) {
        lane.active = false
        return false
      }
      lane.ownLast = !fromShared
      const parked = fromShared || lane.parked.size === 0 ? undefined : lane.parked.get(this.#options.key(item) ?? "")
      if (parked === undefined) {
        lane.running = item
        lane.startedAt = this.#clock.currentTimeMillisUnsafe()
        return true
      }
      parked.items.push(item)
      if (parked.items.length - 1 > parked.room) {
        this.#overflow(lane, this.#options.key(item) ?? "", parked)
      }
    }
  }

  /** Too many wait behind the first: it leaves, and the others go on. */
  #overflow(lane: Lane<A, R>, key: string, { items, timer, until }: Parked<A>): void {
    const { overflow } = this.#options
    const [first, ...others] = items
    if (overflow === undefined || first === undefined) {
      return
    }
    timer.interruptUnsafe()
    lane.parked.delete(key)
    lane.line.unshift(others)
    this.#leave(1)
    this.#runFork(overflow(first, Math.max(0, until - this.#clock.currentTimeMillisUnsafe())))
  }

  #finish(lane: Lane<A, R>, step: Step): void {
    const item = lane.running
    if (item === undefined) {
      return
    }
    lane.running = undefined
    lane.overdue = "no"
    if (step._tag === "Park") {
      this.#park(lane, item, step.millis, step.room)
    } else {
      this.#leave(1)
    }
  }

  #park(lane: Lane<A, R>, item: A, millis: number, room = Number.POSITIVE_INFINITY): void {
    const key = this.#options.key(item)
    const items = [item]
    const resume = Effect.sync(() => {
      if (key === undefined) {
        this.#parked.delete(parked)
        this.#shared.unshift(items)
        this.#startFree()
        return
      }
      lane.parked.delete(key)
      lane.line.unshift(items)
      if (!lane.active) {
        lane.active = true
        this.#start(lane, lane.work)
      }
    })
    const timer = this.#runFork(Effect.andThen(Effect.sleep(Math.max(1, millis)), resume))
    const until = this.#clock.currentTimeMillisUnsafe() + millis
    const parked: Parked<A> = { items, timer, until, room }
    if (key === undefined) {
      this.#parked.add(parked)
    } else {
      lane.parked.set(key, parked)
    }
  }

  /** A lane's fiber came to an end: nothing left, its time was over, or a defect. */
  #ended(lane: Lane<A, R>, fiber: Fiber.Fiber<void>, exit: Exit.Exit<void>): void {
    if (lane.fiber === fiber) {
      lane.fiber = undefined
    }
    if (Exit.isSuccess(exit) || this.#closed) {
      return
    }
    const item = lane.running
    const budget = this.#options.budget
    let first: Effect.Effect<void, never, R> = Effect.void
    if (item !== undefined && budget !== undefined && lane.overdue !== "no") {
      lane.overdue = "no"
      lane.startedAt = this.#clock.currentTimeMillisUnsafe()
      first = Effect.map(budget.exceeded(item), (step) => this.#finish(lane, step))
    } else if (item !== undefined) {
      first = Effect.andThen(Effect.logError("a run of a lane died", exit.cause), this.#giveBack(lane))
    }
    this.#start(lane, Effect.andThen(first, lane.work))
  }

  #leave(count: number): void {
    this.#size -= count
    if (count > 0 && !this.#wakes) {
      // One wake-up for all that is done in this turn, and never in the middle of a lane's own work.
      this.#wakes = true
      this.#defer(() => {
        this.#wakes = false
        if (this.#size < this.#options.capacity) {
          this.#hasRoom.openUnsafe()
        }
        if (this.#size === 0) {
          this.#isEmpty.openUnsafe()
        }
      })
    }
  }
}

/** A first-in-first-out list. */
class Line<A> {
  #items: Array<A> = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: A): void {
    this.#items.push(item)
  }

  shift(): A | undefined {
    if (this.#head === this.#items.length) {
      return undefined
    }
    const item = this.#items[this.#head]
    this.#items[this.#head++] = undefined as A
    if (this.#head === this.#items.length) {
      this.#items.length = 0
      this.#head = 0
    } else if (this.#head >= 1_024 && this.#head * 2 >= this.#items.length) {
      this.replace(this.items())
    }
    return item
  }

  unshift(items: ReadonlyArray<A>): void {
    this.replace([...items, ...this.items()])
  }

  replace(items: Array<A>): void {
    this.#items = items
    this.#head = 0
  }

  items(): Array<A> {
    return this.#items.slice(this.#head)
  }
}

const splitOff = <A>(line: Line<A>, which: (item: A) => boolean): Array<A> => {
  const [kept, out]: [Array<A>, Array<A>] = [[], []]
  for (const item of line.items()) {
    ;(which(item) ? out : kept).push(item)
  }
  line.replace(kept)
  return out
}

/** Spreads the bits of a hash, so that the number of lanes may be any number. */
const mix = (hash: number): number => {
  const half = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b)
  return (half ^ (half >>> 16)) >>> 0
}
