/**
 * The bounded queue between the broker's I/O and the reader.
 *
 * It is capped in messages and in bytes. When it is full, its strategy decides; every delivery that a strategy displaces
 * is handed back to the caller by name, to be settled. The queue is a plain data structure without effects: it stands on
 * the broker's side of the seam, where one synchronous step must enqueue and acknowledge.
 *
 * @since 0.1.0
 */
import * as Settlement from "./Settlement.ts"
import * as Spill from "./Spill.ts"

/**
 * What happens to deliveries when the queue is full.
 *
 * - `suspend`: stop pulling; the broker keeps the rest. Displaces nothing.
 * - `dropping`: refuse the newest.
 * - `sliding`: drop the oldest that waits.
 * - `latest`: keep the newest per subject; when full, drop the oldest that waits.
 * - `spill`: write to disk, read back in order. Displaces nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Strategy = "suspend" | "dropping" | "sliding" | "latest" | "spill"

/**
 * The queue as plain data.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly strategy: Strategy
  /** How many deliveries the reader may hold unsettled, waiting and running together. */
  readonly messages: number
  /** How many bytes they may occupy together. */
  readonly bytes: number
  /** What becomes of a displaced delivery. */
  readonly onDrop: Settlement.Settlement
  /** Where and how it spills. */
  readonly spill?: Spill.Settings | undefined
}

/**
 * A queue that spills. A type of its own, because not every ack policy goes with it (`AckPolicy.Spillable`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Spilling extends Settings {
  readonly strategy: "spill"
  readonly spill: Spill.Settings
}

/**
 * Options of the queue constructors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Deliveries held unsettled, waiting and running together. Default 500. */
  readonly messages?: number
  /** Bytes held. Default 64 MiB. Must be larger than the broker's largest message. */
  readonly bytes?: number
  /**
   * What becomes of a displaced delivery. Default `Settlement.ack`: displaced is done with. `Settlement.nak("…")` brings
   * it back later, `Settlement.term("…")` tells the broker why it will never be processed.
   */
  readonly onDrop?: Settlement.Settlement
}

const make = (strategy: Strategy) => (options: Options = {}): Settings => ({
  strategy,
  messages: options.messages ?? 500,
  bytes: options.bytes ?? 64 * 1024 * 1024,
  onDrop: options.onDrop ?? Settlement.ack
})

/**
 * Stops pulling when full: nothing is lost, the broker keeps what does not fit. The default.
 *
 * **Example** (A reader that holds at most 50 messages)
 *
 * ```ts import.meta.vitest
 * import * as Queue from "effect-sluice/Queue"
 *
 * Queue.suspend({ messages: 50 }).messages // => 50
 * Queue.suspend().messages // => 500
 * Queue.suspend().bytes // => 67108864
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const suspend: (options?: Omit<Options, "onDrop">) => Settings = make("suspend")

/**
 * Refuses the newest when full.
 *
 * **Gotchas**
 *
 * With the default `onDrop` (ack) a refused message is gone for this consumer.
 *
 * **Example** (What is refused comes back in a minute)
 *
 * ```ts import.meta.vitest
 * import * as Queue from "effect-sluice/Queue"
 * import * as Settlement from "effect-sluice/Settlement"
 *
 * Queue.dropping({ messages: 50, onDrop: Settlement.nak("1 minute") }).onDrop // => Settlement.nak("1 minute")
 * Queue.dropping().onDrop // => Settlement.ack
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const dropping: (options?: Options) => Settings = make("dropping")

/**
 * Drops the oldest that waits when full. What a handler has already begun is never dropped.
 *
 * **Gotchas**
 *
 * With the default `onDrop` (ack) a dropped message is gone for this consumer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sliding: (options?: Options) => Settings = make("sliding")

/**
 * Keeps the newest delivery per subject: for configuration, telemetry and screens, where an older value is worthless.
 *
 * @category constructors
 * @since 0.1.0
 */
