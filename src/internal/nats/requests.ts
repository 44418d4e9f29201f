/**
 * Requests and their answers, over one private inbox of ours.
 *
 * An answer counts only for a request that is waiting for it; tokens come from a counter below a random prefix that no
 * other client can guess.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import * as Headers from "../../Headers.ts"
import {
  because,
  Disconnected,
  invalid,
  NoResponders,
  PermissionDenied,
  type Reason,
  TimedOut,
  type TransportError
} from "../../TransportError.ts"
import { line } from "./frames.ts"
import type { Raw } from "./raw.ts"
import type { Supervisor, Tenant } from "./supervisor.ts"

export const NO_RESPONDERS = 503

/** The code of a status message, or 0 for a message with a content. */
export const statusOf = (raw: Raw): number => raw.hasHeaders ? Headers.decodeStatus(raw.headers)?.code ?? 0 : 0

const UNSAFE = /[\s\0]/

/** A server would close the whole connection for it. */
const problemOf = (subject: string, payload: string, maxPayload: number): string | undefined =>
  UNSAFE.test(subject)
    ? "its subject has characters that must not go on the wire"
    : Buffer.byteLength(payload) > maxPayload
    ? `it has more than the ${maxPayload} bytes that the server takes`
    : undefined

interface Waiting {
  readonly subject: string
  readonly resume: (effect: Effect.Effect<Raw, TransportError>) => void
}

export class Requests implements Tenant {
  readonly #supervisor: Supervisor
  readonly #inbox: string
  readonly #waiting = new Map<string, Waiting>()
  #last = 0
  /** Why no answer can reach us on this connection, or on any. */
  #deaf: Reason | undefined

  private constructor(supervisor: Supervisor, inbox: string) {
    this.#supervisor = supervisor
    this.#inbox = inbox
  }

  static make(supervisor: Supervisor, inbox: string): Effect.Effect<Requests, never, Scope.Scope> {
    const requests = new Requests(supervisor, inbox)
    return Effect.as(supervisor.join(requests), requests)
  }

  readonly up = (link: Supervisor["link"]): void => {
    this.#deaf = undefined
    link.subscribe(`${this.#inbox}.*`, (raw) => this.#answer(raw), true)
  }

  readonly down = (reason: Reason): void => {
    this.#endAll(() => true, new Disconnected({ detail: reason.problem }))
  }

  readonly gone = (reason: Reason): void => {
    this.#deaf = reason
    this.#endAll(() => true, reason)
  }

  readonly denied = (action: "publish" | "subscribe", subject: string): void => {
    const reason = new PermissionDenied({ action, subject })
    if (subject.startsWith(`${this.#inbox}.`)) {
      this.#deaf = reason
      this.#endAll(() => true, reason)
    } else {
      this.#endAll((waiting) => waiting.subject === subject, reason)
    }
  }

  /** Sends a request and waits for its answer. */
  request(subject: string, payload: string, timeoutMs: number): Effect.Effect<Raw, TransportError> {
    const answer = Effect.callback<Raw, TransportError>((resume) => {
      if (this.#deaf !== undefined) {
        resume(Effect.fail(because(this.#deaf)))
        return
      }
      if (!this.#supervisor.isUp) {
        resume(Effect.fail(because(new Disconnected({ detail: "the connection is being re-established" }))))
        return
      }
      const problem = problemOf(subject, payload, this.#supervisor.link.maxPayload)
      if (problem !== undefined) {
        resume(Effect.fail(invalid("request", problem, "Look at the names and the filters in it.")))
        return
      }
      const reply = `${this.#inbox}.${(++this.#last).toString(36)}`
      this.#waiting.set(reply, { subject, resume })
      this.#supervisor.link.write(line(subject, payload, reply))
      return Effect.sync(() => {
        this.#waiting.delete(reply)
      })
    })
    return Effect.timeoutOrElse(answer, {
      duration: timeoutMs,
      orElse: () => Effect.fail(because(new TimedOut({ operation: subject, millis: timeoutMs })))
    })
  }

  #answer(raw: Raw): void {
    const waiting = this.#waiting.get(raw.subject)
    if (waiting === undefined) {
      return
    }
    this.#waiting.delete(raw.subject)
    waiting.resume(
      statusOf(raw) === NO_RESPONDERS
        ? Effect.fail(because(new NoResponders({ subject: waiting.subject })))
        : Effect.succeed(raw)
    )
  }

  #endAll(which: (waiting: Waiting) => boolean, reason: Reason): void {
    for (const [reply, waiting] of this.#waiting) {
      if (which(waiting)) {
        this.#waiting.delete(reply)
        waiting.resume(Effect.fail(because(reason)))
      }
    }
  }
}
