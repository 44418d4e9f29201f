/** One I/O thread as the application sees it, from its start to its end: what is asked of it, and what it says to that. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { because, Closed, type Reason, type TransportError } from "../../TransportError.ts"
import type { Channel, Reply, Request, Word } from "./channel.ts"
import { unpackReceipts } from "./packing.ts"
import { reasonOf } from "./plain.ts"

/** A thread that was started. */
export interface Thread {
  readonly channel: Channel<Reply, Request>
  /** Calls back when it is there no more, with what is known of why. */
  readonly watch: (ended: (detail: string) => void) => void
  /** Waits until it is gone; one that does not go is made to. */
  readonly gone: Effect.Effect<void>
}

export interface Options {
  readonly thread: Thread
  readonly heard: (word: Word) => void
  readonly ended: (reason: Reason) => void
  readonly reasonOf: (detail: string) => Reason
}

const STARTED = 0

export class Life {
  /** Why it is there no more. */
  gone: Reason | undefined
  hasTopology = false
  readonly #thread: Thread
  readonly #options: Options
  readonly #calls = new Map<number, (exit: Exit.Exit<unknown, TransportError>) => void>()
  readonly #silence: () => void
  #numbers = STARTED

  constructor(options: Options) {
    this.#options = options
    this.#thread = options.thread
    this.#silence = this.#thread.channel.listen((reply) => this.#heard(reply))
    this.#thread.watch((detail) => this.#end(options.reasonOf(detail)))
  }

  /** Waits until it has its transport; or fails as that one did. */
  get started(): Effect.Effect<void, TransportError> {
    return Effect.asVoid(this.#wait(STARTED, () => {}))
  }

  /** It is told to end. It hands back what is held, and says when it is done. */
  end(withinMs: number): Effect.Effect<void> {
    const asked = Effect.suspend(() =>
      this.gone === undefined ? Effect.exit(this.#wait(STARTED, () => this.post({ _tag: "end" }))) : Effect.void
    )
    return Effect.andThen(
      Effect.timeoutOption(asked, withinMs),
      Effect.suspend(() => {
        this.#end(new Closed())
        return this.#thread.gone
      })
    )
  }

  post(request: Request, transfer?: ReadonlyArray<ArrayBuffer>): void {
    if (this.gone === undefined) {
      this.#thread.channel.post(request, transfer)
    }
  }

  /** Sends a request, and waits for what is said to it. */
  call(
    request: (call: number) => Request,
    transfer?: ReadonlyArray<ArrayBuffer>
  ): Effect.Effect<unknown, TransportError> {
    return Effect.suspend(() => {
      const call = ++this.#numbers
      const asked = this.#wait(call, () => this.post(request(call), transfer))
      return Effect.onInterrupt(asked, () => Effect.sync(() => this.post({ _tag: "cancel", call })))
    })
  }

  // internals

  #wait(call: number, ask: () => void): Effect.Effect<unknown, TransportError> {
    return Effect.callback<unknown, TransportError>((resume) => {
      if (this.gone !== undefined) {
        resume(Effect.fail(because(this.gone)))
        return
      }
      this.#calls.set(call, (exit) => {
        this.#calls.delete(call)
        resume(exit)
      })
      ask()
      return Effect.sync(() => {
        this.#calls.delete(call)
      })
    })
  }

  #heard(reply: Reply): void {
    switch (reply._tag) {
      case "ready":
        this.hasTopology = reply.hasTopology
        this.#answer(STARTED, Exit.void)
        break
      case "failed":
        this.#answer(STARTED, Exit.fail(because(reasonOf(reply.reason))))
        break
      case "answered":
        this.#answer(reply.call, Exit.succeed(reply.value))
        break
      case "receipts":
        this.#answer(reply.call, Exit.succeed(unpackReceipts(reply.receipts)))
        break
      case "refused":
        this.#answer(reply.call, Exit.fail(because(reasonOf(reply.reason))))
        break
      case "died":
        this.#answer(reply.call, Exit.failCause(Cause.die(new Error(reply.detail))))
        break
      case "gone":
        this.#answer(STARTED, Exit.void)
        this.#end(new Closed())
        break
      default:
        this.#options.heard(reply)
    }
  }

  #answer(call: number, exit: Exit.Exit<unknown, TransportError>): void {
    this.#calls.get(call)?.(exit)
  }

  #end(reason: Reason): void {
    if (this.gone !== undefined) {
      return
    }
    this.gone = reason
    this.#silence()
    for (const done of [...this.#calls.values()]) {
      done(Exit.fail(because(reason)))
    }
    this.#options.ended(reason)
  }
}
