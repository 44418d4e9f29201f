/** What a server no longer allows, or has no room for. */
import { jetstream } from "@nats-io/jetstream"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import * as Publisher from "../../../src/Publisher.ts"
import * as Topology from "../../../src/Topology.ts"
import { Transport } from "../../../src/Transport.ts"
import { type NatsServer, type Options } from "../../support/nats-server.ts"
import type { Mode } from "../orders.ts"
import { ADMIN, message, ours, raw, withServer } from "./clients.ts"
import { atMost, type Context, isOurs, type Outcome, type Row, shown } from "./Row.ts"

// T-34

const REFUSED_MS = 3_000
const ROTATIONS = 3

const password = (valid: boolean): string => `authorization { user: admin, password: ${valid ? "p" : "other"} }`

const untilStored = (
  mode: Mode,
  server: NatsServer
): { readonly stored: () => Promise<void>; readonly end: () => void } => {
  if (!isOurs(mode)) {
    const connection = raw(server, ADMIN)
    const stored = async (): Promise<void> => {
      while (true) {
        try {
          await jetstream(await connection).publish("s.a", "x", { timeout: 500 })
          return
        } catch {
          await sleep(20)
        }
      }
    }
    return { stored, end: () => void connection.then((open) => open.close()) }
  }
  const ended = Promise.withResolvers<void>()
  const ready = Promise.withResolvers<Transport["Service"]>()
  void ours(
    mode,
    server,
    ADMIN,
    Effect.gen(function*() {
      ready.resolve(yield* Transport)
      yield* Effect.promise(() => ended.promise)
    })
  ).catch(ready.reject)
  const stored = async (): Promise<void> => {
    const transport = await ready.promise
    while (true) {
      const [receipt] = await Effect.runPromise(transport.publish([message(String(performance.now()), 1)]))
      if (receipt._tag === "Confirmed") {
        return
      }
      await sleep(20)
    }
  }
  return { stored, end: () => ended.resolve() }
}

const rotated: Row = {
  id: "T-34",
  fault: `credentials that are refused for ${REFUSED_MS / 1_000} s, ${ROTATIONS} times`,
  figure: "stores again ≤ 1 s after they are valid; never closed for good",
  run: ({ isShort = false, mode, version }) =>
    withServer({ version, config: password(true) }, async (server) => {
      await ours("inline", server, ADMIN, stream({}))
      const { end, stored } = untilStored(mode, server)
      await stored()
      const times: Array<number> = []
      for (let i = 0; i < (isShort ? 1 : ROTATIONS); i++) {
        await server.signal("SIGHUP", { config: password(false) })
        await sleep(REFUSED_MS)
        await server.signal("SIGHUP", { config: password(true) })
        const from = performance.now()
        const back = await Promise.race([stored().then(() => true), sleep(20_000, false)])
        times.push(back ? performance.now() - from : Number.POSITIVE_INFINITY)
      }
      end()
      return { measured: [`max ${shown(Math.max(...times))}`], wrong: atMost("stored", Math.max(...times), 1_000) }
    })
}

const stream = (options: object) =>
  Effect.flatMap(
    Transport,
    ({ topology }) => Option.getOrThrow(topology).createStream(Topology.stream("S", { subjects: ["s.>"], ...options }))
  )

// T-35

const FULL_MS = 3_000
const CHUNK = 64 * 1024
const BALLAST = 8 * 1024 * 1024

const purge = (server: NatsServer): Promise<void> =>
  ours(
    "inline",
    server,
    ADMIN,
    Effect.flatMap(Transport, ({ topology }) => Option.getOrThrow(topology).purgeStream("S"))
  ).then(() => {})

/** Publishes until there is no room, then one more, which has to wait until there is: how long after that it is stored. */
const fillAndFree = (mode: Mode, server: NatsServer, free: () => Promise<void>): Promise<readonly [number, number]> => {
  if (!isOurs(mode)) {
    return rawFillAndFree(server, free)
  }
  return ours(
    mode,
    server,
    ADMIN,
    Effect.gen(function*() {
      const transport = yield* Transport
      let filled = 0
      while ((yield* transport.publish([message(`f${filled}`, CHUNK)]))[0]._tag === "Confirmed") {
        filled++
      }
      const waiting = yield* Effect.forkChild(
        Effect.map(
          Publisher.publishRaw([message("last", CHUNK)]),
          ([receipt]) => [receipt, performance.now()] as const
        ),
        { startImmediately: true }
      )
      yield* Effect.sleep(FULL_MS)
      yield* Effect.promise(free)
      const from = performance.now()
      const [receipt, at] = yield* Effect.promise(() =>
        new Promise<readonly [{ readonly _tag: string }, number]>((resolve) =>
          waiting.addObserver((exit) => resolve(exit._tag === "Success" ? exit.value : [{ _tag: "failed" }, 0]))
        )
      )
      return [filled, receipt._tag === "Confirmed" ? at - from : Number.POSITIVE_INFINITY] as const
    })
  )
}

