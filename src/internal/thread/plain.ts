/** Reasons, statuses and sources as plain data, and back: a class and an `Option` do not survive the crossing. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Topology from "../../Topology.ts"
import type { ConnectionStatus, Source } from "../../Transport.ts"
import { Reason } from "../../TransportError.ts"

/** A reason as plain data. */
export type PlainReason = typeof Reason.Encoded

/** A source as plain data. */
export type PlainSource =
  | Exclude<Source, { readonly _tag: "durable" }>
  | {
    readonly _tag: "durable"
    readonly stream: string
    readonly consumer: string
    readonly create: Topology.Consumer | undefined
  }

/** A status as plain data. */
export interface PlainStatus {
  readonly _tag: ConnectionStatus["_tag"]
  readonly server: string
  readonly attempt: number
  readonly reason: PlainReason | undefined
}

export const plain: (reason: Reason) => PlainReason = Schema.encodeSync(Reason)

export const reasonOf: (reason: PlainReason) => Reason = Schema.decodeSync(Reason)

export const plainStatus = (status: ConnectionStatus): PlainStatus => {
  const reason = status._tag === "Connected" ? undefined : Option.getOrUndefined(status.reason)
  return {
    _tag: status._tag,
    server: status._tag === "Connected" ? status.server : "",
    attempt: status._tag === "Connecting" ? status.attempt : 0,
    reason: reason === undefined ? undefined : plain(reason)
  }
}

export const statusOf = ({ _tag, attempt, reason, server }: PlainStatus): ConnectionStatus => {
  const why = Option.map(Option.fromUndefinedOr(reason), reasonOf)
  switch (_tag) {
    case "Connected":
      return { _tag, server }
    case "Connecting":
      return { _tag, attempt, reason: why }
    case "Closed":
      return { _tag, reason: why }
  }
}

export const plainSource = (source: Source): PlainSource =>
  source._tag === "durable" ? { ...source, create: Option.getOrUndefined(source.create) } : source

export const sourceOf = (source: PlainSource): Source =>
  source._tag === "durable" ? { ...source, create: Option.fromUndefinedOr(source.create) } : source
