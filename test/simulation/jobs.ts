/** What is sent and read in a run. */
import * as Schema from "effect/Schema"
import * as Topic from "../../src/Topic.ts"

export const Job = Schema.Struct({ id: Schema.String, key: Schema.String, n: Schema.Number })
export type Job = typeof Job.Type

export const keyed = Topic.make("sim.{place}", { schema: Job, key: (job) => job.key, id: (job) => job.id })
export const unkeyed = Topic.make("sim.{place}", { schema: Job })
