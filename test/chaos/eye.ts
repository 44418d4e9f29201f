/** A second pair of eyes: the vendor's client, connected to the servers directly, which shares no code with ours. */
import {
  AckPolicy,
  type ConsumerInfo,
  DeliverPolicy,
  jetstream,
  jetstreamManager,
  type JsMsg
} from "@nats-io/jetstream"
import type { JetStreamManager } from "@nats-io/jetstream"
import { connect, type NatsConnection } from "@nats-io/transport-node"
import { setTimeout as sleep } from "node:timers/promises"
import { CONSUMER, hashOf, type Job, job, STREAM, SUBJECT } from "./jobs.ts"
import type { Journal, Writing } from "./journal.ts"

const API_TIMEOUT_MS = 1_000
/** How often it asks for the ack floor. */
const LOOK_MS = 500
/** Whatever a client puts before it. */
const ID = /(\d+)\.(\d+)$/
/** What the publisher is called that says that all is well again. */
const PROBES = 0

const open = async (servers: ReadonlyArray<string>, timeout: number): Promise<NatsConnection> =>
  connect({
    servers: [...servers],
    timeout,
    reconnect: false,
    ignoreClusterUpdates: true,
    pingInterval: 1_000,
    name: "eye"
  })

/** One connection for one purpose; gone afterwards. */
const once = async <A>(
  servers: ReadonlyArray<string>,
  use: (jsm: JetStreamManager, connection: NatsConnection) => Promise<A>
): Promise<A> => {
  const connection = await open(servers, API_TIMEOUT_MS)
  try {
    return await use(await jetstreamManager(connection, { checkAPI: false, timeout: API_TIMEOUT_MS }), connection)
  } finally {
    void connection.close().catch(() => {})
  }
}

/** Again until it works: servers that are down, leaders to be elected. */
export const until = async <A>(
  servers: ReadonlyArray<string>,
  withinMs: number,
  use: (jsm: JetStreamManager, connection: NatsConnection) => Promise<A>
): Promise<A> => {
  const deadline = performance.now() + withinMs
  for (;;) {
    try {
      return await once(servers, use)
    } catch (error) {
      if (performance.now() > deadline) {
        throw error
      }
      await sleep(10)
    }
  }
}

/** Everything that a stream holds, in order. */
export const everything = async <A>(
  jsm: JetStreamManager,
  connection: NatsConnection,
  stream: string,
  each: (message: JsMsg) => A,
  // A gigabyte of payloads would say nothing that their ids do not say.
  headersOnly = true
): Promise<ReadonlyArray<A>> => {
  const { state } = await jsm.streams.info(stream)
  const all: Array<A> = []
  const { name } = await jsm.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.All,
    inactive_threshold: 30e9,
    headers_only: headersOnly,
    mem_storage: true,
    num_replicas: 1
  })
  const consumer = await jetstream(connection).consumers.get(stream, name)
  while (all.length < state.messages) {
    const before = all.length
    for await (const message of await consumer.fetch({ max_messages: 5_000, expires: 5_000 })) {
      all.push(each(message))
      if (all.length >= state.messages) {
        break
      }
    }
    if (all.length === before) {
      throw new Error(`the stream has ${state.messages} messages and gives ${before}`)
    }
  }
  return all
}

export class Eye {
  readonly #servers: ReadonlyArray<string>
  readonly #probes: Journal
  #probe = 0
  #ended = false

  /** `probes` is the journal of the messages that it publishes itself. */
  constructor(servers: ReadonlyArray<string>, probes: Journal) {
    this.#servers = servers
    this.#probes = probes
  }

