/**
 * One connection of the vendor's client, as a disposable thing (I8).
 *
 * The client's own reconnect is switched off: when it closes, falls silent or is refused, this link is over, and the
 * supervisor makes a new one. The link is the only file that touches the client's objects, and the only one that knows
 * which of its internals we rely on: its parser (`incoming.ts`; it is slow, and throws on a header that another client got
 * away with), the buffer of what goes out (many small messages cost it more than one large piece), and the socket (a stale
 * connection whose socket is full never finishes closing).
 */
import {
  connect,
  type ConnectionOptions,
  errors,
  type NatsConnection,
  type Subscription
} from "@nats-io/transport-node"
import { Buffer } from "node:buffer"
import * as TransportError from "../../TransportError.ts"
import { Incoming } from "./incoming.ts"
import { Pings } from "./pings.ts"
import type { Raw } from "./raw.ts"

export interface Subscribed {
  /** Ends the subscription; what the server had sent before it knew has been handed over when the promise resolves. */
  readonly drain: () => Promise<void>
  /** Ends the subscription now; whatever was on its way is dropped. */
  readonly end: () => void
}

export interface LinkEvents {
  /** Over, and why. Called once. */
  readonly closed: (reason: TransportError.Reason) => void
  /** The server asks its clients to leave. */
  readonly lameDuck: () => void
  readonly denied: (action: "publish" | "subscribe", subject: string) => void
  /** One of our own callbacks threw: a defect, never to reach the client's read loop. */
  readonly defect: (error: unknown) => void
}

/** The client's own heartbeat is switched off (`pings.ts`): it may pause for no longer than a timer can be set, in ms. */
const NEVER_MS = 2_147_483_647

export class Link {
  readonly server: string
  readonly version: string
  readonly maxPayload: number
  readonly #connection: NatsConnection
  readonly #events: LinkEvents
  readonly #incoming: Incoming
  readonly #pings: Pings
  #over = false

  private constructor(connection: NatsConnection, events: LinkEvents) {
    this.#connection = connection
    this.#events = events
    this.server = connection.getServer()
    this.version = connection.info?.version ?? "0.0.0"
    this.maxPayload = connection.info?.max_payload ?? 1024 * 1024
    const { parser } = internalsOf(connection).protocol
    const pass = parser.parse.bind(parser)
    this.#incoming = new Incoming(pass)
    parser.parse = (bytes) => this.#read(bytes)
    this.#pings = new Pings({
      ping: () => connection.flush(),
      outgoing: () => {
        const { bytesWritten = 0, writeQueueSize = 0 } = internalsOf(connection).protocol.transport?.socket?._handle
          ?? {}
        return { waits: writeQueueSize, written: bytesWritten - writeQueueSize }
      },
      silent: () => {
        this.#end(new TransportError.Disconnected({ detail: "the server stopped answering pings" }))
        this.discard()
      }
    })
    void this.#watch()
    void connection.closed().then((error) => this.#end(error === undefined ? undefined : reasonOf(error)))
  }

  /** Rejects with a `Reason` if no connection comes about. */
  static async connect(server: string, options: ConnectionOptions, events: LinkEvents): Promise<Link> {
    try {
      const connection = await connect({
        ...options,
        servers: server,
        reconnect: false,
        ignoreClusterUpdates: true,
        noAsyncTraces: true,
        pingInterval: NEVER_MS
      })
      return new Link(connection, events)
    } catch (error) {
      throw reasonOf(error, server)
    }
  }

  get isOver(): boolean {
    return this.#over
  }

  /**
   * Writes messages in the words of the protocol (`frames.ts`) in one piece, with all else that is written in this turn.
   * Never throws: a lost link loses them.
   */
  write(frames: string | Uint8Array): void {
    if (this.#over || this.#connection.isClosed()) {
      return
    }
    const { protocol } = internalsOf(this.#connection)
    protocol.sendCommand(typeof frames === "string" ? Buffer.from(frames) : frames)
  }

  /**
   * Calls back for each message, in the client's read loop: the callback must be short and must not wait. `isAnswer`: what
   * comes there answers what was written here, as well as a ping would be.
   */
  subscribe(subject: string, onMessage: (message: Raw) => void, isAnswer = false): Subscribed {
    if (this.#over) {
      return { drain: () => Promise.resolve(), end: () => {} }
    }
    let subscription: Subscription
    try {
      // The client only keeps account of it: what comes is read here.
      subscription = this.#connection.subscribe(subject, { callback: () => {} })
    } catch (error) {
      this.#events.defect(error)
      return { drain: () => Promise.resolve(), end: () => {} }
    }
    const sid = subscription.getID()
    this.#incoming.listen(sid, (message) => {
      if (isAnswer) {
        this.#pings.answered()
      }
      try {
        onMessage(message)
      } catch (defect) {
        this.#events.defect(defect)
      }
    })
    return {
      drain: async () => {
        await (this.#over ? undefined : subscription.drain().catch(() => {}))
        this.#incoming.ignore(sid)
      },
      end: () => {
        this.#incoming.ignore(sid)
        if (!this.#over) {
          subscription.unsubscribe()
        }
      }
    }
  }

  /** Waits until the server has read all that was written. */
  async flush(): Promise<void> {
    if (!this.#over) {
      await this.#connection.flush().catch(() => {})
    }
  }

  /** Ends it now, whatever state the socket is in. */
  discard(): void {
    this.#over = true
    this.#pings.end()
    this.#incoming.end()
    void this.#connection.close().catch(() => {})
    internalsOf(this.#connection).protocol.transport?.discard?.()
  }

  #read(bytes: Uint8Array): void {
    this.#pings.came(bytes.length)
    try {
      this.#incoming.feed(bytes)
    } catch (error) {
      this.#end(reasonOf(error))
      this.discard()
    }
  }

  #end(reason: TransportError.Reason | undefined): void {
    if (!this.#over) {
      this.#over = true
      this.#pings.end()
      this.#events.closed(reason ?? new TransportError.Disconnected({ detail: "the server closed the connection" }))
    }
  }

  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === "ldm") {
        this.#events.lameDuck()
      } else if (status.type === "error") {
        if (status.error instanceof errors.PermissionViolationError) {
          const action = status.error.operation === "publish" ? "publish" : "subscribe"
          this.#events.denied(action, status.error.subject)
        } else if (isAuth(status.error)) {
          this.#end(reasonOf(status.error))
          this.discard()
        }
      }
    }
  }
}

// internals

interface Internals {
  readonly protocol: {
    readonly parser: { parse: (bytes: Uint8Array) => void }
    readonly sendCommand: (bytes: Uint8Array) => void
    readonly transport?: {
      readonly discard?: () => void
      /** Only Node's own handle knows how much of one large write the system has taken. */
      readonly socket?: { readonly _handle?: { readonly bytesWritten?: number; readonly writeQueueSize?: number } }
    }
  }
}

const internalsOf = (connection: NatsConnection): Internals => connection as unknown as Internals

const isAuth = (error: unknown): boolean =>
  error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError

const reasonOf = (error: unknown, server?: string): TransportError.Reason => {
  const detail = error instanceof Error ? error.message : String(error)
  if (isAuth(error)) {
    return new TransportError.AuthFailed({ detail })
  }
  return server === undefined
    ? new TransportError.Disconnected({ detail })
    : new TransportError.ConnectFailed({ servers: [server], detail })
}
