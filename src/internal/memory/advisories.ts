/** Advisories as messages, as JetStream writes them: for a stream that captures them. */
import { utf8 } from "../../Headers.ts"
import type { Arriving } from "./stream.ts"
import type { Advisory } from "./words.ts"

const BEFORE = "$JS.EVENT.ADVISORY.CONSUMER"

/** What a stream may keep of it: only what is said of a message that will not come again. */
export const captured = (advisory: Advisory, number: number): Arriving | undefined => {
  const told = toldOf(advisory)
  if (told === undefined || !("sequence" in advisory)) {
    return undefined
  }
  const { at, consumer, deliveries, sequence, stream } = advisory
  const id = `advisory-${number}`
  const body = {
    type: `io.nats.jetstream.advisory.v1.${told.type}`,
    id,
    timestamp: new Date(at).toISOString(),
    stream,
    consumer,
    stream_seq: sequence,
    ...told.more,
    deliveries
  }
  return {
    subject: `${BEFORE}.${told.event}.${stream}.${consumer}`,
    headers: new Uint8Array(),
    payload: utf8(JSON.stringify(body)),
    id,
    expect: undefined
  }
}

// internals

const toldOf = (advisory: Advisory) => {
  switch (advisory._tag) {
    case "MaxDeliveries":
      return { event: "MAX_DELIVERIES", type: "max_deliver", more: {} }
    case "Terminated": {
      const { consumerSequence, reason } = advisory
      return { event: "MSG_TERMINATED", type: "terminated", more: { consumer_seq: consumerSequence, reason } }
    }
    default:
      return undefined
  }
}
