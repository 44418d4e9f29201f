/** Watches whether dead letters are stored, by what is published. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Problem } from "../../Health.ts"
import type { Outgoing } from "../../Message.ts"
import * as Provenance from "../../Provenance.ts"
import type { Receipt, Transport } from "../../Transport.ts"

type Publish = Transport["Service"]["publish"]

/** What could not be stored is tried again within a minute. Where nothing has been tried for longer, nobody needs it. */
const FORGOTTEN_AFTER_MS = 150_000

interface Unavailable {
  readonly problem: Extract<Problem, { readonly _tag: "DeadLetterUnavailable" }>
  readonly at: number
}

export class Letters {
  readonly #now: () => number
  /** By handler. */
  readonly #unavailable = new Map<string, Unavailable>()

  constructor(now: () => number) {
    this.#now = now
  }

  watch(publish: Publish): Publish {
    return (batch) =>
      Effect.map(publish(batch), (receipts) => {
        receipts.forEach((receipt, index) => this.#note(batch[index] as Outgoing, receipt))
        return receipts
      })
  }

  get problems(): ReadonlyArray<Problem> {
    const now = this.#now()
    return [...this.#unavailable.values()].flatMap(({ at, problem }) => now - at < FORGOTTEN_AFTER_MS ? [problem] : [])
  }

  #note(message: Outgoing, receipt: Receipt): void {
    if (!message.id.startsWith("dlq:")) {
      return
    }
    const { consumer, stream } = Option.getOrElse(Provenance.fromHeaders(message.headers), () => nobody)
    const handler = `${stream}/${consumer}`
    if (receipt._tag === "Confirmed") {
      this.#unavailable.delete(handler)
    } else if (receipt.reason._tag !== "PayloadTooLarge") {
      const problem = { _tag: "DeadLetterUnavailable", stream, consumer, detail: receipt.reason.problem } as const
      this.#unavailable.set(handler, { problem, at: this.#now() })
    }
  }
}

const nobody = { stream: "", consumer: "" }
