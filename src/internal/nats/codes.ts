/**
 * What JetStream's error codes mean to us. The only place that knows them (I12).
 *
 * The numbers are those of the server's own table, `server/errors.json` of nats-server.
 */
import * as TransportError from "../../TransportError.ts"

export const CONSUMER_NOT_FOUND = 10014
export const STREAM_NOT_FOUND = 10059
export const STREAM_EXISTS = 10058
export const CONSUMER_EXISTS = [10013, 10105, 10148]

const WRONG_LAST_SEQUENCE = new Set([10071, 10164])

/** Codes that stay as they are until somebody changes something. Every other one counts as passing (I12). */
const PERMANENT = new Set([
  10003, // bad request
  10012, // consumer cannot be created
  10013, // consumer name in use
  10017, // durable name does not match
  10025, // invalid JSON
  10026, // consumer limit reached
  10027, // stream limit reached
  10039, // JetStream not enabled for this account
  10043, // sequence not found
  10052, // stream configuration is invalid
  10054, // message exceeds the stream's maximum
  10057, // no message found
  10058, // stream name in use with another configuration
  10060, // expected stream does not match
  10065, // subjects overlap with another stream
  10070, // wrong last message id
  10074, // replicas not supported without a cluster
  10084, // pull mode needs acks
  10093, // filter is not a subset of the stream's subjects
  10094, // deliver policy does not fit the configuration
  10097, // headers exceed the maximum
  10098, // a work queue needs explicit acks
  10099, // a work queue takes several consumers only with filters
  10100, // a work queue's consumers overlap
  10101, // a work queue's consumer must deliver all
  10105, // consumer exists and is active
  10109, // stream is sealed
  10116, // more backoffs than deliveries
  10136, // filters overlap each other
  10137, // several filters not allowed
  10138, // the consumer's filters overlap
  10139, // empty filter
  10148, // consumer exists
  10149, // consumer does not exist
  10166 // message TTL disabled
])

/** The `error` member of a JetStream API answer. */
export interface ApiError {
  readonly code: number
  readonly err_code?: number
  readonly description?: string
}

export const isApiError = (value: unknown): value is ApiError =>
  typeof value === "object" && value !== null && typeof (value as ApiError).code === "number"

/** The reason behind an API error, for an operation on a stream and perhaps a consumer. */
export const toReason = (
  error: ApiError,
  operation: string,
  target: { readonly stream?: string; readonly consumer?: string; readonly subject?: string }
): TransportError.Reason => {
  const code = error.err_code ?? error.code
  const detail = error.description ?? ""
  if (code === CONSUMER_NOT_FOUND && target.stream !== undefined && target.consumer !== undefined) {
    return new TransportError.ConsumerNotFound({ stream: target.stream, consumer: target.consumer })
  }
  if (code === STREAM_NOT_FOUND && target.stream !== undefined) {
    return new TransportError.StreamNotFound({ stream: target.stream })
  }
  if (WRONG_LAST_SEQUENCE.has(code) && target.subject !== undefined) {
    return new TransportError.WrongLastSequence({ subject: target.subject, detail })
  }
  return new TransportError.Rejected({ operation, code, detail, transient: !PERMANENT.has(code) })
}
