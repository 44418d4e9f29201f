/** A client of a broker in memory: a transport, and the connection that a test can cut. */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Outgoing } from "../../Message.ts"
import type { Capabilities, ConnectionStatus, Receipt, Transport } from "../../Transport.ts"
import { because, Closed, Disconnected, type Reason, type TransportError } from "../../TransportError.ts"
import { prepare } from "../outgoing.ts"
import * as Spilling from "../spill/inlet.ts"
import { admin } from "./admin.ts"
import type { Broker } from "./broker.ts"
import { type Home, open, type Reading } from "./reading.ts"

export class Client implements Home {
  readonly broker: Broker
  readonly readings = new Set<Reading>()
  readonly status: SubscriptionRef.SubscriptionRef<ConnectionStatus>
  #state: "connected" | "disconnected" | "closed" = "connected"
  /** A test has cut it off. */
  #isCut = false

  constructor(broker: Broker, status: SubscriptionRef.SubscriptionRef<ConnectionStatus>) {
    this.broker = broker
    this.status = status
  }

  static readonly make = (broker: Broker): Effect.Effect<Client, never, Scope.Scope> =>
    Effect.gen(function*() {
      const client = new Client(broker, yield* SubscriptionRef.make<ConnectionStatus>(connected))
      yield* Effect.addFinalizer(() => client.close)
      yield* client.sync
      return client
    })

  get isConnected(): boolean {
    return this.#state === "connected"
  }

  get transport(): Transport["Service"] {
    return {
      capabilities: Effect.succeed(capabilitiesOf(this.broker)),
      status: Stream.takeUntil(SubscriptionRef.changes(this.status), (status) => status._tag === "Closed"),
      publish: (batch) => Effect.suspend(() => this.#publish(batch)),
      open: Spilling.over((source, flow) => Effect.andThen(this.#checked, open(this, source, flow))),
      topology: Option.some(admin(this.broker, this.#checked))
    }
  }

  get disconnect(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isCut = true
      return this.sync
    })
  }

  get reconnect(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isCut = false
      return this.sync
    })
  }

  /** It is connected if it is not cut off and the broker is up; readers and watchers learn of a change. */
  get sync(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.#isCut || this.broker.isDown ? "disconnected" : "connected"
      if (this.#state === "closed" || this.#state === now) {
        return Effect.void
      }
      this.#state = now
      for (const reading of [...this.readings]) {
        if (now === "connected") {
          reading.up()
        } else {
          reading.down()
        }
      }
      return SubscriptionRef.set(this.status, now === "connected" ? connected : connecting)
    })
  }

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#state = "closed"
      for (const reading of [...this.readings]) {
        reading.closed()
      }
      return SubscriptionRef.set(this.status, { _tag: "Closed", reason: Option.none() })
    })
  }

  // internals

  get #checked(): Effect.Effect<void, TransportError> {
    return Effect.suspend(() => {
      switch (this.#state) {
        case "connected":
          return Effect.void
        case "disconnected":
          return Effect.fail(because(cut))
        case "closed":
          return Effect.fail(because(new Closed()))
      }
    })
  }

  #publish(
    batch: NonEmptyReadonlyArray<Outgoing>
  ): Effect.Effect<NonEmptyReadonlyArray<Receipt>, TransportError> {
    if (this.#state === "closed") {
      return Effect.fail(because(new Closed()))
    }
    const receipts = batch.map((message) => this.#publishOne(message))
    return Effect.succeed(receipts as unknown as NonEmptyReadonlyArray<Receipt>)
  }

  #publishOne(message: Outgoing): Receipt {
    const { expect, id, payload, subject } = message
    if (this.#state !== "connected") {
      return { _tag: "NotSent", reason: cut }
    }
    const prepared = prepare(message, this.broker.maxPayload)
    if ("reason" in prepared) {
      return { _tag: "NotSent", reason: prepared.reason }
    }
    const headers = typeof prepared.header === "string" ? encoder.encode(prepared.header) : prepared.header
    return this.broker.publish({ subject, headers, payload: payload.slice(), id, expect })
  }
}

// internals

const encoder = new TextEncoder()

const connected: ConnectionStatus = { _tag: "Connected", server: "memory" }

const cut: Reason = new Disconnected({ detail: "the connection was cut" })

const connecting: ConnectionStatus = { _tag: "Connecting", attempt: 1, reason: Option.some(cut) }

const capabilitiesOf = (broker: Broker): Capabilities => ({
  broker: "memory",
  persistent: false,
  filterSubjects: true,
  metadata: false,
  promptReturn: true,
  unlimitedBackoff: true,
  purgeKeepsUnanswered: true,
  keepsGivenUp: true,
  termReason: true,
  maxPayload: broker.maxPayload
})
