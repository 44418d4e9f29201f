/** What is published: the id of its publisher, its number, and something that makes it as large as it has to be. */
import * as Schema from "effect/Schema"
import * as Topic from "../../src/Topic.ts"
import { hash } from "../simulation/dice.ts"

export const STREAM = "CHAOS"
export const CONSUMER = "chaos"
export const SUBJECT = "chaos.job"

export interface Job {
  readonly p: number
  readonly n: number
  readonly x: string
}

/** So many keys has each publisher. */
const KEYS = 64

export const jobs = Topic.make(SUBJECT, {
  schema: Schema.Struct({ p: Schema.Int, n: Schema.Int, x: Schema.String }),
  key: ({ n, p }) => `${p}.${n % KEYS}`,
  id: ({ n, p }) => `${p}.${n}`
})

const filler = "the quick brown fox jumps over the lazy dog "

export const job = (p: number, n: number, size: number): Job => ({
  p,
  n,
  x: filler.repeat(Math.ceil(size / filler.length)).slice(0, size)
})

/** Of its beginning and its length: a job of a megabyte is not read for it. */
export const hashOf = ({ n, p, x }: Job): number => hash(`${p}.${n}.${x.length}.${x.slice(0, 64)}`)
