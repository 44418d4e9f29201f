/**
 * Plays a program on a stage, through the `Transport` interface alone, and writes down what is to be seen: what each
 * step gave, and what stream, consumers and readers look like when everything has become quiet.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { Delivery } from "../../src/Message.ts"
import type * as Topology from "../../src/Topology.ts"
import type { Inlet, TopologyAdmin, Transport } from "../../src/Transport.ts"
import type { TransportError } from "../../src/TransportError.ts"
import { Declared } from "./declared.ts"
import { messages } from "./messages.ts"
import { type Operation, type Program, QUIET_MS, type Step } from "./program.ts"
import { Sightings } from "./sightings.ts"
import type { Stage } from "./stage.ts"
import * as Say from "./words.ts"

export interface Line {
  /** Which step it belongs to; -1 for what was before the first one. */
  readonly step: number
  readonly text: string
}

export interface Trace {
  readonly lines: ReadonlyArray<Line>
  /** How often each kind of outcome was seen. */
  readonly seen: ReadonlyMap<string, number>
}

/**
 * Plays it with a stream of this name. With a trace to expect, it looks again for a while where it sees something else:
 * a busy machine is late, a difference stays.
 */
export const record =
  (program: Program, name: string, expected?: Trace) => (stage: Stage): Effect.Effect<Trace, never, Scope.Scope> =>
    Effect.gen(function*() {
      const player = new Player(program, name, stage, yield* Effect.scope, expected)
      yield* Effect.addFinalizer(() => Effect.ignore(adminOf(stage.witness).deleteStream(name)))
      yield* player.begin
      for (const [index, step] of program.steps.entries()) {
        yield* player.play(index, step)
      }
      yield* player.end
      return { lines: player.lines, seen: player.sightings.counts }
    })

// internals

interface Reader {
  readonly inlet: Inlet
  readonly close: Effect.Effect<void>
  readonly held: Array<Delivery>
  readonly settled: Array<Delivery>
}

/** A step that has not ended when it is looked at is looked at again after each of the next ones. */
interface Late {
  readonly step: number
  readonly fiber: Fiber.Fiber<ReadonlyArray<string>>
}

/** How often it is looked again, with a rest in between, until it is as expected. */
const LOOKS_MAX = 60
const GIVES_UP_MS = 2_000
const PATIENCE = 5

const isSame = (some: ReadonlyArray<string>, others: ReadonlyArray<string>): boolean =>
  some.length === others.length && some.every((text, index) => text === others[index])

const adminOf = (transport: Transport["Service"]): TopologyAdmin => Option.getOrThrow(transport.topology)

class Player {
  readonly lines: Array<Line> = []
  readonly sightings: Sightings
  readonly #program: Program
  readonly #name: string
  readonly #stage: Stage
  readonly #scope: Scope.Scope
  readonly #readers = new Map<number, Reader>()
  readonly #expected: Trace | undefined
  readonly #declared: Declared
  #late: ReadonlyArray<Late> = []
  #step = -1

  constructor(program: Program, name: string, stage: Stage, scope: Scope.Scope, expected: Trace | undefined) {
    this.#expected = expected
    this.#declared = new Declared(program, name, stage.beganAt)
    this.#program = program
    this.#name = name
    this.#stage = stage
    this.#scope = scope
    this.sightings = new Sightings(program)
  }

  get begin(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (const text of yield* this.#run({ _tag: "createStream" })) {
        this.lines.push({ step: this.#step, text })
      }
    })
  }

