/** The pulls that wait for messages, served in turn, as `waitQueue` of nats-server does it. */

/** Why a pull is over. With the status by which a server says so. */
export type Ending =
  /** All that was asked for has come. */
  | "served"
  /** 408: its time is over. */
  | "expired"
  /** 404: it would not wait, and there is nothing. */
  | "empty"
  /** 408: it would not wait, and what there is goes to others. */
  | "busy"
  /** 409: the next message has more bytes than it has left. */
  | "bytes"
  /** 409: the consumer's leader has stepped down. */
  | "leader"
  /** 409, or silence where heartbeats were asked for: too many wait. */
  | "full"
  /** 503: nobody is there to answer. */
  | "nobody"

/** Who is told that a pull is over, and how much of it will not come. */
export interface Asker {
  readonly returned: (messages: number, bytes: number, why: Ending) => void
}

/** What a pull asks for. */
export interface Ask {
  readonly messages: number
  readonly bytes: number
  /** When it ends, in ms; infinite for never. */
  readonly expiresAt: number
  /** It takes what is there. */
  readonly noWait?: boolean
}

export interface Request<A extends Asker> {
  readonly puller: A
  readonly expiresAt: number
  readonly noWait: boolean
  messages: number
  bytes: number
  /** It has got something. */
  served: boolean
  /** Whoever asked is gone. The server finds out when it is this one's turn, or when it is asked how many wait. */
  isGone: boolean
}

export class Requests<A extends Asker> {
  readonly #max: number
  #waiting: Array<Request<A>> = []

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#waiting.length
  }

  get isFull(): boolean {
    return this.#alive.length >= this.#max
  }

  /** Who waits. */
  get pullers(): ReadonlySet<A> {
    return new Set(this.#alive.map((request) => request.puller))
  }

  /** How many messages they ask for together. */
  get messages(): number {
    return this.#alive.reduce((sum, request) => sum + request.messages, 0)
  }

  /** When the next one ends. */
  get deadline(): number {
    return this.#waiting.reduce((earliest, request) => Math.min(earliest, request.expiresAt), Number.POSITIVE_INFINITY)
  }

  add(puller: A, { bytes, expiresAt, messages, noWait = false }: Ask): void {
    this.#waiting.push({ puller, messages, bytes, expiresAt, noWait, served: false, isGone: false })
  }

  /** Whose turn it is for a message of this size; whoever has no room for it is done. */
  next(bytes: number): Request<A> | undefined {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!
      if (bytes <= first.bytes && !first.isGone) {
        return first
      }
      this.#waiting.shift()
      if (!first.isGone) {
        first.puller.returned(first.messages, first.bytes, "bytes")
      }
    }
    return undefined
  }

  /** A message of this size goes to the first, who goes to the end, or is done. */
  serve(first: Request<A>, bytes: number): void {
    first.served = true
    first.messages--
    first.bytes -= bytes
    const isDone = first.messages <= 0 || first.bytes === 0
    if (this.#waiting.length > 1 || isDone) {
      this.#waiting.shift()
      if (!isDone) {
        this.#waiting.push(first)
      }
    }
    if (isDone) {
      first.puller.returned(first.messages, first.bytes, "served")
    }
  }

  /** Ends those whose time is over. */
  expire(now: number): void {
    if (this.deadline <= now) {
      this.#end((request) => request.expiresAt <= now, "expired")
    }
  }

  /** There is nothing left: those that would not wait are done. With a time to wait they wait for the first message. */
  exhausted(): void {
    if (this.#waiting.some(isImpatient)) {
      this.#end(isImpatient, "empty")
    }
  }

  endAll(why: Ending): void {
    this.#end(() => true, why)
  }

  /** Somebody is gone, without a word. */
  withdraw(puller: A): void {
    for (const request of this.#waiting) {
      request.isGone ||= request.puller === puller
    }
  }

  /** How many wait; whoever is gone is found out. */
  count(): number {
    this.#waiting = this.#alive
    return this.#waiting.length
  }

  clear(): void {
    this.#waiting = []
  }

  #end(which: (request: Request<A>) => boolean, why: Ending): void {
    const ended = this.#waiting.filter(which)
    this.#waiting = this.#waiting.filter((request) => !which(request))
    for (const { bytes, isGone, messages, puller } of ended) {
      if (!isGone) {
        puller.returned(messages, bytes, why)
      }
    }
  }

  get #alive(): Array<Request<A>> {
    return this.#waiting.filter((request) => !request.isGone)
  }
}

const isImpatient = ({ expiresAt, noWait, served }: Request<Asker>): boolean =>
  noWait && (served || expiresAt === Number.POSITIVE_INFINITY)
