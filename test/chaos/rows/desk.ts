/** One reader in this very process, on a line that breaks, and somebody who publishes past it. */
import { jetstream, type JetStreamManager, type JsMsg } from "@nats-io/jetstream"
import { connect, type NatsConnection } from "@nats-io/transport-node"
import { setTimeout as sleep } from "node:timers/promises"
import { type NatsServer, start } from "../../support/nats-server.ts"
import * as Proxy from "../../support/proxy.ts"
import type { Numbered } from "../check/suffix.ts"
import { everything, until } from "../eye.ts"
import { type Order, read, type Reading, STREAM, SUBJECT } from "./readers.ts"
import { type Context, shown } from "./Row.ts"

/** A message, and when its reader began with it. */
export interface Seen extends Numbered {
  readonly at: number
}

/** What is done to a reader. It is over when it is mended; with `isAway` nobody can read until then. */
export interface Case {
  readonly name: string
  readonly isAway?: boolean
  readonly act: (desk: Desk) => Promise<void>
}

export type Options = Pick<Order, "consumer"> & Partial<Pick<Order, "from" | "ackWaitMs" | "lanes" | "bind">> & {
  /** How long a handler takes, in ms. */
  readonly workMs?: number
}

const DRAIN_WITHIN_MS = 10_000
const PER_SECOND = 200
const PUBLISH_WITHIN_MS = 250
/** How long anything may take until nobody waits for it any more; the vendor's client may take 45 s. */
const PATIENCE_MS = 60_000

export class Desk {
  readonly server: NatsServer
  readonly line: Proxy.Proxy
  readonly seen: Array<Seen> = []
  /** When what was published was confirmed, by its number. */
  readonly storedAt: Array<number> = [0]
  readonly #hire: (desk: Desk) => Reading
  readonly #hired: Array<Reading> = []
  readonly #connection: NatsConnection
  #publishing: Promise<void> = Promise.resolve()
  #isPublishing = false

  constructor(server: NatsServer, line: Proxy.Proxy, connection: NatsConnection, hire: (desk: Desk) => Reading) {
    this.server = server
    this.line = line
    this.#connection = connection
    this.#hire = hire
  }

  /** The number of the last message that is stored. */
  get last(): number {
    return this.storedAt.length - 1
  }

  /** The first reader. */
  get reading(): Reading {
    return this.#hired[0]!
  }

  /** One more reader of the same consumer. */
  hire(): void {
    this.#hired.push(this.#hire(this))
  }

  async dismiss(): Promise<void> {
    await Promise.all(this.#hired.map((reading) => reading.stop()))
  }

  /** Past the line, and again until it works. */
  ask<A>(use: (jsm: JetStreamManager, connection: NatsConnection) => Promise<A>): Promise<A> {
    return until([this.server.url], PATIENCE_MS, use)
  }

  /** One after the other, so that their numbers are in the order of their sequences. */
  async store(count: number): Promise<void> {
    const client = jetstream(this.#connection)
    for (let i = 0; i < count; i++) {
      const n = this.last + 1
      const options = { msgID: String(n), timeout: PUBLISH_WITHIN_MS }
      while (!(await client.publish(SUBJECT, JSON.stringify({ n }), options).then(() => true, () => false))) {
        await sleep(10)
      }
      this.storedAt.push(performance.now())
    }
  }

  /** Goes on publishing until `rest`. */
  publish(): void {
    this.#isPublishing = true
    this.#publishing = (async () => {
      while (this.#isPublishing) {
        await this.store(1)
        await sleep(1_000 / PER_SECOND)
      }
    })()
  }

  async rest(): Promise<void> {
    this.#isPublishing = false
    await this.#publishing
  }

  /** Whether that comes to be so. */
  async comes(isSo: () => boolean, withinMs = PATIENCE_MS): Promise<boolean> {
    const deadline = performance.now() + withinMs
    while (performance.now() < deadline && !isSo()) {
      await sleep(5)
    }
    return isSo()
  }

  /** The first message that was stored after this one was read. */
  readsBeyond(n: number, withinMs = PATIENCE_MS): Promise<boolean> {
    return this.comes(() => this.seen.some((one) => one.n > n), withinMs)
  }

