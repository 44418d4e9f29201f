/** Streams and consumers that somebody removes or changes under a reader. */
import { setTimeout as sleep } from "node:timers/promises"
import { compare } from "../check/suffix.ts"
import { atDesk, type Case, type Desk, type Options, series, type Suffered } from "./desk.ts"
import { DURABLE, STREAM } from "./readers.ts"
import { atMost, type Context, type Late, type Outcome, type Row, shown } from "./Row.ts"

/** Several desks, one after the other: what each measured, with its name before it. */
const together = async (
  parts: Readonly<Record<string, () => Promise<Outcome>>>
): Promise<Outcome> => {
  const measured: Array<string> = []
  const wrong: Array<string | Late> = []
  for (const [title, part] of Object.entries(parts)) {
    const found = await part()
    const name = title.replace(/:$/, "")
    measured.push(`${title} ${found.measured.join(", ")}`)
    wrong.push(
      ...found.wrong.map((one) =>
        typeof one === "string" ? `${name}: ${one}` : { ...one, what: `${name}: ${one.what}` }
      )
    )
  }
  return { measured, wrong }
}

/** That everything which is stored was read, and nothing twice. */
const counts = (desk: Desk, read: Desk["seen"], stored: Awaited<ReturnType<Desk["stored"]>>): Outcome => {
  const { invented, missing, repeated } = compare(read, stored)
  const counted = `${missing} lost, ${repeated} repeated`
  return {
    measured: [counted],
    wrong: missing + repeated === 0 && desk.last > 0 && invented === 0 ? [] : [`${counted}, ${invented} invented`]
  }
}

// T-18

const AWAY_MS = 300
/** A stream that is deleted is often made anew at once: so long a reader waits for that. */
const WAITS_MS = 2_000
const TELLS_WITHIN_MS = 1_000
const RAW_TELLS_WITHIN_MS = 10_000

const anew: Case = {
  name: "stream made anew",
  isAway: true,
  act: async (desk) => {
    await desk.rest()
    await desk.comes(() => desk.seen.some(({ n }) => n === desk.last))
    await desk.ask((jsm) => jsm.streams.delete(STREAM))
    await sleep(AWAY_MS)
    await desk.ask((jsm) => jsm.streams.add({ name: STREAM, subjects: ["s.>"] }))
    desk.seen.length = 0
    desk.publish()
  }
}

const madeAnew = (context: Context, consumer: Options["consumer"]): Promise<Outcome> =>
  atDesk(context, { consumer }, async (desk) => {
    const [suffered] = await series(desk, [anew], context)
    const counted = counts(desk, desk.seen, await desk.stored())
    return {
      measured: [shown(suffered!.firstMs), ...(counted.wrong.length > 0 ? counted.measured : [])],
      wrong: [...atMost("first message", suffered!.firstMs, 1_000), ...counted.wrong]
    }
  })

/** What is gone for good: what the reader is told, and how soon, beyond what it waits for that to change. */
const gone = (
  context: Context,
  { bind, expected, waitsMs }: { readonly bind: boolean; readonly expected: string; readonly waitsMs: number },
  remove: (desk: Desk) => Promise<unknown>
): Promise<Outcome> =>
  atDesk(
    context,
    { consumer: "durable", bind },
    async (desk) => {
      await sleep(500)
      await remove(desk)
      const from = performance.now()
      await desk.comes(() => desk.reading.end() !== undefined, RAW_TELLS_WITHIN_MS)
      const { at = Number.POSITIVE_INFINITY, told = "nothing" } = desk.reading.end() ?? {}
      return {
        measured: [`${told} after ${shown(at - from)}`],
        wrong: [...atMost("told", at - from, waitsMs + TELLS_WITHIN_MS), ...(told === expected ? [] : [`told ${told}`])]
      }
    },
    (desk) =>
      desk.ask(async (jsm) => {
        if (bind) {
          await jsm.consumers.add(STREAM, { durable_name: DURABLE, ack_policy: "explicit" })
        }
      })
  )

const removed: Row = {
  id: "T-18b",
  fault: "the stream is deleted and made anew; deleted for good; a durable of somebody else's is deleted",
  figure:
    "read from its beginning in ≤ 1 s; StreamNotFound ≤ 1 s after two that it may be away, ConsumerNotFound in ≤ 1 s",
  run: (context) =>
    together({
      durable: () => madeAnew(context, "durable"),
      ephemeral: () => madeAnew(context, "ephemeral"),
      ordered: () => madeAnew(context, "ordered"),
      "for good:": () =>
        gone(context, { bind: false, expected: "StreamNotFound", waitsMs: WAITS_MS }, (desk) =>
          desk.ask((jsm) =>
            jsm.streams.delete(STREAM)
          )),
      "bound:": () =>
        gone(context, { bind: true, expected: "ConsumerNotFound", waitsMs: 0 }, (desk) =>
          desk.ask((jsm) =>
            jsm.consumers.delete(STREAM, DURABLE)
          ))
    })
}

// T-19

const CHANGED_MS = 1_000
const PAUSED_MS = 2_000

const purged: Case = { name: "purged", act: (desk) => desk.ask(async (jsm) => void await jsm.streams.purge(STREAM)) }

const limited: Case = {
  name: "limits",
  act: async (desk) => {
    await desk.ask((jsm) => jsm.streams.update(STREAM, { max_msgs: 10 }))
    await sleep(CHANGED_MS)
    await desk.ask((jsm) => jsm.streams.update(STREAM, { max_msgs: -1 }))
  }
}

