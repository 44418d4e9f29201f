/**
 * Reads a stream of dead letters from its beginning to its end, and says how each letter stands.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Headers from "../../Headers.ts"
import type { Delivery } from "../../Message.ts"
import * as Provenance from "../../Provenance.ts"
import * as Queue from "../../Queue.ts"
import * as Settlement from "../../Settlement.ts"
import type { Inlet } from "../../Transport.ts"
import { Transport } from "../../Transport.ts"
import { because, StreamNotFound, type TransportError, Unsupported } from "../../TransportError.ts"
import { eventHeaders, events } from "../reader/letters.ts"

/** A letter, and how it stands. */
export interface Letter {
  /** Its place in the stream of dead letters: what it is called by. */
  readonly id: number
  /** Its handler's subject there: `dlq.ORDERS.billing`. */
  readonly queue: string
  /** When it was stored, in milliseconds since 1970. */
  readonly storedAt: number
  readonly provenance: Provenance.Provenance
  /** `replayed`: it was brought back. `dropped`: somebody said that it is not needed. */
  readonly state: "open" | "replayed" | "dropped"
  /** Why it was dropped. */
  readonly why: string
  /** `false`: it was dropped, and only what is said here is left of it. */
  readonly exists: boolean
}

const CHUNK = 1_024
/** A stream that loses its end while it is read gives nothing more. */
const QUIET_MS = 5_000

/** All letters in the order in which they were stored. */
export const scan = (stream: string): Effect.Effect<ReadonlyArray<Letter>, TransportError, Transport> =>
  Effect.gen(function*() {
    const register = new Register()
    yield* readAll(stream, 1, (delivery) => Effect.sync(() => register.note(delivery)))
    return register.letters
  })

/** Gives what stands between `from` and the stream's present end, message by message. */
export const readAll = <E, R>(
  stream: string,
  from: number,
  each: (delivery: Delivery) => Effect.Effect<unknown, E, R>
): Effect.Effect<void, TransportError | E, Transport | R> =>
  Effect.scoped(Effect.gen(function*() {
    const last = yield* lastSequence(stream)
    if (last < from) {
      return
    }
    const inlet = yield* open(stream, from)
    while (true) {
      const chunk = yield* take(inlet, CHUNK)
      if (chunk === undefined) {
        return
      }
      for (const delivery of chunk) {
        yield* each(delivery)
        if (delivery.streamSequence >= last) {
          return
        }
      }
      yield* inlet.settle(chunk.map((delivery) => ({ delivery, settlement: Settlement.ack })))
    }
  }))

/** The message at this place; nothing if there is none any more. */
export const readOne = (
  stream: string,
  sequence: number
): Effect.Effect<Option.Option<Delivery>, TransportError, Transport> =>
  Effect.scoped(Effect.gen(function*() {
    if ((yield* lastSequence(stream)) < sequence) {
      return Option.none()
    }
    const chunk = yield* take(yield* open(stream, sequence, 1), 1)
    return Option.filter(Option.fromUndefinedOr(chunk?.[0]), (found) => found.streamSequence === sequence)
  }))

// internals

const open = (
  stream: string,
  sequence: number,
  messages = CHUNK
): Effect.Effect<Inlet, TransportError, Transport | Scope.Scope> =>
  Transport.use((transport) =>
    transport.open(
      { _tag: "ordered", stream, filters: [], start: { _tag: "sequence", sequence: Math.max(1, sequence) } },
      { queue: Queue.suspend({ messages }), ack: { _tag: "onProcess" }, timeBudgetMs: 15 * 60_000 }
    )
  )

const take = (
  inlet: Inlet,
  max: number
): Effect.Effect<NonEmptyReadonlyArray<Delivery> | undefined, TransportError> =>
  Pull.catchDone(inlet.take(max), () => Effect.succeed(undefined)).pipe(
    Effect.timeoutOption(QUIET_MS),
    Effect.map(Option.getOrUndefined)
  )

/** 0 for an empty stream. */
const lastSequence = (stream: string): Effect.Effect<number, TransportError, Transport> =>
  Effect.gen(function*() {
    const { capabilities, topology } = yield* Transport
    if (Option.isNone(topology)) {
      const { broker } = yield* capabilities
      return yield* because(
        new Unsupported({ feature: "looking at streams", broker, needs: "a transport with a topology" })
      )
    }
    const info = yield* topology.value.describeStream(stream)
    if (Option.isNone(info)) {
      return yield* because(new StreamNotFound({ stream }))
    }
    return info.value.messages === 0 ? 0 : info.value.lastSequence
  })

/** What is known of the letters while the stream is read. */
class Register {
  readonly #letters = new Map<number, Letter>()
  /** A letter that was stored twice, because its writer was away for longer than ids are remembered, is one letter. */
  readonly #first = new Map<string, number>()

  get letters(): ReadonlyArray<Letter> {
    return [...this.#letters.values()].toSorted((a, b) => a.id - b.id)
  }

  note(delivery: Delivery): void {
    const headers = Result.getOrElse(delivery.headers, () => Headers.empty)
    const provenance = Option.getOrUndefined(Provenance.fromHeaders(headers))
    if (provenance === undefined) {
      return
    }
    const end = delivery.subject.lastIndexOf(".")
    const event = delivery.subject.slice(end + 1)
    const queue = delivery.subject.slice(0, end)
    if (event === events.replay || event === events.replayed || event === events.dropped) {
      const why = headers.get(eventHeaders.why)?.[0] ?? ""
      const id = Number(headers.get(eventHeaders.letter)?.[0])
      this.#change({ id, queue, storedAt: delivery.timestamp, provenance, exists: false, why }, event)
    } else if (event === provenance.kind) {
      const { streamSequence: id, timestamp: storedAt } = delivery
      this.#add(
        { id, queue, storedAt, provenance, exists: true, why: "", state: "open" },
        headers.get("Nats-Msg-Id")?.[0]
      )
    }
  }

  #add(letter: Letter, messageId: string | undefined): void {
    if (messageId !== undefined) {
      if (this.#first.has(messageId)) {
        return
      }
      this.#first.set(messageId, letter.id)
    }
    this.#letters.set(letter.id, letter)
  }

  #change(said: Omit<Letter, "state">, event: string): void {
    const letter = this.#letters.get(said.id)
    if (event === events.dropped) {
      this.#letters.set(said.id, { ...said, ...letter, state: "dropped", why: said.why })
    } else if (letter !== undefined) {
      this.#letters.set(letter.id, { ...letter, state: "replayed" })
    }
  }
}
