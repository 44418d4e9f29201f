/**
 * One connection of the vendor's client, as a disposable thing (I8).
 *
 * The client's own reconnect is switched off: when it closes, falls silent or is refused, this link is over, and the
 * supervisor makes a new one. The link is the only file that touches the client's objects, and the only one that knows
 * which of its internals we rely on: the bytes of a message (the client's own decoder throws on a header that another
 * client got away with, and is slow with names), the buffer of what goes out (many small messages cost it more than one
 * large piece), and the socket (a stale connection whose socket is full never finishes closing).
 */
import {
  connect,
  type ConnectionOptions,
  errors,
  type Msg,
  type NatsConnection,
  type Subscription
} from "@nats-io/transport-node"
import { Buffer } from "node:buffer"
import * as TransportError from "../../TransportError.ts"

/** A message as it came from the socket. Its bytes are a part of the socket's: whoever keeps them copies them. */
export interface Raw {
  readonly subject: string
  readonly reply: string
  /** Header block and payload, behind one another. */
  readonly bytes: Uint8Array
  readonly headerLength: number
}

export const headersOf = ({ bytes, headerLength }: Raw): Uint8Array =>
  headerLength === 0 ? EMPTY : bytes.subarray(0, headerLength)

export const payloadOf = ({ bytes, headerLength }: Raw): Uint8Array =>
  headerLength === 0 ? bytes : bytes.subarray(headerLength)

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

const EMPTY = new Uint8Array(0)
/**
 * A peer that has gone silent is found out when the ping after four unanswered ones is due. That is four to five pauses after
 * it went, depending on where between two pings that was: 2.0 to 2.5 s. Not earlier, because until then its server serves the
 * pulls that it has (`pulls.ts`); and half a second before anybody may still be told that all is well, for timers that
 * are late and for the word to get around.
 */
const WATCH_PING_MS = 500
const WATCH_PINGS = 4

export class Link {
  readonly server: string
  readonly version: string
  readonly maxPayload: number
  readonly #connection: NatsConnection
  readonly #events: LinkEvents
  #over = false

  private constructor(connection: NatsConnection, events: LinkEvents) {
    this.#connection = connection
    this.#events = events
    this.server = connection.getServer()
    this.version = connection.info?.version ?? "0.0.0"
    this.maxPayload = connection.info?.max_payload ?? 1024 * 1024
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
        pingInterval: WATCH_PING_MS,
        maxPingOut: WATCH_PINGS
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
    const { protocol } = this.#connection as unknown as { protocol: { sendCommand: (bytes: Uint8Array) => void } }
    protocol.sendCommand(typeof frames === "string" ? Buffer.from(frames) : frames)
  }

  /** Calls back for each message, in the client's read loop: the callback must be short and must not wait. */
  subscribe(subject: string, onMessage: (message: Raw) => void): Subscribed {
    let subscription: Subscription | undefined
    if (this.#over) {
      return { drain: () => Promise.resolve(), end: () => {} }
    }
    try {
      subscription = this.#connection.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null && error !== undefined) {
            return
          }
          try {
            onMessage(rawOf(message))
          } catch (defect) {
            this.#events.defect(defect)
          }
        }
      })
    } catch (error) {
      this.#events.defect(error)
    }
    return {
      drain: () => this.#over || subscription === undefined ? Promise.resolve() : subscription.drain().catch(() => {}),
      end: () => {
        if (!this.#over) {
          subscription?.unsubscribe()
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
    const internals = this.#connection as unknown as { protocol?: { transport?: { discard?: () => void } } }
    void this.#connection.close().catch(() => {})
    internals.protocol?.transport?.discard?.()
  }

  #end(reason: TransportError.Reason | undefined): void {
    if (!this.#over) {
      this.#over = true
      this.#events.closed(reason ?? new TransportError.Disconnected({ detail: "the server closed the connection" }))
    }
  }

  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === "staleConnection") {
        this.#end(new TransportError.Disconnected({ detail: "the server stopped answering pings" }))
        this.discard()
      } else if (status.type === "ldm") {
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
  readonly _msg: { readonly subject: Uint8Array; readonly reply: Uint8Array | undefined; readonly hdr: number }
  readonly _rdata: Uint8Array | undefined
}

const rawOf = (message: Msg): Raw => {
  const { _msg: { hdr, reply, subject }, _rdata } = message as unknown as Internals
  return {
    subject: subjectOf(subject),
    reply: reply === undefined ? "" : textOf(reply),
    bytes: _rdata ?? EMPTY,
    headerLength: Math.max(0, hdr)
  }
}

/** A name of a few bytes costs the client's own decoder twice as much, and each message has two. */
const textOf = (bytes: Uint8Array): string =>
  (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)).toString()

/** The subject that was read last: most messages of a reader have the one of the message before. */
const lastSubject = { bytes: new Uint8Array(256), length: -1, text: "" }

const subjectOf = (bytes: Uint8Array): string => {
  let at = bytes.length === lastSubject.length ? 0 : -1
  while (at >= 0 && at < bytes.length) {
    at = bytes[at] === lastSubject.bytes[at] ? at + 1 : -1
  }
  if (at >= 0) {
    return lastSubject.text
  }
  const text = textOf(bytes)
  if (bytes.length <= lastSubject.bytes.length) {
    lastSubject.bytes.set(bytes)
    lastSubject.length = bytes.length
    lastSubject.text = text
  }
  return text
}

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
