/** The work with our library, on either layer. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Health from "../../src/Health.ts"
import * as Nats from "../../src/layers/Nats.ts"
import * as NatsThread from "../../src/layers/NatsThread.ts"
import * as Watched from "../../src/layers/Watched.ts"
import * as Publisher from "../../src/Publisher.ts"
import * as Queue from "../../src/Queue.ts"
import * as Reader from "../../src/Reader.ts"
import { Transport } from "../../src/Transport.ts"
import * as Worker from "../../src/Worker.ts"
import { CONSUMER, type Job, jobs, STREAM } from "./jobs.ts"
import type { PublisherOrder, WorkerOrder } from "./orders.ts"
import type { Handler, Outcome } from "./raw.ts"

/** Whoever supervises a worker starts it again when its first connect fails. */
const patient = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.retry(effect, Schedule.spaced(200))

const LOOK_MS = 25

const layer = (order: WorkerOrder | PublisherOrder): Layer.Layer<Transport> => {
  const options = { servers: order.urls, name: "chaos" }
  const made = order.mode === "inline"
    ? Watched.layer(Nats.layer(options))
    : NatsThread.layer({ ...options, ...("healthPort" in order ? { health: { port: order.healthPort } } : undefined) })
  const patientlyMade = Layer.effectContext(patient(Layer.build(made)))
  return Layer.orDie(Layer.merge(patientlyMade, Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])))
}

/** Writes down what is told of health in the thread of the handlers; also of a connection that is back before anybody looks. */
const tell = (handler: Handler, { report }: Health.Health["Service"]) =>
  Effect.gen(function*() {
    const { status } = yield* Transport
    let isConnected = false
    let last: boolean | undefined
    const look = Effect.map(report, ({ ready }) => {
      const isHealthy = ready && isConnected
      if (isHealthy !== last) {
        last = isHealthy
        handler.healthy(isHealthy)
      }
    })
    const follow = Stream.runForEach(status, ({ _tag }) => {
      isConnected = _tag === "Connected"
      return look
    })
    yield* Effect.forkScoped(follow)
    yield* look.pipe(Effect.andThen(Effect.sleep(LOOK_MS)), Effect.forever, Effect.forkScoped)
  })

/** Works until it is told to stop, and gives the ledger. */
export const work = (order: WorkerOrder, handler: Handler, stop: Promise<void>): Promise<Worker.Ledger> => {
  const reader = Reader.handle(
    jobs,
    {
      stream: STREAM,
      consumer: CONSUMER,
      ackWait: order.ackWaitMs,
      lanes: order.lanes,
      queue: Queue.suspend({ messages: order.capacity })
    },
    (job, message) =>
      Effect.promise((interrupted) => handler.call(job, message.streamSequence, message.deliveryCount, interrupted))
  )
  const worker = Worker.make({ name: "chaos", readers: [reader] })
  const program = Effect.gen(function*() {
    const health = yield* Effect.serviceOption(Health.Health)
    // A thread tells its health from outside of this one, over HTTP.
    if (Option.isSome(health)) {
      yield* tell(handler, health.value)
    }
    return yield* Worker.run(worker, { drain: Effect.promise(() => stop), grace: order.graceMs })
  })
  return Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(layer(order))))
}

export const publisher = async (
  order: PublisherOrder
): Promise<(all: ReadonlyArray<Job>) => Promise<ReadonlyArray<Outcome>>> => {
  const runtime = ManagedRuntime.make(layer(order))
  await runtime.context()
  return (all) =>
    runtime.runPromise(Effect.gen(function*() {
      const batch = yield* Effect.forEach(all, (job) => Effect.fromResult(jobs.encode({}, job)))
      const receipts = yield* Publisher.publishRaw(batch as unknown as Parameters<typeof Publisher.publishRaw>[0])
      return receipts.map((receipt): Outcome =>
        receipt._tag === "Confirmed"
          ? { _tag: "Confirmed", sequence: receipt.sequence, duplicate: receipt.duplicate }
          : { _tag: receipt._tag }
      )
    }))
}
