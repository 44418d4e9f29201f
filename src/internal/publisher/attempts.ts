/**
 * Attempts to publish a batch, until every message is confirmed or there is no time left.
 */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type * as Message from "../../Message.ts"
import * as Metrics from "../../Metrics.ts"
import { Transport } from "../../Transport.ts"
import type { Receipt } from "../../Transport.ts"
import * as TransportError from "../../TransportError.ts"

type Batch = NonEmptyReadonlyArray<Message.Outgoing>
type Receipts = NonEmptyReadonlyArray<Receipt>

export interface Delivered {
  readonly receipts: Receipts
  /** How often each message was tried. */
  readonly attempts: ReadonlyArray<number>
}

/** One attempt for all, then attempts for what is not confirmed, in order, until the budget or the schedule ends. */
export const deliver = Effect.fnUntraced(function*(batch: Batch, options: {
  readonly retry: Schedule.Schedule<unknown, TransportError.Reason>
  readonly budgetMs: number
}): Effect.fn.Return<Delivered, never, Transport> {
  const transport = yield* Transport
  const deadline = (yield* Clock.currentTimeMillis) + options.budgetMs
  const first = yield* attempt(transport, batch, options.budgetMs)
  const delivered = first.every(isConfirmed)
    ? { receipts: first, attempts: [] }
    : yield* repeat(transport, batch, first, options.retry, deadline)
  yield* countOutcomes(delivered.receipts)
  return delivered
})

const isConfirmed = (receipt: Receipt): boolean => receipt._tag === "Confirmed"

const repeat = Effect.fnUntraced(function*(
  transport: Transport["Service"],
  batch: Batch,
  first: Receipts,
  retry: Schedule.Schedule<unknown, TransportError.Reason>,
  deadline: number
): Effect.fn.Return<Delivered> {
  const receipts: [Receipt, ...Array<Receipt>] = [...first]
  const attempts = batch.map(() => 1)
  const step = yield* Schedule.toStep(retry)
  let rest = worthwhile(batch.map((_, index) => index), first)
  while (Arr.isReadonlyArrayNonEmpty(rest)) {
    const now = yield* Clock.currentTimeMillis
    const { reason } = receipts[rest[0]] as Exclude<Receipt, { readonly _tag: "Confirmed" }>
    const pause = yield* step(now, reason).pipe(
      Effect.map(([, delay]) => Duration.toMillis(delay)),
      Pull.catchDone(() => Effect.succeed(Number.POSITIVE_INFINITY))
    )
    // An attempt after the deadline may be one after the broker has forgotten the id.
    if (now + pause >= deadline) {
      break
    }
    yield* Effect.sleep(pause)
    const again = yield* attempt(transport, Arr.map(rest, (index) => batch[index]!), deadline - now - pause)
    rest.forEach((index, place) => {
      receipts[index] = merge(receipts[index]!, again[place]!)
      attempts[index]! += 1
    })
    yield* count(Metrics.publisher.retries, rest.length)
    rest = worthwhile(rest, again)
  }
  return { receipts, attempts }
})

/** One attempt for all of `batch`. It never fails: a transport that refuses a batch as a whole has sent none of it. */
const attempt = (transport: Transport["Service"], batch: Batch, millis: number): Effect.Effect<Receipts> => {
  const all = (receipt: Receipt) => Effect.succeed(Arr.map(batch, () => receipt))
  return transport.publish(batch).pipe(
    Effect.catch(({ reason }) => all({ _tag: "NotSent", reason })),
    Effect.timeoutOrElse({
      duration: millis,
      // Whether the transport had sent it before the time was up, it could not say any more.
      orElse: () => all({ _tag: "Ambiguous", reason: new TransportError.TimedOut({ operation: "publish", millis }) })
    })
  )
}

/** Which of the messages at `indices`, whose last attempt ended in `receipts`, are worth another attempt. */
const worthwhile = (indices: ReadonlyArray<number>, receipts: ReadonlyArray<Receipt>): ReadonlyArray<number> =>
  indices.filter((_, place) => {
    const receipt = receipts[place]!
    return receipt._tag === "Ambiguous" || (receipt._tag === "NotSent" && receipt.reason.isRetryable)
  })

/** Once ambiguous, only a confirmation makes it certain: a refusal says nothing about the attempt before it. */
const merge = (before: Receipt, after: Receipt): Receipt =>
  before._tag === "Ambiguous" && after._tag === "NotSent" ? { _tag: "Ambiguous", reason: after.reason } : after

const countOutcomes = (receipts: Receipts): Effect.Effect<void> => {
  const duplicates = receipts.filter((receipt) => receipt._tag === "Confirmed" && receipt.duplicate).length
  const notSent = receipts.filter((receipt) => receipt._tag === "NotSent").length
  const ambiguous = receipts.filter((receipt) => receipt._tag === "Ambiguous").length
  const { publisher } = Metrics
  return Effect.all([
    count(publisher.confirmed, receipts.length - duplicates - notSent - ambiguous),
    count(publisher.duplicate, duplicates),
    count(publisher.notSent, notSent),
    count(publisher.ambiguous, ambiguous)
  ], { discard: true })
}

const count = (metric: typeof Metrics.publisher.retries, by: number): Effect.Effect<void> =>
  by === 0
    ? Effect.void
    : Effect.contextWith((context: Context.Context<never>) => Effect.sync(() => metric.updateUnsafe(by, context)))
