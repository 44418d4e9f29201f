/** A line to a server that can be broken in every way a network breaks one. */
import { connect, createServer, type Server, type Socket } from "node:net"

export interface Target {
  readonly host: string
  readonly port: number
}

/** Which way: from the client to the server, back, or both. */
export type Way = "up" | "down" | "both"

/** A line that carries everything, but badly. */
export interface Shape {
  /** Every piece takes so long, in ms, */
  readonly latencyMs?: number
  /** and up to so much longer; the order stays. */
  readonly jitterMs?: number
  /** No more than so many bytes in a second, each way. */
  readonly bytesPerSecond?: number
  /** Pieces of so many bytes at most. */
  readonly sliceBytes?: number
}

/** What becomes of the next deliveries that the server writes: so many are lost, or each comes twice. */
export interface Edit {
  readonly what: "lose" | "repeat"
  readonly count: number
}

/**
 * How long the delivery is that these bytes begin with; 0 if they do not, or not with all of it. A server that has little
 * to say writes each message by itself.
 */
const deliveryLength = (bytes: Uint8Array): number => {
  const found = /^H?MSG \S+ \S+ \$JS\.ACK\.\S+ (?:\d+ )?(\d+)\r\n/.exec(
    Buffer.from(bytes.subarray(0, 512)).toString("latin1")
  )
  const length = found === null ? 0 : found[0].length + Number(found[1]) + 2
  return length <= bytes.length ? length : 0
}

/** Read from one side and not yet written to the other; beyond it, the sender waits. */
const MAX_WAITING_BYTES = 256 * 1024

/** One direction of a connection. */
class Lane {
  readonly #from: Socket
  readonly #to: Socket
  readonly #waiting: Array<{ readonly piece: Uint8Array; readonly at: number }> = []
  #waitingBytes = 0
  #isPumping = false
  /** When the last piece is written: pieces stay in order, whatever each one's delay is. */
  #lastAt = 0
  dead = false

  constructor(
    from: Socket,
    to: Socket,
    shape: () => Shape | undefined,
    edited: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes
  ) {
    this.#from = from
    this.#to = to
    from.setNoDelay(true)
    from.on("data", (said) => {
      const bytes = edited(said)
      const shaped = shape()
      if (this.dead || bytes.length === 0) {
        return
      }
      if (shaped === undefined && this.#waitingBytes === 0) {
        this.#write(bytes)
      } else {
        this.#later(bytes, shaped ?? {})
      }
    })
  }

  /** Carries nothing any more, ever; the sender's buffers fill. */
  swallow(): void {
    this.dead = true
    this.#from.pause()
  }

  #later(bytes: Uint8Array, { bytesPerSecond, jitterMs = 0, latencyMs = 0, sliceBytes }: Shape): void {
    const size = sliceBytes ?? bytes.length
    const earliest = performance.now() + latencyMs + Math.random() * jitterMs
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size)
      const takes = bytesPerSecond === undefined ? 0 : piece.length / bytesPerSecond * 1_000
      this.#lastAt = Math.max(earliest, this.#lastAt) + takes
      this.#waitingBytes += piece.length
      this.#waiting.push({ piece, at: this.#lastAt })
    }
    if (this.#waitingBytes >= MAX_WAITING_BYTES) {
      this.#from.pause()
    }
    if (!this.#isPumping) {
      this.#pump()
    }
  }

  /** One timer for all that waits: timers of their own would not keep the order of pieces that are due together. */
  #pump(): void {
    const now = performance.now()
    while (this.#waiting.length > 0 && this.#waiting[0]!.at <= now) {
      const { piece } = this.#waiting.shift()!
      this.#waitingBytes -= piece.length
      this.#write(piece)
    }
    if (this.#waitingBytes < MAX_WAITING_BYTES && !this.dead) {
      this.#from.resume()
    }
    this.#isPumping = this.#waiting.length > 0
    if (this.#isPumping) {
      setTimeout(() => this.#pump(), Math.max(1, this.#waiting[0]!.at - now))
    }
  }

  #write(bytes: Uint8Array): void {
    if (!this.dead && !this.#to.destroyed && !this.#to.write(bytes)) {
      this.#from.pause()
      this.#to.once("drain", () => {
        if (!this.dead) {
          this.#from.resume()
        }
      })
    }
  }
}

interface Pair {
  readonly client: Socket
  readonly upstream: Socket
  readonly up: Lane
  readonly down: Lane
}

export class Relay {
  readonly #target: Target
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  #refused = false
  #shape: Shape | undefined
  #edit: { readonly what: Edit["what"]; left: number; readonly done: () => void } | undefined

  constructor(target: Target) {
    this.#target = target
    this.#server = createServer((client) => this.#accept(client))
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => resolve((this.#server.address() as { readonly port: number }).port))
    })
  }

  /** Ends every connection at once. */
  cut(): void {
    for (const { client, upstream } of this.#pairs) {
      client.destroy()
      upstream.destroy()
    }
    this.#pairs.clear()
  }

  refuse(refused: boolean): void {
    this.#refused = refused
  }

  blackhole(way: Way = "both"): void {
    for (const { down, up } of this.#pairs) {
      if (way !== "down") {
        up.swallow()
      }
      if (way !== "up") {
        down.swallow()
      }
    }
  }

  garble(bytes: string): void {
    for (const { client } of this.#pairs) {
      client.write(bytes)
    }
  }

  shape(shape: Shape | undefined): void {
    this.#shape = shape
  }

  /** Done when it has happened. */
  edit({ count, what }: Edit): Promise<void> {
    return new Promise((done) => {
      this.#edit = { what, left: count, done }
    })
  }

  readonly #edited = (bytes: Uint8Array): Uint8Array => {
    const written: Array<Uint8Array> = []
    let rest = bytes
    while (this.#edit !== undefined) {
      const length = deliveryLength(rest)
      if (length === 0) {
        break
      }
      const delivery = rest.subarray(0, length)
      written.push(...(this.#edit.what === "repeat" ? [delivery, delivery] : []))
      rest = rest.subarray(length)
      this.#edit.left--
      if (this.#edit.left === 0) {
        this.#edit.done()
        this.#edit = undefined
      }
    }
    return written.length === 0 ? rest : Buffer.concat([...written, rest])
  }

  #accept(client: Socket): void {
    if (this.#refused) {
      client.on("error", () => {})
      client.destroy()
      return
    }
    const upstream = connect(this.#target.port, this.#target.host)
    const shape = () => this.#shape
    const [up, down] = [new Lane(client, upstream, shape), new Lane(upstream, client, shape, this.#edited)]
    const pair = { client, upstream, up, down }
    this.#pairs.add(pair)
    for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
      one.on("error", () => {})
      one.on("close", () => {
        // A peer that is gone without a word does not close, whatever becomes of the other side.
        if (!pair.up.dead && !pair.down.dead) {
          other.destroy()
          this.#pairs.delete(pair)
        }
      })
    }
  }
}
