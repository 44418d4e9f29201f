/** What a server tells others of a reader's verdicts, heard by the raw client. The embedded broker's advisories are these. */
import { assert, describe, it } from "@effect/vitest"
import { connect } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import * as Nats from "../../src/layers/Nats.ts"
import * as Settlement from "../../src/Settlement.ts"
import { Transport } from "../../src/Transport.ts"
import * as NatsServer from "../support/nats-server.ts"
import { createStream, durable, numbered, open, publish } from "../support/transport.ts"

/** Every advisory of a consumer's deliveries, from now on. */
const listen = (url: string) =>
  Effect.gen(function*() {
    const heard: Array<{ readonly kind: string; readonly sequence: number; readonly reason: string | undefined }> = []
    const connection = yield* Effect.acquireRelease(
      Effect.promise(() => connect({ servers: url })),
      (connection) => Effect.promise(() => connection.close())
    )
    connection.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.S.C", {
      callback: (_, message) => {
        const { reason, stream_seq: sequence } = message.json<{ stream_seq: number; reason?: string }>()
        heard.push({ kind: message.subject.split(".")[4]!, sequence, reason })
      }
    })
    yield* Effect.promise(() => connection.flush())
    return heard
  })

describe("verdicts", () => {
  for (const version of NatsServer.wantedVersions()) {
    it.live(
      `are told by a server ${version}, with the reason of a term where its capabilities say so`,
      () =>
        Effect.gen(function*() {
          const server = yield* NatsServer.scoped({ version })
          const heard = yield* listen(server.url)
          yield* Effect.gen(function*() {
            yield* createStream("S", ["s.>"])
            yield* publish(...numbered("s.a", 1, 2))
            const inlet = yield* open(durable("S", "C", { maxDeliver: 1 }))
            const verdicts = [Settlement.term("no good"), Settlement.nak()]
            for (const settlement of verdicts) {
              const [delivery] = yield* inlet.take(1)
              yield* inlet.settle([{ delivery, settlement }])
            }
            while (heard.filter(({ kind }) => kind !== "CREATED").length < 3) {
              yield* Effect.sleep(20)
            }
            const { termReason } = yield* Effect.flatMap(Transport, (transport) => transport.capabilities)
            assert.sameDeepMembers(heard.filter(({ kind }) => kind !== "CREATED"), [
              { kind: "MSG_TERMINATED", sequence: 1, reason: termReason ? "no good" : undefined },
              { kind: "MSG_NAKED", sequence: 2, reason: undefined },
              { kind: "MAX_DELIVERIES", sequence: 2, reason: undefined }
            ])
          }).pipe(Effect.scoped, Effect.provide(Nats.layer({ servers: server.url })))
        }).pipe(Effect.scoped),
      20_000
    )
  }
})
