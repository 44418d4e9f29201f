/**
 * Turns values into messages, a bounded chunk at a time.
 */
import * as Result from "effect/Result"
import * as Headers from "../../Headers.ts"
import type * as Message from "../../Message.ts"
import type * as Topic from "../../Topic.ts"
import * as Tracing from "../../Tracing.ts"

interface Item<Params, A> {
  readonly params?: Params
  readonly value: A
  readonly options?: {
    readonly headers?: Headers.Headers
    readonly id?: string
    readonly expect?: Message.Expectation
  }
}

export interface Chunk {
  readonly batch: ReadonlyArray<Message.Outgoing>
  /** The item after `batch` could not be encoded. */
  readonly failure: Topic.EncodeError | undefined
  /** The input is at its end. */
  readonly done: boolean
}

/** A chunk is full at so many bytes, too: the bound on memory must hold for large messages. */
const bytesMax = 4 * 1024 * 1024

export const encodeNext = <Params, A>(
  topic: Topic.Topic<Params, A>,
  iterator: Iterator<Item<Params, A>>,
  size: number,
  trace: Headers.Headers
): Chunk => {
  const batch: Array<Message.Outgoing> = []
  let bytes = 0
  while (batch.length < size && bytes < bytesMax) {
    const next = iterator.next()
    if (next.done === true) {
      return { batch, failure: undefined, done: true }
    }
    const encoded = encode(topic, next.value, trace)
    if (Result.isFailure(encoded)) {
      return { batch, failure: encoded.failure, done: true }
    }
    batch.push(encoded.success)
    bytes += encoded.success.payload.length
  }
  return { batch, failure: undefined, done: false }
}

/** Only topics without holes have items without params; no holes is what an empty object fills. */
const noParams: unknown = {}

export const encode = <Params, A>(
  topic: Topic.Topic<Params, A>,
  { options, params = noParams as Params, value }: Item<Params, A>,
  trace: Headers.Headers
): Result.Result<Message.Outgoing, Topic.EncodeError> => {
  if (options === undefined) {
    return topic.encode(params, value, { headers: trace })
  }
  return topic.encode(params, value, {
    headers: withTrace(options.headers, trace),
    ...(options.id === undefined ? undefined : { id: options.id }),
    ...(options.expect === undefined ? undefined : { expect: options.expect })
  })
}

/** Where the caller continues a trace of its own, that one is meant. */
const withTrace = (own: Headers.Headers | undefined, trace: Headers.Headers): Headers.Headers => {
  if (own === undefined || own.size === 0) {
    return trace
  }
  let headers = own
  if (!own.has(Tracing.names.traceparent)) {
    for (const [name, [value]] of trace) {
      headers = value === undefined ? headers : Headers.set(headers, name, value)
    }
  }
  return headers
}
