import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Headers from "../../../src/Headers.ts"
import {
  eachVerdict,
  packDeliveries,
  packOutgoing,
  packReceipts,
  unpackDeliveries,
  unpackOutgoing,
  unpackReceipts,
  Verdicts
} from "../../../src/internal/thread/packing.ts"
import { Delivery, type Outgoing } from "../../../src/Message.ts"
import * as Settlement from "../../../src/Settlement.ts"
import type { Receipt } from "../../../src/Transport.ts"
import { TimedOut } from "../../../src/TransportError.ts"

/** What a port does to a message. */
const cross = <A>(value: A): A => structuredClone(value)

const bytes = (...values: ReadonlyArray<number>) => new Uint8Array(values)

describe("a batch that crosses", () => {
  it("has the deliveries that it had, with subjects beyond ASCII and without a byte of a neighbour", () => {
    const headers = Result.getOrThrow(Headers.fromRecord({ "X-A": "ö" }))
    const deliveries = [["orders.ü", bytes(1, 2, 3)], ["o", bytes()], ["orders.€.x", bytes(9)], ["o", bytes(7)]].map((
      [subject, payload],
      i
    ) =>
      new Delivery({
        subject: subject as string,
        payload: payload as Uint8Array,
        headerBytes: i === 1 ? Headers.encode(headers) : bytes(),
        stream: "S",
        consumer: "C",
        streamSequence: 2 ** 40 + i,
        consumerSequence: i + 1,
        deliveryCount: i + 1,
        timestamp: 1_700_000_000_000 + i,
        pending: 4 - i,
        overheadBytes: 64
      })
    )
    let numbers = 0
    const crossed = unpackDeliveries(
      cross(packDeliveries(deliveries, () => ({ number: ++numbers, place: numbers + 10 })))
    )
    assert.deepStrictEqual(crossed.map((one) => [one.number, one.place]), [[1, 11], [2, 12], [3, 13], [4, 14]])
    for (const [index, one] of crossed.entries()) {
      const { headers, ...rest } = view(one)
      const { headers: expected, ...wanted } = view(deliveries[index]!)
      assert.deepStrictEqual(rest, wanted)
      assert.deepStrictEqual([...headers], [...expected])
    }
  })

  it("has the verdicts that it had, and those without one", () => {
    const settlements = [Settlement.ack, Settlement.nak(), Settlement.nak(1_500.5), Settlement.term("nö"), undefined]
    const verdicts = new Verdicts()
    assert.isTrue(verdicts.isEmpty)
    for (const [index, settlement] of settlements.entries()) {
      verdicts.add({ number: 2 ** 33 + index, place: index }, settlement)
    }
    assert.isFalse(verdicts.isEmpty)
    const packed = cross(verdicts.pack())
    const seen: Array<unknown> = []
    eachVerdict(packed, (number, place, settlement) => seen.push([number - 2 ** 33, place, settlement]))
    assert.deepStrictEqual(seen, settlements.map((settlement, index) => [index, index, settlement]))
  })

  it("has the messages that it had", () => {
    const headers = Result.getOrThrow(Headers.fromRecord({ a: ["1", "2"] }))
    const batch: ReadonlyArray<Outgoing> = [
      { subject: "ä", id: "1", payload: bytes(1), headers: Headers.empty },
      { subject: "b", id: "€", payload: bytes(), headers, expect: { lastSequence: 0 } }
    ]
    const crossed = unpackOutgoing(cross(packOutgoing(batch)))
    assert.deepStrictEqual(crossed.map(({ headers, ...rest }) => ({ ...rest, headers: [...headers] })), [
      { subject: "ä", id: "1", payload: bytes(1), headers: [] },
      { subject: "b", id: "€", payload: bytes(), headers: [["a", ["1", "2"]]], expect: { lastSequence: 0 } }
    ])
  })

  it("has the receipts that it had, of several streams, and reasons that are themselves again", () => {
    const reason = new TimedOut({ operation: "publish", millis: 5_000 })
    const receipts: ReadonlyArray<Receipt> = [
      { _tag: "Confirmed", stream: "A", sequence: 1, duplicate: false },
      { _tag: "Confirmed", stream: "A", sequence: 2 ** 40, duplicate: true },
      { _tag: "Ambiguous", reason },
      { _tag: "Confirmed", stream: "B", sequence: 1, duplicate: false },
      { _tag: "NotSent", reason }
    ]
    const crossed = unpackReceipts(cross(packReceipts(receipts)))
    assert.deepStrictEqual(crossed, receipts)
    assert.instanceOf((crossed[2] as { readonly reason: unknown }).reason, TimedOut)
  })
})

const view = (one: Delivery) => ({
  subject: one.subject,
  payload: [...one.payload],
  stream: one.stream,
  consumer: one.consumer,
  streamSequence: one.streamSequence,
  consumerSequence: one.consumerSequence,
  deliveryCount: one.deliveryCount,
  timestamp: one.timestamp,
  pending: one.pending,
  bytes: one.bytes,
  headers: Result.getOrThrow(one.headers)
})
