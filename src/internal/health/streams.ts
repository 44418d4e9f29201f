/**
 * Watches whether the streams that are read and published to have a leader, by asking for them while nothing comes or goes.
 *
 * The consumer that is read and its stream are led by different servers. When the stream's is gone, the consumer goes on
 * saying every second that it has nothing, and nobody can store anything that it could have.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Problem } from "../../Health.ts"
import type { TopologyAdmin } from "../../Transport.ts"
import type { TransportError } from "../../TransportError.ts"

const ASK_MS = 1_000
const ASK_WITHIN_MS = 2_000
/** So long nothing came: time to ask. Where messages flow, nobody has to. */
const IDLE_AFTER_MS = 500
/** Without replicas a stream is where its consumers are. It may be given some. */
const ASK_ALONE_MS = 60_000
/** Whoever leads says something every second, a consumer by itself and a stream when it is asked. A second later, nobody leads. */
export const UNANSWERED_AFTER_MS = 2_000

/** Who publishes tries again within seconds. Where nothing was stored for longer, nobody publishes any more. */
const PUBLISHES_FOR_MS = 150_000
/** Of more streams that are only published to nobody is told. */
const MOST = 100

interface State {
  /** When something last came from it, or was stored in it. */
  movedAt: number
  storedAt: number
  answeredAt: number
  askAt: number
  /** Not known before the first answer. */
  hasReplicas: boolean | undefined
  mayAsk: boolean
}

export class Streams {
  readonly #admin: TopologyAdmin | undefined
  readonly #now: () => number
  readonly #states = new Map<string, State>()

  constructor(admin: TopologyAdmin | undefined, now: () => number) {
    this.#admin = admin
    this.#now = now
  }

  /** Something came from it, or nobody has room for it. */
  moved(name: string): void {
    this.#of(name).movedAt = this.#now()
  }

  /** Something was stored in it. */
  stored(name: string): void {
    if (this.#states.has(name) || this.#states.size < MOST) {
      const state = this.#of(name)
      state.storedAt = state.movedAt = this.#now()
    }
  }

  /** A new connection: nobody can have answered before. */
  connected(): void {
    for (const state of this.#states.values()) {
      state.answeredAt = this.#now()
    }
  }

  /** Asks for those that are due, one question beside the other. These are read now; others may be published to. */
  ask(read: ReadonlySet<string>): ReadonlyArray<Effect.Effect<void>> {
    const now = this.#now()
    read.forEach((name) => this.#of(name))
    for (const [name, state] of this.#states) {
      // What is missing stays so until it is there: who publishes to it goes on trying, and nothing is stored.
      if (!read.has(name) && now - state.storedAt >= PUBLISHES_FOR_MS && !isUnavailable(state, now)) {
        this.#states.delete(name)
      }
    }
    return [...this.#states].flatMap(([name, state]) => {
      const isBusy = state.hasReplicas !== undefined && now < state.movedAt + IDLE_AFTER_MS
      if (this.#admin === undefined || !state.mayAsk || isBusy || now < state.askAt) {
        return []
      }
      state.askAt = now + ASK_MS
      return [this.#askFor(this.#admin, name, state)]
    })
  }

  get problems(): ReadonlyArray<Problem> {
    const now = this.#now()
    return [...this.#states].flatMap(([stream, state]) =>
      isUnavailable(state, now)
        ? [{ _tag: "StreamUnavailable", stream, unansweredMs: silence(state, now) } as const]
        : []
    )
  }

  // internals

  #of(name: string): State {
    let state = this.#states.get(name)
    if (state === undefined) {
      const now = this.#now()
      state = {
        movedAt: now,
        storedAt: Number.NEGATIVE_INFINITY,
        answeredAt: now,
        askAt: 0,
        hasReplicas: undefined,
        mayAsk: true
      }
      this.#states.set(name, state)
    }
    return state
  }

  /** That there is no such stream is an answer, too. Who may not ask does not know. */
  #askFor(admin: TopologyAdmin, name: string, state: State): Effect.Effect<void> {
    return Effect.timeoutOption(admin.describeStream(name), ASK_WITHIN_MS).pipe(
      Effect.map(Option.map((found) => {
        state.answeredAt = this.#now()
        state.hasReplicas = Option.isSome(found) && found.value.stream.replicas > 1
        if (!state.hasReplicas) {
          state.askAt = state.answeredAt + ASK_ALONE_MS
        }
      })),
      Effect.catch((error: TransportError) =>
        Effect.sync(() => {
          state.mayAsk = error.reason._tag !== "PermissionDenied"
        })
      ),
      Effect.asVoid
    )
  }
}

const silence = ({ answeredAt, movedAt }: State, now: number): number => now - Math.max(answeredAt, movedAt)

const isUnavailable = (state: State, now: number): boolean =>
  state.hasReplicas === true && state.mayAsk && silence(state, now) >= UNANSWERED_AFTER_MS
