/** The message of a step, as it goes out. */
import * as Headers from "../../src/Headers.ts"
import type { Expectation, Outgoing } from "../../src/Message.ts"
import type { Sent } from "./program.ts"

/** What was stored last, in the stream and on a subject, as far as receipts tell. */
export interface Known {
  readonly last: number
  readonly lastOf: (rest: string) => number
}

/** One byte more than this is too much, headers included. */
const PAYLOAD_MAX = 1024 * 1024
const encoder = new TextEncoder()

export const messages = (
  stream: string,
  { expect, headers, id, oversized, rest, text }: Sent,
  known: Known
): Outgoing => ({
  subject: `${stream}.${rest}`,
  payload: oversized ? new Uint8Array(PAYLOAD_MAX) : encoder.encode(text),
  headers: Object.entries(headers).reduce((all, [name, value]) => Headers.set(all, name, value), Headers.empty),
  id,
  ...(expect === undefined ? undefined : { expect: expectation(expect, stream, known.last, known.lastOf(rest)) })
})

const expectation = (
  expect: NonNullable<Sent["expect"]>,
  stream: string,
  last: number,
  lastOfSubject: number
): Expectation => {
  switch (expect._tag) {
    case "stream":
      return { stream: expect.right ? stream : `${stream}x` }
    case "lastSequence":
      return { lastSequence: Math.max(0, last + expect.off) }
    case "lastSubjectSequence":
      return { lastSubjectSequence: Math.max(0, lastOfSubject + expect.off) }
  }
}