export const latest: (options?: Options) => Settings = make("latest")

/**
 * Writes everything to a directory and acknowledges it once it is durable there: the broker is free of it at the speed of
 * the disk, and what a crash interrupts is read back in order by the next process.
 *
 * **Details**
 *
 * Only under `AckPolicy.onEnqueue`, which together with this is at least once, and for a durable consumer; anything else
 * does not compile (`AckPolicy.Spillable`) or is refused when the reader opens. Because the disk keeps a message until its
 * handler is done, a reader may `retry` it: what is given back comes again from the disk.
 *
 * `messages` and `bytes` bound what is in memory: half of the bytes on its way to the disk, half read back from it.
 *
 * **Gotchas**
 *
 * What a process leaves on its disk no other replica can reach: it has to come back, with the same directory. A directory
 * is for one reader; another one fails with `SpillFailed`, `LOCKED`, for as long as it is used.
 *
 * **Example** (Up to four gigabytes of clicks on disk)
 *
 * ```ts import.meta.vitest
 * import * as Queue from "effect-sluice/Queue"
 *
 * const queue = Queue.spill({ directory: "/var/spool/clicks", maxBytes: 4 * 1024 ** 3 })
 * queue.strategy // => "spill"
 * queue.messages // => 500
 * queue.spill.sync // => "always"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const spill = (options: Omit<Options, "onDrop"> & Spill.Options): Spilling => ({
  ...make("spill")({ ...options, onDrop: Settlement.ack }),
  strategy: "spill",
  spill: Spill.settings(options)
})

/**
 * What the queue needs to know of its elements.
 *
 * @category models
 * @since 0.1.0
 */
export interface Element {
  readonly subject: string
  readonly bytes: number
}

/**
 * The queue itself. `room` is what its owner can still take in, next to what is held outside of the queue (running
 * handlers, unconfirmed acks): the owner counts those, the queue does not know them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Queue<A extends Element> {
  readonly size: number
  readonly bytes: number
  /**
   * Takes `element` in, given that `heldOutside` deliveries and `bytesOutside` bytes are held elsewhere. Returns what
   * was displaced; `element` itself, if it was refused.
   */
  readonly offer: (element: A, heldOutside: number, bytesOutside: number) => ReadonlyArray<A>
  /** Up to `max` elements from the front. */
  readonly take: (max: number) => Array<A>
  /** Takes `element` out from wherever it stands; `false` if it does not. */
  readonly remove: (element: A) => boolean
  /** Everything, and the queue is empty. */
  readonly clear: () => Array<A>
}

const none: ReadonlyArray<never> = []

/**
 * How many deliveries may be held at most before the strategy displaces. The displacing strategies keep a quarter of the
 * capacity free for arrivals, so that what the broker counts as outstanding never passes the declared capacity, although
 * reading goes on.
 *
 * **Example** (Room for arrivals)
 *
 * ```ts import.meta.vitest
 * import * as Queue from "effect-sluice/Queue"
 *
 * Queue.heldLimit(Queue.suspend({ messages: 100 })) // => 100
 * Queue.heldLimit(Queue.sliding({ messages: 100 })) // => 75
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const heldLimit = (settings: Settings): number =>
  displacesNothing(settings)
    ? settings.messages
    : Math.max(1, settings.messages - Math.ceil(settings.messages / 4))

/**
 * Makes an empty queue. For transports: a reader is given `Settings`, and its transport makes the queue.
 *
 * **Example** (A newer value takes the place of an older one)
 *
 * ```ts import.meta.vitest
 * import * as Queue from "effect-sluice/Queue"
 *
 * const queue = Queue.makeUnsafe<Queue.Element>(Queue.latest({ messages: 10 }))
 * const [older, newer] = [{ subject: "price.eur", bytes: 4 }, { subject: "price.eur", bytes: 4 }]
 *
 * queue.offer(older, 0, 0) // => []
 * queue.offer(newer, 0, 0)[0] === older // => true
 * queue.take(10).length // => 1
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeUnsafe = <A extends Element>(settings: Settings): Queue<A> => new Waiting<A>(settings)

// internals

const displacesNothing = ({ strategy }: Settings): boolean => strategy === "suspend" || strategy === "spill"

/** One who waits, between those before and behind. */
class Link<A> {
  readonly element: A
  before: Link<A> | undefined
  behind: Link<A> | undefined = undefined

