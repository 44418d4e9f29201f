/**
 * Publishing and reading as streams, in an application of your own, on the transport in memory.
 *
 * `npm run example -- examples/03_stream/main.ts`
 */
import * as AckPolicy from "effect-sluice/AckPolicy"
import * as Memory from "effect-sluice/layers/Memory"
import * as Provisioner from "effect-sluice/Provisioner"
import * as Publisher from "effect-sluice/Publisher"
import * as Reader from "effect-sluice/Reader"
import * as Topic from "effect-sluice/Topic"
import * as Topology from "effect-sluice/Topology"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const Temperature = Topic.make("sensors.{room}.temperature", {
  schema: Schema.Struct({ celsius: Schema.Finite })
})

const publish = Stream.range(1, 1_000).pipe(
  Stream.map((n) => ({ params: { room: n % 2 === 0 ? "kitchen" : "attic" }, value: { celsius: n / 50 } })),
  Stream.run(Publisher.sink(Temperature))
)

/** Every delivery is settled by hand: those that decode are done, the others will never be. */
const hottest = Reader.stream(Temperature, { stream: "SENSORS", consumer: "hottest" }).pipe(
  Stream.mapEffect((delivery) =>
    Result.isSuccess(delivery.value)
      ? Effect.as(delivery.ack, delivery.value.success.celsius)
      : Effect.as(delivery.term("undecodable"), 0)
  ),
  Stream.take(1_000),
  Stream.runFold(() => 0, Math.max)
)

const program = Effect.gen(function*() {
  yield* Provisioner.ensure(Topology.stream("SENSORS", { subjects: ["sensors.>"], storage: "memory" }))
  const { confirmed } = yield* publish
  process.stdout.write(`${confirmed} published, the hottest was ${yield* hottest} °C\n`)
})

await Effect.runPromise(Effect.provide(program, Layer.merge(Memory.layer(), AckPolicy.onProcess)))
