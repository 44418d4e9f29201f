/**
 * Watches whether the streams that are read have a leader, by asking for them while nothing comes.
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

interface State {
  movedAt: number
  answeredAt: number
  askAt: number
  hasReplicas: boolean
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

  /** Something came from it, or there was no room for it. */
  moved(name: string): void {
    this.#of(name).movedAt = this.#now()
  }

  /** A new connection: nobody can have answered before. */
  connected(): void {
    for (const state of this.#states.values()) {
      state.answeredAt = this.#now()
    }
  }

  /** Asks for those that are due, one question beside the other; only these are read now. */
  ask(names: ReadonlySet<string>): ReadonlyArray<Effect.Effect<void>> {
    const now = this.#now()
    for (const name of this.#states.keys()) {
      if (!names.has(name)) {
        this.#states.delete(name)
      }
    }
    return [...names].flatMap((name) => {
      const state = this.#of(name)
      if (this.#admin === undefined || !state.mayAsk || now < Math.max(state.askAt, state.movedAt + IDLE_AFTER_MS)) {
        return []
      }
      state.askAt = now + ASK_MS
      return [this.#askFor(this.#admin, name, state)]
    })
  }

  get problems(): ReadonlyArray<Problem> {
    const now = this.#now()
    return [...this.#states].flatMap(([stream, { answeredAt, hasReplicas, mayAsk, movedAt }]) => {
      const unansweredMs = now - Math.max(answeredAt, movedAt)
      return hasReplicas && mayAsk && unansweredMs >= UNANSWERED_AFTER_MS
        ? [{ _tag: "StreamUnavailable", stream, unansweredMs } as const]
        : []
    })
  }

  // internals

  #of(name: string): State {
    let state = this.#states.get(name)
    if (state === undefined) {
      const now = this.#now()
      state = { movedAt: now, answeredAt: now, askAt: 0, hasReplicas: false, mayAsk: true }
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
