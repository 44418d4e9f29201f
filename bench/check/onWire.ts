/**
 * What a message costs between the socket and the seam, on a real server: writes to the socket, bytes in them, pulls, and
 * what is allocated. In lockstep, so that it hardly matters how fast anybody is: five hundred are read, then all of them
 * are acknowledged, and only then there is room for more.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import { Socket } from "node:net"
import * as Nats from "../../src/layers/Nats.ts"
import type { Outgoing } from "../../src/Message.ts"
import * as Queue from "../../src/Queue.ts"
import * as Settlement from "../../src/Settlement.ts"
import { type Inlet, Transport } from "../../src/Transport.ts"
import { createStream, durable, flow, message } from "../../test/support/transport.ts"
import { perMessage } from "./perMessage.ts"

const CHUNK = 500
const BATCH = 250
const WARM_UP = 10
const ROUNDS = 20
const PULL = Buffer.from("PUB $JS.API.CONSUMER.MSG.NEXT.")

export const onWire = (url: string): Promise<Readonly<Record<string, number>>> => {
  const wire = new Wire(Number(new URL(url).port))
  return Effect.runPromise(all(wire).pipe(Effect.scoped, Effect.provide(Nats.layer({ servers: url })), Effect.orDie))
}

// internals

const all = (wire: Wire) =>
  Effect.gen(function*() {
    const transport = yield* Transport
    yield* createStream("JOBS", ["jobs"])
    const [cold, warm] = [batches("cold", WARM_UP), batches("warm", ROUNDS)]
    for (const batch of cold) {
      yield* transport.publish(batch)
    }
    let before = wire.now
    for (const batch of warm) {
      yield* transport.publish(batch)
    }
    const publish = wire.since(before, ROUNDS * CHUNK)
    const inlet = yield* transport.open(durable("JOBS", "C"), flow({ queue: Queue.suspend({ messages: CHUNK }) }))
    for (let i = 0; i < WARM_UP; i++) {
      yield* round(inlet)
    }
    before = wire.now
    for (let i = 0; i < ROUNDS; i++) {
      yield* round(inlet)
    }
    const read = wire.since(before, ROUNDS * CHUNK)
    return {
      "publish: socket writes": publish.writes,
      "publish: bytes written": publish.written,
      "publish: bytes allocated": publish.allocated,
      "ack: socket writes": read.writes,
      "ack: bytes written": read.written,
      "read: pulls": read.pulls,
      "read and ack: bytes allocated": read.allocated
    }
  })

/** Each message with an id of its own, or the stream would not take it; all of them equally long. */
const batches = (name: string, rounds: number): ReadonlyArray<NonEmptyReadonlyArray<Outgoing>> =>
  Array.from({ length: rounds * CHUNK / BATCH }, (_, at) => {
    const one = (i: number) => message("jobs", "x".repeat(128), { id: `${name}-${100_000 + at * BATCH + i}` })
    return [one(0), ...Array.from({ length: BATCH - 1 }, (_, i) => one(i + 1))]
  })

/** Until the acks are confirmed, the next ones have no room. */
const round = (inlet: Inlet) =>
  Effect.gen(function*() {
    const verdicts = []
    while (verdicts.length < CHUNK) {
      const chunk = yield* inlet.take(CHUNK)
      for (const delivery of chunk) {
        verdicts.push({ delivery, settlement: Settlement.ack })
      }
    }
    yield* inlet.settle(verdicts)
  }).pipe(Effect.orDie)

interface Costs {
  readonly writes: number
  readonly written: number
  readonly pulls: number
  readonly allocated: number
}

/** Counts what is written to sockets of that port. */
class Wire {
  #writes = 0
  #written = 0
  #pulls = 0

  constructor(port: number) {
    const count = (data: unknown) => {
      this.#writes++
      if (data instanceof Uint8Array) {
        this.#written += data.length
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
        for (let at = bytes.indexOf(PULL); at >= 0; at = bytes.indexOf(PULL, at + PULL.length)) {
          this.#pulls++
        }
      }
    }
    const write = Reflect.get(Socket.prototype, "write") as (this: Socket, ...args: Array<unknown>) => boolean
    Socket.prototype.write = function(this: Socket, ...args: Array<unknown>) {
      if (this.remotePort === port) {
        count(args[0])
      }
      return write.apply(this, args)
    }
  }

  get now(): Costs {
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    return { writes: this.#writes, written: this.#written, pulls: this.#pulls, allocated: heapUsed + arrayBuffers }
  }

  since(before: Costs, messages: number): Costs {
    return perMessage(this.now, before, messages)
  }
}
