/** What a test can see of a broker in memory, and do to it, past all clients. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Headers from "../../Headers.ts"
import type { TopologyAdmin } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"
import { admin } from "./admin.ts"
import type { Broker } from "./broker.ts"
import type { Client } from "./client.ts"
import type { Stored } from "./log.ts"
import type { Advisory, StoredMessage, Unanswered } from "./words.ts"

/** As `layers/Memory` documents it. */
export interface Control {
  readonly topology: TopologyAdmin
  readonly messages: (stream: string) => Effect.Effect<ReadonlyArray<StoredMessage>, TransportError>
  readonly unanswered: (
    stream: string,
    consumer: string
  ) => Effect.Effect<ReadonlyArray<Unanswered>, TransportError>
  readonly advisories: Stream.Stream<Advisory>
  readonly stepDown: (
    stream: string,
    options?: { readonly electionTime?: Duration.Input }
  ) => Effect.Effect<void, TransportError>
  readonly restart: (options?: { readonly downFor?: Duration.Input }) => Effect.Effect<void>
  readonly corrupt: (stream: string, sequence: number) => Effect.Effect<void, TransportError>
}

/** What an election takes on a cluster on one machine. */
const ELECTION_MS = 50
/** How many advisories wait for a reader that is slow; later ones are dropped. */
const ADVISORIES_MAX = 4_096

export const control = (broker: Broker, clients: ReadonlySet<Client>): Control => {
  const ask = <A>(run: () => Result.Result<A, TransportError>): Effect.Effect<A, TransportError> =>
    Effect.suspend(() => Effect.fromResult(run()))
  const tellAll = Effect.suspend(() => Effect.forEach([...clients], (client) => client.sync, { discard: true }))
  return {
    topology: admin(broker, Effect.void),
    messages: (name) => ask(() => Result.map(broker.stream(name), ({ log }) => log.all.map(shown))),
    unanswered: (stream, name) =>
      ask(() =>
        Result.map(
          broker.consumer(stream, name),
          (found) =>
            found.unanswered.map(({ deadline, sequence, state }) => ({
              sequence,
              deliveries: found.deliveriesOf(sequence),
              state,
              until: deadline
            }))
        )
      ),
    advisories: Stream.callback<Advisory>((queue) =>
      Effect.acquireRelease(
        Effect.sync(() => broker.listen((advisory) => void Queue.offerUnsafe(queue, advisory))),
        (stop) => Effect.sync(stop)
      ), { bufferSize: ADVISORIES_MAX, strategy: "dropping" }),
    stepDown: (stream, options) => ask(() => broker.stepDown(stream, millis(options?.electionTime ?? ELECTION_MS))),
    restart: (options) =>
      Effect.gen(function*() {
        broker.halt()
        yield* tellAll
        const resume = Effect.andThen(Effect.sync(() => broker.resume()), tellAll)
        const downMs = millis(options?.downFor ?? 0)
        if (downMs === 0) {
          yield* resume
        } else {
          broker.after(downMs, resume)
        }
      }),
    corrupt: (name, sequence) =>
      ask(() =>
        Result.map(broker.message(name, sequence), (message) => {
          message.payload = corrupted(message.payload)
        })
      )
  }
}

// internals

const millis = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))

const shown = ({ headers, payload, sequence, subject, timestamp }: Stored): StoredMessage => ({
  sequence,
  subject: subject.name,
  headers: Result.getOrElse(Headers.decode(headers), () => Headers.empty),
  payload: payload.slice(),
  timestamp
})

/** Every bit is the other one; of nothing comes something. */
const corrupted = (payload: Uint8Array): Uint8Array =>
  payload.length === 0 ? Uint8Array.of(0xff) : payload.map((byte) => byte ^ 0xff)
