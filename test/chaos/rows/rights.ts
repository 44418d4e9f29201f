/** What a server does not allow. */
import { jetstream } from "@nats-io/jetstream"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { setTimeout as sleep } from "node:timers/promises"
import * as Topology from "../../../src/Topology.ts"
import { Transport } from "../../../src/Transport.ts"
import type { NatsServer } from "../../support/nats-server.ts"
import { durable, flow } from "../../support/transport.ts"
import { ADMIN, batch, message, ours, raw, WITHIN_MS, withServer } from "./clients.ts"
import { atMost, isOurs, type Row, shown } from "./Row.ts"

const RIGHTS = {
  reader: {
    publish: ["$JS.API.CONSUMER.INFO.S.D", "$JS.API.CONSUMER.MSG.NEXT.S.D", "$JS.ACK.S.D.>"],
    subscribe: ["_INBOX_C.>"]
  },
  publisher: { publish: ["s.>"], subscribe: ["_INBOX_P.>"] }
}
type Who = keyof typeof RIGHTS

const INBOXES = { reader: "_INBOX_C", publisher: "_INBOX_P" }

/** Everybody's rights, but for one. */
const permissions = (missing?: string): string => {
  // To a server, an empty list of rights is all rights.
  const list = (rights: ReadonlyArray<string>) =>
    JSON.stringify(["nothing", ...rights.filter((right) => right !== missing)])
  const user = (who: Who) =>
    `{ user: ${who}, password: p, permissions: { publish: ${list(RIGHTS[who].publish)}, subscribe: ${
      list(RIGHTS[who].subscribe)
    } } }`
  return `authorization { users: [{ user: admin, password: p }, ${user("reader")}, ${user("publisher")}] }`
}

/** What somebody who is connected is told, and how soon. */
interface Told {
  readonly told: string
  readonly ms: number
}

/** Without waiting for ever. */
const refusal = (who: Who): Effect.Effect<Told, never, Transport> => {
  const from = performance.now()
  const after = (told: string): Told => ({ told, ms: performance.now() - from })
  const reading = Effect.scoped(Effect.gen(function*() {
    const transport = yield* Transport
    const bound = { ...durable("S", "D"), create: Option.none() }
    const inlet = yield* transport.open(bound, flow())
    while (true) {
      const taken = yield* inlet.take(1)
      yield* inlet.settle(taken.map((delivery) => ({ delivery, settlement: { _tag: "Ack" } as const })))
    }
  }))
  const publishing = Effect.gen(function*() {
    const transport = yield* Transport
    const [receipt] = yield* transport.publish([message("x", 1)])
    return receipt._tag === "Confirmed" ? "nothing" : receipt.reason.problem
  })
  return Effect.matchCause(
    Effect.timeout(who === "reader" ? reading : publishing, WITHIN_MS),
    {
      onFailure: (cause) => {
        const failed = Cause.squash(cause) as { readonly reason?: { readonly _tag: string; readonly problem: string } }
        return after(failed.reason === undefined ? "nothing" : `${failed.reason._tag} ${failed.reason.problem}`)
      },
      onSuccess: after
    }
  )
}

/** Whether an application that does what the documentation shows is told anything. */
const rawRefusal = async (server: NatsServer, who: Who): Promise<Told> => {
  const connection = await raw(server, { name: who, inbox: INBOXES[who] })
  const from = performance.now()
  const attempt = async (): Promise<string> => {
    const client = jetstream(connection)
    if (who === "publisher") {
      await client.publish("s.a", "x")
      return "nothing"
    }
    const consumer = await client.consumers.get("S", "D")
    for await (const one of await consumer.consume()) {
      one.ack()
    }
    return "nothing"
  }
  const told = await Promise.race([attempt().catch((error: unknown) => String(error)), sleep(WITHIN_MS, "nothing")])
  const ms = performance.now() - from
  void connection.close().catch(() => {})
  return { told, ms }
}

export const least: Row = {
  id: "T-33",
  fault: "each right of a reader and of a publisher taken away in turn",
  figure: "works with no right more; a missing one is named in ≤ 1 s",
  run: ({ mode, version }) =>
    withServer({ version, config: permissions() }, async (server) => {
      await ours(
        "inline",
        server,
        ADMIN,
        Effect.scoped(Effect.gen(function*() {
          const transport = yield* Transport
          yield* Option.getOrThrow(transport.topology).createStream(Topology.stream("S", { subjects: ["s.>"] }))
          yield* transport.publish(batch(...Array.from({ length: 20 }, (_, i) => message(String(i), 1))))
          yield* Option.getOrThrow(transport.topology).createConsumer(
            "S",
            Topology.consumer("D", { filters: ["s.>"], ackWait: "1 second" })
          )
        }))
      )
      const cases = (Object.keys(RIGHTS) as ReadonlyArray<Who>).flatMap((who) =>
        [...RIGHTS[who].publish, ...RIGHTS[who].subscribe].map((right) => ({ who, right }))
      )
      const times: Array<number> = []
      const wrong: Array<string> = []
      for (const { right, who } of cases) {
        await server.signal("SIGHUP", { config: permissions(right) })
        await sleep(200)
        const { ms, told } = isOurs(mode)
          ? await ours(mode, server, { name: who, inbox: INBOXES[who] }, Effect.suspend(() => refusal(who)))
          : await rawRefusal(server, who)
        const stem = right.replace(/\.?>$/, "")
        const isNamed = told.includes(stem)
        times.push(isNamed ? ms : Number.POSITIVE_INFINITY)
        wrong.push(...isNamed ? [] : [`without ${right} the ${who} is told: ${told}`])
      }
      const named = times.filter(Number.isFinite)
      return {
        measured: [`${named.length} of ${times.length} named`, `max ${shown(Math.max(...named))}`],
        wrong: [...wrong, ...atMost("named", Math.max(...times), 1_000)]
      }
    })
}