  constructor(element: A, before: Link<A> | undefined) {
    this.element = element
    this.before = before
  }
}

/**
 * A doubly linked list: first in, first out, and removal from the middle for `latest`. Whatever leaves it lets go of its
 * neighbours: an old one would keep all that came after it from being collected with the young.
 */
class Waiting<A extends Element> implements Queue<A> {
  #first: Link<A> | undefined
  #last: Link<A> | undefined
  #size = 0
  readonly #bySubject: Map<string, Link<A>> | undefined
  readonly #limit: number
  readonly #settings: Settings
  readonly #displaces: boolean
  bytes = 0

  constructor(settings: Settings) {
    this.#settings = settings
    this.#limit = heldLimit(settings)
    this.#displaces = !displacesNothing(settings)
    this.#bySubject = settings.strategy === "latest" ? new Map() : undefined
  }

  get size(): number {
    return this.#size
  }

  offer(element: A, heldOutside: number, bytesOutside: number): ReadonlyArray<A> {
    if (!this.#displaces) {
      this.#add(element)
      return none
    }
    let displaced: Array<A> | undefined
    const older = this.#bySubject?.get(element.subject)
    if (older !== undefined) {
      this.#unlink(older)
      displaced = [older.element]
    }
    while (this.#isFull(element, heldOutside, bytesOutside)) {
      const oldest = this.#settings.strategy === "dropping" ? undefined : this.#first
      if (oldest === undefined) {
        return displaced === undefined ? [element] : [...displaced, element]
      }
      this.#unlink(oldest)
      displaced = displaced === undefined ? [oldest.element] : [...displaced, oldest.element]
    }
    this.#add(element)
    return displaced ?? none
  }

  take(max: number): Array<A> {
    const taken: Array<A> = []
    for (let link = this.#first; link !== undefined && taken.length < max; link = this.#first) {
      taken.push(link.element)
      this.#unlink(link)
    }
    return taken
  }

  remove(element: A): boolean {
    let link = this.#bySubject === undefined ? this.#first : this.#bySubject.get(element.subject)
    while (link !== undefined && link.element !== element) {
      link = this.#bySubject === undefined ? link.behind : undefined
    }
    if (link !== undefined) {
      this.#unlink(link)
    }
    return link !== undefined
  }

  clear(): Array<A> {
    return this.take(Number.POSITIVE_INFINITY)
  }

  #add(element: A): void {
    const link = new Link(element, this.#last)
    if (this.#last === undefined) {
      this.#first = link
    } else {
      this.#last.behind = link
    }
    this.#last = link
    this.#size++
    this.bytes += element.bytes
    this.#bySubject?.set(element.subject, link)
  }

  #unlink(link: Link<A>): void {
    const { before, behind, element } = link
    if (before === undefined) {
      this.#first = behind
    } else {
      before.behind = behind
    }
    if (behind === undefined) {
      this.#last = before
    } else {
      behind.before = before
    }
    link.before = undefined
    link.behind = undefined
    this.#size--
    this.bytes -= element.bytes
    if (this.#bySubject?.get(element.subject) === link) {
      this.#bySubject.delete(element.subject)
    }
  }

  #isFull(element: A, heldOutside: number, bytesOutside: number): boolean {
    return this.size + heldOutside >= this.#limit
      || this.bytes + bytesOutside + element.bytes > this.#settings.bytes
  }
}
