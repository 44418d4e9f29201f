/** Keeps an I/O thread running: lets another one follow when it dies, unless it cannot live. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import { because, Closed, Disconnected, type Reason, type TransportError } from "../../TransportError.ts"
import type { Word } from "./channel.ts"
import { Deaths } from "./deaths.ts"
import { Life, type Thread } from "./life.ts"

export interface Options {
  /** Starts a thread. It says when it has its transport, or why it could not be made. */
  readonly spawn: () => Thread
  /** So many deaths within a minute, and no other thread follows. */
  readonly maxRestarts: number
}

export interface Callbacks {
  /** A thread has its transport: it is given what the last one served. */
  readonly resume: (life: Life) => Effect.Effect<void, TransportError>
  /** It serves from now on. */
  readonly serves: () => void
  /** It is there no more, and another one follows. */
  readonly lost: (reason: Reason) => void
  /** No thread will follow. */
  readonly over: (reason: Reason) => void
  /** Why there is no thread at the moment, and which attempt that was. */
  readonly trying: (attempt: number, reason: Reason) => void
  readonly heard: (life: Life, word: Word) => void
}

/** How long a thread may take to hand everything back. */
const END_WITHIN_MS = 5_000
/** Between two threads that could not connect. */
const RECONNECT_MS = 2_000

export class Keeper {
  /** The thread that serves now. */
  life: Life | undefined
  /** The thread that serves, as soon as there is one. */
  readonly living: Effect.Effect<Life, TransportError> = Effect.suspend(() => {
    if (this.#over !== undefined) {
      return Effect.fail(because(this.#over))
    }
    return this.life === undefined ? Effect.andThen(this.#lives.await, this.living) : Effect.succeed(this.life)
  })
  readonly #options: Options
  readonly #callbacks: Callbacks
  readonly #deaths = new Deaths()
  readonly #lives = Latch.makeUnsafe(false)
  readonly #died = Latch.makeUnsafe(false)
  #over: Reason | undefined

  constructor(options: Options, callbacks: Callbacks) {
    this.#options = options
    this.#callbacks = callbacks
  }

  /** A thread that serves. Fails if its transport cannot be made, or if it dies before that. */
  get start(): Effect.Effect<void, TransportError> {
    return Effect.suspend(() => {
      const life: Life = new Life({
        thread: this.#options.spawn(),
        heard: (word) => this.#callbacks.heard(life, word),
        ended: (reason) => this.#ended(life, reason),
        reasonOf: (detail) => new Disconnected({ detail: `the I/O thread died: ${detail}` })
      })
      const serving = Effect.andThen(Effect.andThen(life.started, this.#callbacks.resume(life)), this.#serve(life))
      return Effect.onExit(serving, (exit) => Exit.isSuccess(exit) ? Effect.void : life.end(0))
    })
  }

  /** Lets a thread follow each that dies. */
  get keep(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      while (this.#over === undefined) {
        yield* this.#died.await
        this.#died.closeUnsafe()
        yield* this.#follow
      }
    })
  }

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { life } = this
      this.#finish(new Closed())
      return life === undefined ? Effect.void : life.end(END_WITHIN_MS)
    })
  }

  // internals

  #serve(life: Life): Effect.Effect<void, TransportError> {
    return Effect.suspend(() => {
      if (life.gone !== undefined) {
        return Effect.fail(because(life.gone))
      }
      this.life = life
      this.#lives.openUnsafe()
      this.#callbacks.serves()
      return Effect.void
    })
  }

  get #follow(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      while (this.life === undefined && this.#over === undefined) {
        const { count, pauseMs } = this.#deaths.within(performance.now())
        if (count > this.#options.maxRestarts) {
          const detail = `${count} I/O threads died within a minute; of the last is known: ${this.#deaths.last}`
          this.#finish(new Disconnected({ detail }))
          return
        }
        yield* Effect.sleep(pauseMs)
        const { total } = this.#deaths
        yield* Effect.catch(this.start, ({ reason }) => {
          this.#callbacks.trying(count, reason)
          return this.#deaths.total === total ? Effect.sleep(RECONNECT_MS) : Effect.void
        })
      }
    })
  }

  #ended(life: Life, reason: Reason): void {
    if (reason._tag !== "Closed") {
      this.#deaths.add(performance.now(), reason.problem)
    }
    if (life === this.life && this.#over === undefined) {
      this.life = undefined
      this.#lives.closeUnsafe()
      this.#callbacks.lost(reason)
      this.#died.openUnsafe()
    }
  }

  #finish(reason: Reason): void {
    if (this.#over === undefined) {
      this.#over = reason
      this.#lives.openUnsafe()
      this.#died.openUnsafe()
      this.#callbacks.over(reason)
    }
  }
}