const renamed: Case = {
  name: "subjects",
  isAway: true,
  act: async (desk) => {
    await desk.ask((jsm) => jsm.streams.update(STREAM, { subjects: ["other.>"] }))
    await sleep(CHANGED_MS)
    await desk.ask((jsm) => jsm.streams.update(STREAM, { subjects: ["s.>"] }))
  }
}

const narrowed: Case = {
  name: "fewer unanswered",
  act: async (desk) => {
    await desk.ask((jsm) => jsm.consumers.update(STREAM, DURABLE, { max_ack_pending: 2 }))
    await sleep(CHANGED_MS)
    await desk.ask((jsm) => jsm.consumers.update(STREAM, DURABLE, { max_ack_pending: 20_000 }))
  }
}

/** Servers before 2.11 take no notice: then it goes on all the time. */
const paused: Case = {
  name: "paused",
  isAway: true,
  act: async (desk) => {
    const from = performance.now()
    const at = (ms: number) => sleep(Math.max(0, from + ms - performance.now()))
    const until = JSON.stringify({ pause_until: new Date(Date.now() + PAUSED_MS).toISOString() })
    const isPaused = await desk.ask((_, connection) =>
      connection.request(`$JS.API.CONSUMER.PAUSE.${STREAM}.${DURABLE}`, until, { timeout: 500 }).then(
        (answer) => answer.json<{ readonly paused?: boolean }>().paused === true,
        () => false
      )
    )
    await at(PAUSED_MS / 2)
    const read = desk.seen.length
    await at(PAUSED_MS - 200)
    if (isPaused && desk.seen.length > read) {
      throw new Error("the server goes on delivering from a consumer that is paused")
    }
    await at(PAUSED_MS)
  }
}

const SLOW_MS = 2_500
const SLOW_LANES = 8
const HELD = 16
const LATER = 32
/** A reader that nothing makes doubt looks every five seconds. */
const LOOKS_MS = 6_000

/**
 * Somebody lowers the ack wait to less than a handler takes, under two readers of one durable. What they hold then the server
 * may give to the other one before anybody can know; what comes later has to run once.
 */
const hurried = (context: Context): Promise<Outcome> =>
  atDesk(context, { consumer: "durable", workMs: SLOW_MS, lanes: SLOW_LANES }, async (desk) => {
    const isDone = () => new Set(desk.seen.map(({ n }) => n)).size === desk.last
    desk.hire()
    await desk.store(HELD)
    await sleep(500)
    await desk.ask((jsm) => jsm.consumers.update(STREAM, DURABLE, { ack_wait: 1e9 }))
    await sleep(LOOKS_MS)
    const held = desk.last
    await desk.store(LATER)
    await desk.comes(isDone)
    await sleep(2 * SLOW_MS)
    const found = compare(desk.seen, await desk.stored())
    const later = desk.seen.filter(({ n }) => n > held).length - LATER
    const measured = `${found.missing} lost, ${later} of ${LATER} repeated`
    return { measured: [measured], wrong: found.missing === 0 && later === 0 ? [] : [measured] }
  })

const outcome = (
  desk: Desk,
  all: ReadonlyArray<Suffered>,
  stored: Awaited<ReturnType<Desk["stored"]>>
): Outcome => {
  const counted = counts(desk, desk.seen.filter(({ seq }) => seq >= (stored[0]?.seq ?? 0)), stored)
  return {
    measured: [...all.map(({ firstMs, name }) => `${name} ${shown(firstMs)}`), ...counted.measured],
    wrong: [...all.flatMap(({ firstMs, name }) => atMost(name, firstMs, 1_000)), ...counted.wrong]
  }
}

const changed: Row = {
  id: "T-19",
  fault: "the stream purged, its limits and subjects changed, its durable changed and paused",
  figure: "first message ≤ 1 s, 0 lost of what is still stored, 0 repeated",
  run: (context) =>
    together({
      "at 200/s:": () =>
        atDesk(context, { consumer: "durable", lanes: 8 }, async (desk) => {
          const all = await series(desk, [purged, limited, renamed, narrowed, paused], context)
          return outcome(desk, all, await desk.stored())
        }),
      "ack wait below the handlers':": () => hurried(context)
    })
}

// T-20

const OUT_MS = 4_000

const deleted: Case = {
  name: "deleted",
  act: async (desk) => {
    const name = await desk.consumer()
    await desk.ask((jsm) => jsm.consumers.delete(STREAM, name))
  }
}

/** A server removes it when nobody has asked for so long: to its reader that is as if somebody had deleted it meanwhile. */
const expired: Case = {
  name: "gone during an outage",
  isAway: true,
  act: async (desk) => {
    const name = await desk.consumer()
    await desk.line.refuse(true)
    await desk.line.cut()
    await desk.ask((jsm) => jsm.consumers.delete(STREAM, name))
    await sleep(OUT_MS)
    await desk.line.refuse(false)
  }
}

const killed: Case = {
  name: "lost with its server",
  isAway: true,
  act: async ({ server }) => {
    await server.kill()
    await sleep(1_000)
    await server.restart()
  }
}

const ephemeral: Row = {
  id: "T-20",
  fault: "the consumer of an ephemeral reader deleted, gone during an outage of 4 s, lost with its server",
  figure: "made again, first message ≤ 1 s, 0 lost, 0 repeated",
  run: (context) =>
    atDesk(context, { consumer: "ephemeral", lanes: 8 }, async (desk) => {
      const all = await series(desk, [deleted, expired, killed], context)
      return outcome(desk, all, await desk.stored())
    })
}

export const changes: ReadonlyArray<Row> = [removed, changed, ephemeral]
