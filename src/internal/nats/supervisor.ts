/**
 * Keeps a link alive: replaces it when it closes, goes deaf or is refused, and gives the new one to everybody who lives
 * on it (I8). The first connect fails fast; after that it never gives up, unless its schedule does.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Capabilities, ConnectionStatus } from "../../Transport.ts"
import { because, Closed, ConnectFailed, type Reason, type TransportError } from "../../TransportError.ts"
import { ofServer } from "./capabilities.ts"
import { Link, type LinkEvents } from "./link.ts"

/** Somebody who lives on the connection: told of each new link, and of its end. */
export interface Tenant {
  readonly up: (link: Link) => void
  readonly down: (reason: Reason) => void
  readonly denied: (action: "publish" | "subscribe", subject: string) => void
  /** There will be no other link. */
  readonly gone: (reason: Reason) => void
}

export interface Options {
  readonly servers: ReadonlyArray<string>
  /** Makes one connection; the credentials are read anew each time, so that rotated ones are found. */
  readonly dial: (server: string, events: LinkEvents) => Effect.Effect<Link, TransportError>
  readonly reconnect: Schedule.Schedule<unknown, TransportError>
}

/**
 * A tenth of the outage so far, from 100 ms to 2 s, jittered: each pause is 100 ms and a tenth of those before it. Who was
 * away for seconds is back in a fraction of one; who was away for minutes may take its time.
 */
export const backoff: Schedule.Schedule<unknown, TransportError> = Schedule.jittered(
  Schedule.min([Schedule.exponential(100, 1.1), Schedule.spaced(2_000)])
)

export class Supervisor {
  readonly status: SubscriptionRef.SubscriptionRef<ConnectionStatus>
  link: Link
  /** Down from the moment that the link is over until the next one stands. */
  isUp = true
  readonly #tenants = new Set<Tenant>()
  /** Why there will be no other link. */
  #over: Reason | undefined

  constructor(link: Link, status: SubscriptionRef.SubscriptionRef<ConnectionStatus>) {
    this.link = link
    this.status = status
  }

  get capabilities(): Capabilities {
    return ofServer(this.link)
  }

  /** Moves in for as long as the scope is open. */
  join(tenant: Tenant): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(Effect.sync(() => this.enter(tenant)), () => Effect.sync(() => this.leave(tenant)))
  }

  enter(tenant: Tenant): void {
    this.#tenants.add(tenant)
    if (this.isUp) {
      tenant.up(this.link)
    } else if (this.#over !== undefined) {
      tenant.gone(this.#over)
    }
  }

  leave(tenant: Tenant): void {
    this.#tenants.delete(tenant)
  }

  up(link: Link): void {
    this.link = link
    this.isUp = true
    for (const tenant of this.#tenants) {
      tenant.up(link)
    }
  }

  down(reason: Reason): void {
    if (!this.isUp) {
      return
    }
    this.isUp = false
    for (const tenant of this.#tenants) {
      tenant.down(reason)
    }
  }

  /** No link, and none to come: nobody may wait for one. */
  gone(reason: Reason): void {
    this.#over = reason
    this.down(reason)
    for (const tenant of this.#tenants) {
      tenant.gone(reason)
    }
  }

  denied(action: "publish" | "subscribe", subject: string): void {
    for (const tenant of this.#tenants) {
      tenant.denied(action, subject)
    }
  }
}

/** Connects, or fails with the last reason; then supervises until the scope closes. */
export const make = (options: Options): Effect.Effect<Supervisor, TransportError, Scope.Scope> =>
  Effect.gen(function*() {
    let next = 0
    let over = Deferred.makeUnsafe<Reason>()
    let supervisor: Supervisor | undefined
    const events = (mine: Deferred.Deferred<Reason>): LinkEvents => ({
      closed: (reason) => {
        supervisor?.down(reason)
        Deferred.doneUnsafe(mine, Exit.succeed(reason))
      },
      lameDuck: () => {
        const reason = new ConnectFailed({ servers: [], detail: "the server is shutting down (lame duck mode)" })
        supervisor?.down(reason)
        Deferred.doneUnsafe(mine, Exit.succeed(reason))
      },
      denied: (action, subject) => supervisor?.denied(action, subject),
      defect: (error) => fork(Effect.logError("defect in a connection callback", Cause.die(error)))
    })
    const context = yield* Effect.context<never>()
    const fork = Effect.runForkWith(context)
    const dialNext = Effect.suspend(() => {
      over = Deferred.makeUnsafe<Reason>()
      return options.dial(options.servers[next++ % options.servers.length] as string, events(over))
    })

    const first = yield* firstOf(dialNext, options.servers)
    const status = yield* SubscriptionRef.make<ConnectionStatus>({ _tag: "Connected", server: first.server })
    const running = supervisor = new Supervisor(first, status)
    yield* Effect.addFinalizer(() => close(running))
    yield* Effect.forkScoped(supervise(running, () => over, dialNext, options.reconnect))
    return running
  })

// internals

/** Tries every server once, and fails with what the last one said. */
const firstOf = (
  dialNext: Effect.Effect<Link, TransportError>,
  servers: ReadonlyArray<string>
): Effect.Effect<Link, TransportError> =>
  Effect.gen(function*() {
    let last: Reason | undefined
    for (let tried = 0; tried < servers.length; tried++) {
      const outcome = yield* Effect.result(dialNext)
      if (outcome._tag === "Success") {
        return outcome.success
      }
      last = outcome.failure.reason
    }
    const reason = last?._tag === "ConnectFailed" ? new ConnectFailed({ servers, detail: last.detail }) : last
    return yield* Effect.fail(because(reason ?? new ConnectFailed({ servers, detail: "no server is configured" })))
  })

const supervise = (
  supervisor: Supervisor,
  over: () => Deferred.Deferred<Reason>,
  dialNext: Effect.Effect<Link, TransportError>,
  schedule: Schedule.Schedule<unknown, TransportError>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    while (true) {
      const reason = yield* Deferred.await(over())
      supervisor.link.discard()
      // Nothing to do, unless the link was over before it was handed out.
      supervisor.down(reason)
      let attempt = 0
      yield* SubscriptionRef.set(supervisor.status, { _tag: "Connecting", attempt, reason: Option.some(reason) })
      yield* Effect.logWarning(`connection lost: ${reason.problem}`)
      const dial = Effect.tapError(dialNext, (error) =>
        SubscriptionRef.set(supervisor.status, {
          _tag: "Connecting",
          attempt: ++attempt,
          reason: Option.some(error.reason)
        }))
      const outcome = yield* Effect.result(Effect.retry(dial, schedule))
      if (outcome._tag === "Failure") {
        supervisor.gone(outcome.failure.reason)
        yield* SubscriptionRef.set(supervisor.status, { _tag: "Closed", reason: Option.some(outcome.failure.reason) })
        yield* Effect.logError(`reconnecting was given up: ${outcome.failure.message}`)
        return
      }
      supervisor.up(outcome.success)
      yield* SubscriptionRef.set(supervisor.status, { _tag: "Connected", server: outcome.success.server })
      yield* Effect.logInfo(`connected again to ${outcome.success.server}`)
    }
  })

const close = (supervisor: Supervisor): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* Effect.timeoutOption(Effect.promise(() => supervisor.link.flush()), 1_000)
    supervisor.gone(new Closed({}))
    supervisor.link.discard()
    yield* SubscriptionRef.set(supervisor.status, { _tag: "Closed", reason: Option.none() })
  })
