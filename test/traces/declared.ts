/** What a program declares, with the names of the stream that it is played with. */
import * as Option from "effect/Option"
import type * as Topology from "../../src/Topology.ts"
import type { Source } from "../../src/Transport.ts"
import type { Program, Reads, Start } from "./program.ts"

/** Another consumer of the same name. */
const OTHER = { maxDeliver: 7 }

export class Declared {
  readonly #program: Program
  readonly #name: string
  readonly #beganAt: number

  constructor(program: Program, name: string, beganAt: number) {
    this.#program = program
    this.#name = name
    this.#beganAt = beganAt
  }

  get stream(): Topology.Stream {
    return { ...this.#program.stream, name: this.#name, subjects: [`${this.#name}.>`] }
  }

  consumer(index: number): Topology.Consumer {
    const consumer = this.#program.consumers[index] as Topology.Consumer
    return { ...consumer, filters: this.#filters(consumer.filters), start: this.#start(consumer.start) }
  }

  source(reads: Reads): Source {
    const stream = this.#name
    if (reads._tag !== "durable") {
      return { _tag: reads._tag, stream, filters: this.#filters(reads.filters), start: this.#start(reads.start) }
    }
    const consumer = this.consumer(reads.consumer)
    const create = reads.create === "no"
      ? Option.none()
      : Option.some(reads.create === "yes" ? consumer : { ...consumer, ...OTHER })
    return { _tag: "durable", stream, consumer: consumer.name, create }
  }

  #filters(filters: ReadonlyArray<string>): ReadonlyArray<string> {
    return filters.map((filter) => `${this.#name}.${filter}`)
  }

  #start(start: Start): Start {
    return start._tag === "time" ? { _tag: "time", millis: this.#beganAt + start.millis } : start
  }
}
