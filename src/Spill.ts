/**
 * What a queue that spills keeps on disk, and how.
 *
 * `Queue.spill` is the strategy; here are its words. A delivery is written to a segment, a file of bounded size, and
 * acknowledged only once it is durable there. It is read back in order, and its segment removed when everything in it is
 * settled. What a process leaves behind, because it stopped or was killed, the next one with the same directory reads
 * first. So the broker is free of its messages at the speed of the disk, however slow the handlers are.
 *
 * A directory belongs to one reader of one consumer: replicas each have their own.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as AckPolicy from "./AckPolicy.ts"

/**
 * When what was written counts as durable, so that it may be acknowledged.
 *
 * - `"always"`: after an `fdatasync` for each batch that has come. Survives a power failure.
 * - `everyMs`: the same, at most once in so many milliseconds; acks wait for it. For disks that sync slowly.
 * - `"never"`: when the operating system has it. Survives a process that is killed, not a power failure.
 *
 * @category models
 * @since 0.1.0
 */
export type Sync = "always" | "never" | { readonly everyMs: number }

/**
 * The spill as plain data.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly directory: string
  /** How much the directory may hold, in bytes. */
  readonly maxBytes: number
  /** How large a segment becomes before the next one is begun, in bytes. */
  readonly segmentBytes: number
  readonly sync: Sync
}

/**
 * Options of a spill.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Where it is kept, for this reader alone; made if it is missing. Of a relative path, the process's own. */
  readonly directory: string
  /** How much it may hold, in bytes. Full, it stops pulling; the broker keeps the rest. Default 1 GiB. */
  readonly maxBytes?: number
  /** How large a segment becomes, in bytes; room comes back by the segment. Default 16 MiB, at most half of `maxBytes`. */
  readonly segmentBytes?: number
  /** Default `"always"`. A duration: at most one sync in so long. */
  readonly sync?: "always" | "never" | { readonly every: Duration.Input }
}

/**
 * Settings from options.
 *
 * **Example** (Defaults)
 *
 * ```ts import.meta.vitest
 * import * as Spill from "effect-sluice/Spill"
 *
 * Spill.settings({ directory: "/var/spool/clicks" }).maxBytes // => 1073741824
 * Spill.settings({ directory: "/var/spool/clicks", maxBytes: 1_000_000 }).segmentBytes // => 500000
 * Spill.settings({ directory: "/var/spool/clicks", sync: { every: "20 millis" } }).sync // => { everyMs: 20 }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const settings = (options: Options): Settings => {
  const { directory, maxBytes = MAX_BYTES_DEFAULT, sync = "always" } = options
  return {
    directory,
    maxBytes,
    segmentBytes: options.segmentBytes ?? Math.min(SEGMENT_BYTES_DEFAULT, Math.floor(maxBytes / 2)),
    sync: typeof sync === "string" ? sync : { everyMs: Duration.toMillis(Duration.fromInputUnsafe(sync.every)) }
  }
}

/**
 * What is wrong with a spill for such a source under such a policy, and what to do about it.
 *
 * **Example** (A policy that leaves the message with the broker)
 *
 * ```ts import.meta.vitest
 * import * as Spill from "effect-sluice/Spill"
 *
 * const spill = Spill.settings({ directory: "/var/spool/clicks" })
 * Spill.problemOf(spill, "durable", { _tag: "onEnqueue" }) // => undefined
 * Spill.problemOf(spill, "durable", { _tag: "onProcess" })?.[1] // => "Use AckPolicy.onEnqueue, or another queue."
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const problemOf = (
  spill: Settings | undefined,
  source: "durable" | "ephemeral" | "ordered",
  policy: AckPolicy.Policy
): readonly [problem: string, hint: string] | undefined => {
  if (spill === undefined || spill.directory === "") {
    return ["it spills, and does not say where", "Make it with Queue.spill, and name a directory."]
  }
  if (policy._tag !== "onEnqueue") {
    const problem = `it spills, and under ${policy._tag} the broker keeps the messages anyway`
    return [problem, "Use AckPolicy.onEnqueue, or another queue."]
  }
  if (source !== "durable") {
    const problem = `it spills, and no broker knows the place of an ${source} consumer after a crash`
    return [problem, "Name the consumer, or use another queue."]
  }
  const { maxBytes, segmentBytes, sync } = spill
  if (!(segmentBytes >= 1) || !(maxBytes >= 2 * segmentBytes)) {
    const problem = `maxBytes is ${maxBytes} and segmentBytes ${segmentBytes}: room comes back by the segment`
    return [problem, "Make maxBytes at least twice segmentBytes."]
  }
  if (typeof sync === "object" && !(sync.everyMs >= 0 && sync.everyMs <= EVERY_MS_MAX)) {
    return [`sync is every ${sync.everyMs} ms`, `Acks wait for it: use 0 to ${EVERY_MS_MAX} ms.`]
  }
  return undefined
}

/**
 * Whether a delivery on `subject` is acknowledged for good the moment it is enqueued, so that no verdict is asked of its
 * reader. With a spill none is: it is acknowledged early, and the disk waits for the verdict in the broker's place.
 *
 * **Example** (The same policy, with and without a spill)
 *
 * ```ts import.meta.vitest
 * import * as Queue from "effect-sluice/Queue"
 * import * as Spill from "effect-sluice/Spill"
 *
 * const policy = { _tag: "onEnqueue" } as const
 * Spill.settlesEarly(Queue.suspend(), policy)("clicks") // => true
 * Spill.settlesEarly(Queue.spill({ directory: "/var/spool/clicks" }), policy)("clicks") // => false
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const settlesEarly = (
  queue: { readonly spill?: Settings | undefined },
  policy: AckPolicy.Policy
): (subject: string) => boolean => queue.spill === undefined ? AckPolicy.acksOnEnqueue(policy) : () => false

// internals

const MAX_BYTES_DEFAULT = 1024 * 1024 * 1024
const SEGMENT_BYTES_DEFAULT = 16 * 1024 * 1024
/** Acks that wait longer meet leases that run out. */
const EVERY_MS_MAX = 1_000
