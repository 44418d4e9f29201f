/**
 * Brings letters back: each once, however often it is asked for.
 */
import { isReadonlyArrayNonEmpty } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Headers from "../../Headers.ts"
import type { Delivery, Outgoing } from "../../Message.ts"
import * as Provenance from "../../Provenance.ts"
import * as Publisher from "../../Publisher.ts"
import type { Receipt, Transport } from "../../Transport.ts"
import { because, type TransportError } from "../../TransportError.ts"
import * as Letters from "../reader/letters.ts"
import { type Letter, readAll, readOne } from "./scanning.ts"

export interface Options {
  readonly stream: string
  /** Back to its subject, for everybody; else to its handler alone. */
  readonly publish: boolean
  /** So many a second. */
  readonly rate: number | undefined
  readonly onProgress: (done: number) => void
}

export interface Replayed {
  readonly replayed: number
  /** Somebody else had brought it back a moment before. */
  readonly duplicates: number
  /** What is left of them is not the message. */
  readonly unavailable: ReadonlyArray<number>
}

const CHUNK = 500

export const replay = (
  letters: ReadonlyArray<Letter>,
  options: Options
): Effect.Effect<Replayed, TransportError, Transport> =>
  Effect.gen(function*() {
    const wanted = new Map(letters.map((letter) => [letter.id, letter]))
    const size = options.rate === undefined ? CHUNK : Math.max(1, Math.min(CHUNK, Math.floor(options.rate / 10)))
    const done = { replayed: 0, duplicates: 0, unavailable: [] as Array<number> }
    let chunk: Array<readonly [Letter, Outgoing]> = []
    const flush = Effect.suspend(() => {
      const batch = chunk
      chunk = []
      return Effect.gen(function*() {
        const duplicates = yield* send(batch, options)
        done.duplicates += duplicates
        done.replayed += batch.length - duplicates
        options.onProgress(done.replayed + done.duplicates + done.unavailable.length)
        if (options.rate !== undefined) {
          yield* Effect.sleep(batch.length * 1_000 / options.rate)
        }
      })
    })
    yield* readAll(options.stream, letters[0]?.id ?? Number.POSITIVE_INFINITY, (delivery) => {
      const letter = wanted.get(delivery.streamSequence)
      return letter === undefined ? Effect.void : Effect.gen(function*() {
        const original = yield* originalOf(letter, delivery)
        if (original === undefined) {
          done.unavailable.push(letter.id)
          return
        }
        chunk.push([letter, outgoing(letter, original, options)])
        if (chunk.length >= size) {
          yield* flush
        }
      })
    })
    yield* flush
    return done
  })

/** Says in the stream what became of a letter. */
export const event = (letter: Letter, name: string, stream: string, why = ""): Outgoing => {
  const headers = Headers.set(Provenance.toHeaders(letter.provenance), Letters.eventHeaders.letter, String(letter.id))
  return {
    subject: `${letter.queue}.${name}`,
    payload: new Uint8Array(),
    headers: why === "" ? headers : Headers.set(headers, Letters.eventHeaders.why, Headers.sanitize(why)),
    id: `${name}:${stream}:${letter.id}:${letter.storedAt}`,
    expect: { stream }
  }
}

/** Publishes all, or fails. Gives how many had been stored before. */
export const publishAll = (batch: ReadonlyArray<Outgoing>): Effect.Effect<number, TransportError, Transport> =>
  isReadonlyArrayNonEmpty(batch)
    ? Effect.flatMap(Publisher.publishRaw(batch), (receipts) => {
      const failed = receipts.find((receipt): receipt is Exclude<Receipt, { readonly _tag: "Confirmed" }> =>
        receipt._tag !== "Confirmed"
      )
      return failed === undefined
        ? Effect.succeed(receipts.filter((receipt) => receipt._tag === "Confirmed" && receipt.duplicate).length)
        : Effect.fail(because(failed.reason))
    })
    : Effect.succeed(0)

// internals

const send = (batch: ReadonlyArray<readonly [Letter, Outgoing]>, options: Options) =>
  Effect.tap(
    publishAll(batch.map(([, message]) => message)),
    // To its handler, the message itself is the record. On its subject, nobody sees where it came from.
    options.publish
      ? publishAll(batch.map(([letter]) => event(letter, Letters.events.replayed, options.stream)))
      : Effect.void
  )

/** The message as it was: from the letter, or from where it was left. */
const originalOf = (letter: Letter, delivery: Delivery) => {
  const { provenance } = letter
  return provenance.payload === "full"
    ? Effect.succeed(delivery)
    : readOne(provenance.stream, provenance.sequence).pipe(
      Effect.map(Option.filter((found) => found.timestamp === provenance.timestamp)),
      // Its stream may be gone as a whole.
      Effect.catchReason("TransportError", "StreamNotFound", () => Effect.succeedNone),
      Effect.map(Option.getOrUndefined)
    )
}

const outgoing = (letter: Letter, original: Delivery, options: Options): Outgoing => {
  const { provenance } = letter
  const own = Provenance.withoutProvenance(
    Headers.withoutReserved(Result.getOrElse(original.headers, () => Headers.empty))
  )
  if (options.publish) {
    const id = `replay:${options.stream}:${letter.id}:${letter.storedAt}`
    return {
      subject: provenance.subject,
      payload: original.payload,
      headers: own,
      id,
      expect: { stream: provenance.stream }
    }
  }
  const replay = event(letter, Letters.events.replay, options.stream)
  const headers = Provenance.toHeaders({ ...provenance, payload: "full" }, own)
  return {
    ...replay,
    payload: original.payload,
    headers: Headers.set(headers, Letters.eventHeaders.letter, String(letter.id))
  }
}
