/** What is seen, in words that are the same for every transport: no times, no names that are made up. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Delivery } from "../../src/Message.ts"
import type { Settlement } from "../../src/Settlement.ts"
import type * as Topology from "../../src/Topology.ts"
import type { Ledger, Receipt } from "../../src/Transport.ts"
import type { Reason, TransportError } from "../../src/TransportError.ts"
import { hash } from "../simulation/dice.ts"
import type { Operation, Reads } from "./program.ts"

const decoder = new TextDecoder()
const SHORT = 24

export const reason = (reason: Reason): string =>
  reason._tag === "Rejected" ? `Rejected(${reason.code}${reason.transient ? ", transient" : ""})` : reason._tag

export const error = (error: TransportError): string => reason(error.reason)

export const receipt = (receipt: Receipt): string => {
  switch (receipt._tag) {
    case "Confirmed":
      return `stored ${receipt.sequence}${receipt.duplicate ? " before" : ""}`
    case "NotSent":
      return `not sent: ${reason(receipt.reason)}`
    case "Ambiguous":
      return `ambiguous: ${reason(receipt.reason)}`
  }
}

const headers = (delivery: Delivery): string => {
  const decoded = Option.getOrUndefined(Result.getSuccess(delivery.headers))
  return decoded === undefined ? "malformed" : JSON.stringify(Object.fromEntries(decoded))
}

export const delivery = (delivery: Delivery): string => {
  // Not how many more were pending: that is how fast the server was.
  const { consumer, consumerSequence, deliveryCount, payload, streamSequence, subject } = delivery
  const text = decoder.decode(payload)
  const content = text.length <= SHORT ? text : `${text.slice(0, 4)}… ${payload.length} bytes ${hash(text)}`
  const from = /^c\d$/.test(consumer) ? consumer : "~"
  return `${from} ${streamSequence} as ${consumerSequence}, time ${deliveryCount}: `
    + `${subject} ${headers(delivery)} "${content}"`
}

export const settlement = (settlement: Settlement): string =>
  settlement._tag === "Nak" && settlement.delayMs > 0
    ? `nak for ${settlement.delayMs} ms`
    : settlement._tag.toLowerCase()

const pairs = (of: object): string => Object.entries(of).map(([name, value]) => `${name} ${value}`).join(", ")

export const ledger = (ledger: Ledger): string => pairs(ledger)

export const stream = (info: Option.Option<Topology.StreamInfo>): string =>
  Option.match(info, {
    onNone: () => "none",
    onSome: ({ bytes, firstSequence, lastSequence, messages }) =>
      `${firstSequence} to ${lastSequence}, ${messages} messages, ${bytes} bytes`
  })

export const consumer = (aging: boolean) => (info: Option.Option<Topology.ConsumerInfo>): string =>
  Option.match(info, {
    onNone: () => "none",
    onSome: ({ ackFloor, ackPending, consumer, delivered, pending, redelivered }) => {
      // How far past messages of others, or gone ones, a server has looked depends on when it was woken last: by a pull, by a
      // heartbeat, by a pull of somebody who is gone. How many pulls wait is the client's affair as well.
      const roams = aging || consumer.filters.length > 0
      return pairs({
        pending,
        ackPending,
        redelivered,
        ackFloor: roams ? "any" : ackFloor,
        delivered: roams ? "any" : delivered
      })
    }
  })

/** Everything that was declared, or decided by the broker; when it begins to read by time, is told by `start` alone. */
export const config = (config: Topology.Stream | Topology.Consumer): string => {
  const timed = "start" in config && config.start._tag === "time"
  return JSON.stringify(timed ? { ...config, start: { _tag: "time" } } : config)
}

const reads = (reads: Reads): string =>
  reads._tag === "durable"
    ? `c${reads.consumer}${reads.create === "no" ? "" : reads.create === "yes" ? ", created" : ", otherwise"}`
    : `${reads._tag} from ${JSON.stringify(reads.start)} of [${reads.filters.join(" ")}]`

export const operation = (operation: Operation): string => {
  switch (operation._tag) {
    case "publish":
      return `publish ${operation.messages.map(({ id, rest }) => `${id}→${rest}`).join(" ")}${
        operation.away ? ", away" : ""
      }`
    case "open": {
      const { policy, queue, reader, timeBudgetMs } = operation
      const how = `${policy._tag}, ${queue.strategy} ${queue.messages}, on drop ${settlement(queue.onDrop)}`
      return `r${reader} opens ${reads(operation.reads)}: ${how}${timeBudgetMs === 0 ? ", no renewal" : ""}`
    }
    case "take":
      return `r${operation.reader} takes ${operation.max}`
    case "settle": {
      const { count, pick, reader, settlement: verdict, stale } = operation
      return `r${reader} settles ${count} from ${pick}${stale ? " of those settled" : ""}: ${settlement(verdict)}`
    }
    case "check":
    case "stop":
    case "close":
      return `r${operation.reader} ${operation._tag}`
    case "deleteMessage":
      return `delete the message ${operation.back} before the last`
    case "createConsumer":
    case "deleteConsumer":
      return `${operation._tag} c${operation.consumer}`
    default:
      return operation._tag
  }
}

/** What was asked for, or why there was no answer. */
export const told = <A>(answer: Result.Result<A, TransportError>, say: (found: A) => string): string =>
  Result.match(answer, { onSuccess: say, onFailure: error })