  until<A>(withinMs: number, use: (jsm: JetStreamManager, connection: NatsConnection) => Promise<A>): Promise<A> {
    return until(this.#servers, withinMs, use)
  }

  async create(replicas: number, config: Record<string, unknown> = {}): Promise<void> {
    await this.until(20_000, (jsm) =>
      jsm.streams.add({
        name: STREAM,
        subjects: ["chaos.>"],
        num_replicas: replicas,
        duplicate_window: 600e9,
        ...config
      }))
  }

  /** Ready: a fresh connection is told of the consumer. Gives the sequence of a message that is stored after that. */
  async ready(withinMs = 30_000, needsConsumer = true): Promise<number> {
    const n = ++this.#probe
    const probe: Job = job(PROBES, n, 8)
    this.#probes.write({ kind: "intent", pub: PROBES, n, hash: hashOf(probe) })
    const ack = await this.until(withinMs, async (jsm, connection) => {
      if (needsConsumer) {
        await jsm.consumers.info(STREAM, CONSUMER)
      }
      return jetstream(connection, { timeout: API_TIMEOUT_MS })
        .publish(SUBJECT, JSON.stringify(probe), { msgID: `${PROBES}.${n}` })
    })
    this.#probes.write({ kind: "confirmed", pub: PROBES, n, seq: ack.seq })
    return ack.seq
  }

  info(): Promise<ConsumerInfo> {
    return this.until(20_000, (jsm) => jsm.consumers.info(STREAM, CONSUMER))
  }

  /** Every replica has what the leader has. */
  async whole(replicas: number): Promise<void> {
    await this.until(60_000, async (jsm) => {
      const consumer = await jsm.consumers.info(STREAM, CONSUMER)
      for (const { cluster } of [await jsm.streams.info(STREAM), consumer]) {
        const current = (cluster?.replicas ?? []).filter(({ current }) => current).length
        if (replicas > 1 && (cluster?.leader === undefined || current < replicas - 1)) {
          throw new Error("a replica is behind")
        }
      }
    })
  }

  async stepDown(of: "consumer" | "stream"): Promise<void> {
    const subject = of === "consumer"
      ? `$JS.API.CONSUMER.LEADER.STEPDOWN.${STREAM}.${CONSUMER}`
      : `$JS.API.STREAM.LEADER.STEPDOWN.${STREAM}`
    await this.until(10_000, async (_, connection) => {
      const answer = (await connection.request(subject, "", { timeout: API_TIMEOUT_MS })).json<{ error?: unknown }>()
      if (answer.error !== undefined) {
        throw new Error(JSON.stringify(answer.error))
      }
    })
  }

  async deleteConsumer(): Promise<void> {
    await this.until(10_000, (jsm) => jsm.consumers.delete(STREAM, CONSUMER))
  }

  /** Which node leads; for several servers. */
  async leader(of: "consumer" | "stream"): Promise<string> {
    return this.until(20_000, async (jsm) => {
      const { cluster } = of === "consumer"
        ? await jsm.consumers.info(STREAM, CONSUMER)
        : await jsm.streams.info(STREAM)
      if (cluster?.leader === undefined) {
        throw new Error("nobody leads")
      }
      return cluster.leader
    })
  }

  /** Writes down every verdict that goes to the server, and now and then how far the server counts as acknowledged. */
  async watch(journal: Journal): Promise<void> {
    while (!this.#ended) {
      await this.#look(journal).catch(() => sleep(50))
    }
  }

  stop(): void {
    this.#ended = true
  }

  async #look(journal: Journal): Promise<void> {
    const connection = await open(this.#servers, API_TIMEOUT_MS)
    try {
      connection.subscribe(`$JS.ACK.${STREAM}.${CONSUMER}.>`, {
        callback: (_, message) => {
          const verdict = message.data.length === 0 ? "+ACK" : message.string().slice(0, 4)
          if (verdict !== "+WPI") {
            journal.write({
              kind: verdict === "+ACK" ? "acked" : "returned",
              seq: Number(message.subject.split(".")[5])
            })
          }
        }
      })
      const jsm = await jetstreamManager(connection, { checkAPI: false, timeout: API_TIMEOUT_MS })
      while (!this.#ended && !connection.isClosed()) {
        await jsm.consumers.info(STREAM, CONSUMER).then(
          ({ ack_floor, num_ack_pending }) =>
            journal.write({ kind: "floor", seq: ack_floor.stream_seq, n: num_ack_pending }),
          () => {}
        )
        await sleep(LOOK_MS)
      }
    } finally {
      void connection.close().catch(() => {})
    }
  }

  /** Everything that the stream holds. */
  stored(): Promise<ReadonlyArray<Writing>> {
    return this.until(120_000, (jsm, connection) =>
      everything(jsm, connection, STREAM, (message): Writing => {
        const [, pub, n] = ID.exec(message.headers?.get("Nats-Msg-Id") ?? "") ?? []
        return { kind: "stored", pub: Number(pub), n: Number(n), seq: message.seq }
      }))
  }
}