  play(index: number, { atMs, operation }: Step): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      yield* this.#stage.until(atMs)
      this.#step = index
      this.sightings.operation(operation)
      const fiber = yield* Effect.forkIn(this.#run(operation), this.#scope, { startImmediately: true })
      yield* this.#stage.until(atMs + QUIET_MS)
      if (operation._tag === "take") {
        yield* this.#awaitTaken(fiber)
      }
      yield* this.#note([...this.#late, { step: index, fiber }])
    })
  }

  get end(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      yield* this.#stage.mend
      this.#step = this.#program.steps.length
      const { endMs, steps } = this.#program
      let at = endMs ?? (steps.at(-1)?.atMs ?? 0) + QUIET_MS
      yield* this.#stage.until(at)
      yield* this.#note(this.#late, endMs !== undefined)
      const closing: Array<Late> = [...this.#late]
      for (const reader of [...this.#readers.keys()]) {
        const fiber = yield* Effect.forkIn(this.#close(reader), this.#scope, { startImmediately: true })
        closing.push({ step: this.#step, fiber })
        yield* this.#stage.until(at += QUIET_MS)
      }
      this.#step++
      // What they gave back is for the server to find out, now or later.
      yield* this.#note(closing, false)
      // Whoever waits for an answer that does not come gives up in the end.
      for (const _ of Array.from({ length: PATIENCE })) {
        if (this.#late.some(({ fiber }) => fiber.pollUnsafe() === undefined)) {
          yield* this.#stage.until(at += GIVES_UP_MS)
        }
      }
    })
  }

  // internals

  /** Writes down what has come of these steps, and what everything looks like; a busy machine may be late with it. */
  #note(steps: ReadonlyArray<Late>, looks = true): Effect.Effect<void> {
    const look = looks ? this.#look : Effect.succeed([])
    return Effect.gen({ self: this }, function*() {
      const expected = this.#expected?.lines.filter(({ step }) => step === this.#step).map(({ text }) => text)
      let seen = [...this.#results(steps), ...yield* look]
      for (let turn = 0; turn < LOOKS_MAX && expected !== undefined && !isSame(seen, expected); turn++) {
        yield* this.#stage.rest
        seen = [...this.#results(steps), ...yield* look]
      }
      this.#late = steps.filter(({ fiber }) => fiber.pollUnsafe() === undefined)
      for (const text of seen) {
        this.lines.push({ step: this.#step, text })
      }
    })
  }

  #results(steps: ReadonlyArray<Late>): ReadonlyArray<string> {
    return steps.flatMap(({ fiber, step }) => {
      const exit = fiber.pollUnsafe()
      const said = exit === undefined ? ["…"] : Exit.isSuccess(exit) ? exit.value : ["nothing"]
      return step === this.#step ? said : said.map((text) => `#${step} ${text}`)
    })
  }

  /** Nothing came, unless something was to come. If it comes at this very moment, it counts. */
  #awaitTaken(fiber: Fiber.Fiber<unknown>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const expected = this.#expected?.lines.find(({ step }) => step === this.#step)?.text
      const isExpected = expected !== undefined && expected !== "nothing"
      for (let looks = 0; looks < LOOKS_MAX && isExpected && fiber.pollUnsafe() === undefined; looks++) {
        yield* this.#stage.rest
      }
      yield* Fiber.interrupt(fiber)
    })
  }

  /** What stream, consumers and readers look like. */
  get #look(): Effect.Effect<ReadonlyArray<string>> {
    return Effect.gen({ self: this }, function*() {
      const admin = adminOf(this.#stage.witness)
      const stream = yield* this.#ask(admin.describeStream(this.#name))
      const said = [`stream: ${Say.told(stream, Say.stream)}`]
      for (const { name } of this.#program.consumers) {
        const info = yield* this.#ask(admin.describeConsumer(this.#name, name))
        said.push(`${name}: ${Say.told(info, Say.consumer(this.#program.stream.maxAgeMs > 0))}`)
        this.sightings.consumer(Result.isSuccess(info) ? Option.getOrUndefined(info.success) : undefined)
      }
      for (const [index, { inlet }] of this.#readers) {
        const ledger = inlet.ledger()
        said.push(`r${index}: ${Say.ledger(ledger)}`)
        this.sightings.ledger(index, ledger)
      }
      this.sightings.stream(Result.isSuccess(stream) ? Option.getOrUndefined(stream.success) : undefined)
      return said
    })
  }

  #ask<A>(effect: Effect.Effect<A, TransportError>): Effect.Effect<Result.Result<A, TransportError>> {
    return Effect.result(effect)
  }

  #run(operation: Operation): Effect.Effect<ReadonlyArray<string>> {
    const admin = adminOf(this.#stage.client)
    switch (operation._tag) {
      case "publish":
        return this.#publish(operation)
      case "open":
        return this.#open(operation)
      case "take":
        return this.#take(operation.reader, operation.max)
      case "settle":
        return this.#settle(operation)
      case "check":
        return this.#with(operation.reader, ({ held, inlet }) => Effect.succeed([held.map(inlet.holds).join(" ")]))
      case "stop":
        return this.#with(operation.reader, ({ inlet }) => Effect.as(inlet.stop, ["stopped"]))
      case "close":
        return this.#close(operation.reader)
      case "createConsumer":
        return this.#admin(admin.createConsumer(this.#name, this.#declared.consumer(operation.consumer)))
      case "deleteConsumer":
        return this.#admin(admin.deleteConsumer(this.#name, this.#declared.consumer(operation.consumer).name))
      case "createStream":
        return this.#admin(admin.createStream(this.#declared.stream))
      case "deleteStream":
        return this.#admin(admin.deleteStream(this.#name))
      case "cut":
        return Effect.as(this.#stage.cut, ["cut"])
      case "mend":
        return Effect.as(this.#stage.mend, ["mended"])
      case "purge":
        return this.#removed(admin.purgeStream(this.#name))
      case "deleteMessage": {
        const sequence = Math.max(1, this.sightings.last - operation.back)
        return this.#admin(admin.deleteMessage(this.#name, sequence))
      }
      case "look":
        return this.#configs
    }
  }

  #admin(effect: Effect.Effect<void, TransportError>): Effect.Effect<ReadonlyArray<string>> {
    return Effect.match(effect, {
      onSuccess: () => ["done"],
      onFailure: (error) => {
        this.sightings.see(`admin: ${Say.error(error)}`)
        return [Say.error(error)]
      }
    })
  }

  #removed(effect: Effect.Effect<number, TransportError>): Effect.Effect<ReadonlyArray<string>> {
    return Effect.match(effect, {
      onSuccess: (count) => [`${count} removed`],
      onFailure: (error) => [Say.error(error)]
    })
  }

  get #configs(): Effect.Effect<ReadonlyArray<string>> {
    const admin = adminOf(this.#stage.witness)
    const all = [
      Effect.map(
        admin.describeStream(this.#name),
        Option.map(({ stream }): Topology.Stream | Topology.Consumer => stream)
      ),
      ...this.#program.consumers.map(({ name }) =>
        Effect.map(admin.describeConsumer(this.#name, name), Option.map(({ consumer }) => consumer))
      )
    ]
    return Effect.forEach(all, (one) =>
      Effect.match(one, {
        onSuccess: Option.match({ onNone: () => "none", onSome: Say.config }),
        onFailure: Say.error
      }))
  }

  #publish({ away, messages: sent }: Extract<Operation, { _tag: "publish" }>): Effect.Effect<ReadonlyArray<string>> {
    const { client, witness } = this.#stage
    return Effect.gen({ self: this }, function*() {
      const said: Array<string> = []
      // One after the other, so that what each expects can be told from what the last one did.
      for (const one of sent) {
        const message = messages(this.#name, one, this.sightings)
        const receipts = yield* Effect.result((away ? witness : client).publish([message]))
        if (Result.isFailure(receipts)) {
          said.push(Say.error(receipts.failure))
          continue
        }
        for (const receipt of receipts.success) {
          said.push(`${one.id}: ${Say.receipt(receipt)}`)
          this.sightings.receipt(one, receipt)
        }
        // What a delivery says of how many more there are depends on how many have come.
        yield* this.#stage.rest
      }
      return said
    })
  }

  #open(
    { policy, queue, reader, reads, timeBudgetMs }: Extract<Operation, { _tag: "open" }>
  ): Effect.Effect<ReadonlyArray<string>> {
    return Effect.gen({ self: this }, function*() {
      const scope = yield* Scope.fork(this.#scope)
      const opening = this.#stage.client.open(this.#declared.source(reads), { ack: policy, queue, timeBudgetMs })
      const opened = yield* Effect.result(Scope.provide(opening, scope))
      if (Result.isFailure(opened)) {
        // Whether something was left behind is looked at later, and takes its time.
        yield* Effect.forkIn(Scope.close(scope, Exit.void), this.#scope)
        this.sightings.see(`open: ${Say.error(opened.failure)}`)
        return [Say.error(opened.failure)]
      }
      const close = Scope.close(scope, Exit.void)
      this.#readers.set(reader, { inlet: opened.success, close, held: [], settled: [] })
      return ["opened"]
    })
  }

  #with(
    reader: number,
    run: (reader: Reader) => Effect.Effect<ReadonlyArray<string>>
  ): Effect.Effect<ReadonlyArray<string>> {
    return Effect.suspend(() => {
      const found = this.#readers.get(reader)
      return found === undefined ? Effect.succeed(["is not open"]) : run(found)
    })
  }

  #take(index: number, max: number): Effect.Effect<ReadonlyArray<string>> {
    return this.#with(index, (reader) =>
      Effect.match(reader.inlet.take(max), {
        onSuccess: (taken) => {
          reader.held.push(...taken)
          for (const one of taken) {
            this.sightings.delivery(index, one)
          }
          return taken.map(Say.delivery)
        },
        onFailure: (failure) => {
          const said = failure._tag === "TransportError" ? Say.error(failure) : "the end"
          this.sightings.see(`take: ${said}`)
          return [said]
        }
      }))
  }

  #settle(
    { count, pick, reader, settlement, stale }: Extract<Operation, { _tag: "settle" }>
  ): Effect.Effect<ReadonlyArray<string>> {
    return this.#with(reader, ({ held, inlet, settled }) => {
      const from = stale ? settled : held
      const at = from.length === 0 ? 0 : pick % from.length
      const chosen = stale ? from.slice(at, at + count) : from.splice(at, count)
      settled.push(...(stale ? [] : chosen))
      for (const delivery of chosen) {
        this.sightings.settled(delivery, settlement, stale)
      }
      const settling = inlet.settle(chosen.map((delivery) => ({ delivery, settlement })))
      return Effect.as(settling, [`${chosen.map(({ streamSequence }) => streamSequence).join(" ")} settled`])
    })
  }

  #close(index: number): Effect.Effect<ReadonlyArray<string>> {
    return this.#with(index, ({ close, inlet }) => {
      this.#readers.delete(index)
      return Effect.map(close, () => {
        this.sightings.ledger(index, inlet.ledger())
        return [`r${index} closed: ${Say.ledger(inlet.ledger())}`]
      })
    })
  }
}