/** As an application would: it tries again when it is told to, because nobody does that for it. */
const rawFillAndFree = async (
  server: NatsServer,
  free: () => Promise<void>
): Promise<readonly [number, number]> => {
  const connection = await raw(server, ADMIN)
  const client = jetstream(connection)
  let filled = 0
  const store = () => client.publish("s.a", new Uint8Array(CHUNK)).then(() => true, () => false)
  while (await store()) {
    filled++
  }
  await sleep(FULL_MS)
  await free()
  const from = performance.now()
  const isStored = await store()
  await connection.close()
  return [filled, isStored ? performance.now() - from : Number.POSITIVE_INFINITY]
}

/** One message that is too large for what the server takes now, and another one beside it. */
const tooLarge = async (mode: Mode, server: NatsServer): Promise<string> => {
  if (!isOurs(mode)) {
    const connection = await raw(server, ADMIN)
    const client = jetstream(connection)
    const told = await Promise.all(
      [new Uint8Array(CHUNK), new Uint8Array(1)].map((payload) =>
        client.publish("s.a", payload).then(() => "stored", (error: unknown) => String(error))
      )
    )
    await connection.close()
    return told.join(" and ")
  }
  const receipts = await ours(
    mode,
    server,
    ADMIN,
    Effect.flatMap(Transport, ({ publish }) => publish([message("large", CHUNK), message("small", 1)]))
  )
  return receipts.map((receipt) => receipt._tag === "Confirmed" ? "stored" : receipt.reason._tag).join(" and ")
}

const limits = async (
  context: Context,
  options: Options,
  subject: object,
  free: (server: NatsServer) => Promise<void> = purge
): Promise<Outcome> =>
  withServer({ version: context.version, config: password(true), ...options }, async (server) => {
    await ours("inline", server, ADMIN, stream(subject))
    const [filled, after] = await fillAndFree(context.mode, server, () => free(server))
    return {
      measured: [shown(after)],
      wrong: [...atMost("stored", after, 5_000), ...(filled > 0 ? [] : ["it was never full"])]
    }
  })

/** A disk of its own, that is full before the server knows. */
const disk = async (context: Context): Promise<Outcome> => {
  const directory = await mkdtemp(join(tmpdir(), "sluice-disk-"))
  const run = promisify(execFile)
  const mounted = await run("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", directory]).then(
    () => true,
    () => false
  )
  const before = process.env["TMPDIR"]
  try {
    if (!mounted) {
      return { measured: ["not measured: nobody may mount here"], wrong: [] }
    }
    process.env["TMPDIR"] = directory
    // A full disk has no room for a purge, either.
    const ballast = join(directory, "ballast")
    await writeFile(ballast, new Uint8Array(BALLAST))
    return await limits(context, { jetstream: "max_file_store: 1GB" }, {}, async (server) => {
      await rm(ballast)
      // Newer servers write no more into a stream that has met a full disk, until they start again.
      await server.restart()
    })
  } finally {
    if (before === undefined) {
      delete process.env["TMPDIR"]
    } else {
      process.env["TMPDIR"] = before
    }
    await run("umount", [directory]).catch(() => {})
    await rm(directory, { recursive: true, force: true })
  }
}

const full: Row = {
  id: "T-35",
  fault: "stream full, store full, disk full, each for 3 s; then the largest message lowered",
  figure: "stored ≤ 5 s after there is room; too large is a typed error, others untouched",
  run: async (context) => {
    const refuse = { maxBytes: 4 * 1024 * 1024, discard: "new" }
    const found = {
      stream: await limits(context, {}, refuse),
      store: await limits(context, { jetstream: "max_file_store: 8MB" }, {}),
      disk: await disk(context)
    }
    const large = await withServer({ version: context.version, config: password(true) }, async (server) => {
      await ours("inline", server, ADMIN, stream({}))
      await server.restart({ config: `${password(true)}\nmax_payload: 32KB` })
      const told = await tooLarge(context.mode, server)
      const isTyped = told === "PayloadTooLarge and stored"
      return { measured: [told], wrong: isOurs(context.mode) && !isTyped ? [told] : [] }
    })
    return {
      measured: [
        ...Object.entries(found).map(([what, { measured }]) => `${what} ${measured.join()}`),
        ...large.measured
      ],
      wrong: [
        ...Object.entries(found).flatMap(([what, { wrong }]) =>
          wrong.map((one) => typeof one === "string" ? `${what}: ${one}` : { ...one, what: `${what}: ${one.what}` })
        ),
        ...large.wrong
      ]
    }
  }
}

export const limitRows: ReadonlyArray<Row> = [rotated, full]
