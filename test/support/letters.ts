/** The dead letters of a broker in memory, as a test wants to see them. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as DeadLetter from "../../src/DeadLetter.ts"
import * as Headers from "../../src/Headers.ts"
import * as Provenance from "../../src/Provenance.ts"
import * as Provisioner from "../../src/Provisioner.ts"
import { Transport } from "../../src/Transport.ts"
import { flow, textOf } from "./transport.ts"

export const Dlq = DeadLetter.stream()

export const makeDlq = Effect.asVoid(Provisioner.ensure(Dlq))

/** Everything in the stream of dead letters, in order. */
export const events = (stream = Dlq.name) =>
  Effect.scoped(Effect.gen(function*() {
    const { open, topology } = yield* Transport
    const info = yield* Option.getOrThrow(topology).describeStream(stream)
    const found: Array<{ readonly subject: string; readonly headers: Headers.Headers; readonly text: string }> = []
    if (Option.isNone(info) || info.value.messages === 0) {
      return found
    }
    const source = { _tag: "ordered", stream, filters: [], start: { _tag: "all" } } as const
    const inlet = yield* open(
      source,
      flow({ queue: { strategy: "suspend", messages: 4_096, bytes: 2 ** 26 } as never })
    )
    while (true) {
      const chunk = yield* Pull.catchDone(inlet.take(1_024), () => Effect.succeed([]))
      found.push(...chunk.map((delivery) => ({
        subject: delivery.subject,
        headers: Result.getOrElse(delivery.headers, () => Headers.empty),
        text: textOf(delivery)
      })))
      if (chunk.length === 0 || chunk.at(-1)!.streamSequence >= info.value.lastSequence) {
        return found
      }
    }
  }))

/** The letters among them. */
export const letters = Effect.map(
  events(),
  (all) =>
    all.filter(({ subject }) => Provenance.kinds.some((kind) => subject.endsWith(`.${kind}`))).map((letter) => ({
      ...letter,
      provenance: Option.getOrThrow(Provenance.fromHeaders(letter.headers))
    }))
)