  /** The name of its consumer, or of any other if it has none. */
  async consumer(): Promise<string> {
    return (await this.ask((jsm) => jsm.consumers.list(STREAM).next()))[0]!.name
  }

  /** Everything that the stream holds, from a sequence on. */
  stored(from = 1): Promise<ReadonlyArray<Numbered>> {
    return this.ask(async (jsm, connection) => {
      const each = (message: JsMsg): Numbered => ({ seq: message.seq, n: message.json<{ readonly n: number }>().n })
      return (await everything(jsm, connection, STREAM, each, false)).filter(({ seq }) => seq >= from)
    })
  }
}

/** A server, a stream with so many messages in it, and a reader that has begun. */
export const atDesk = async <A>(
  { mode, version }: Context,
  { ackWaitMs = 5_000, bind = false, consumer, from = 1, lanes = 1, workMs = 0 }: Options,
  use: (desk: Desk) => Promise<A>,
  before: (desk: Desk) => Promise<void> = async () => {}
): Promise<A> => {
  const server = await start({ version })
  const { proxies: [line], stop } = await Proxy.start([server])
  const connection = await connect({
    servers: server.url,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 20,
    reconnectJitter: 0
  })
  const hire = (desk: Desk): Reading => {
    const handle = async (n: number, seq: number): Promise<void> => {
      desk.seen.push({ n, seq, at: performance.now() })
      if (workMs > 0) {
        await sleep(workMs)
      }
    }
    return read({ mode, url: line!.url, consumer, bind, from, ackWaitMs, lanes, handle })
  }
  const desk = new Desk(server, line!, connection, hire)
  try {
    await desk.ask((jsm) => jsm.streams.add({ name: STREAM, subjects: ["s.>"] }))
    await desk.store(from)
    await before(desk)
    desk.hire()
    await desk.readsBeyond(0)
    return await use(desk)
  } finally {
    await desk.rest().catch(() => {})
    await desk.dismiss()
    await connection.close()
    await stop()
    await server.stop()
  }
}

export interface Suffered {
  readonly name: string
  /** From when it was mended to the first message that was stored after that. */
  readonly firstMs: number
  /** How late the latest of what was stored meanwhile was read; nobody counts the time in which nobody could read. */
  readonly gapMs: number
}

/** One case, under what is published all the time. */
const suffer = async (desk: Desk, { act, isAway = false, name }: Case): Promise<Suffered> => {
  const begun = performance.now()
  const before = desk.last
  await act(desk)
  const healed = performance.now()
  const last = desk.last
  if (!(await desk.readsBeyond(last))) {
    return { name, firstMs: Number.POSITIVE_INFINITY, gapMs: Number.POSITIVE_INFINITY }
  }
  const fresh = desk.seen.filter(({ n }) => n > before)
  const lateness = ({ at, n }: Seen, since: number) => Math.max(0, at - Math.max(since, desk.storedAt[n] ?? at))
  const first = fresh.find(({ n }) => n > last)!
  const since = isAway ? healed : begun
  return { name, firstMs: lateness(first, healed), gapMs: Math.max(...fresh.map((one) => lateness(one, since))) }
}

/** One after the other, with a pause between them; no more of them, once it does not come back. */
export const series = async (
  desk: Desk,
  cases: ReadonlyArray<Case>,
  { say }: Pick<Context, "say">,
  pauseMs = 700
): Promise<ReadonlyArray<Suffered>> => {
  const all: Array<Suffered> = []
  desk.publish()
  for (const one of cases) {
    await sleep(pauseMs)
    const suffered = await suffer(desk, one)
    say(`${one.name}: first message after ${shown(suffered.firstMs)}, nothing later than ${shown(suffered.gapMs)}`)
    all.push(suffered)
    if (!Number.isFinite(suffered.firstMs)) {
      break
    }
  }
  await settle(desk)
  return all
}

/** All that is stored has been read, or will never be; and what comes again has come. */
const settle = async (desk: Desk): Promise<void> => {
  await desk.rest()
  await desk.comes(() => desk.seen.some(({ n }) => n === desk.last), DRAIN_WITHIN_MS)
  await sleep(1_000)
}
