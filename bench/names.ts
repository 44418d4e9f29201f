/** What the command line may name: a workload, or one with a side behind it. */
import { type Side, SIDES } from "./order.ts"
import { ALL, isWorkload, kindOf, type Workload } from "./workloads.ts"

export interface Named {
  readonly workload: Workload
  /** Beside the raw client; without it, all sides. */
  readonly side: Side | undefined
}

/** `read`, `read-thread`; nothing if there is no such workload. */
export const named = (name: string): Named | undefined => {
  if (isWorkload(name)) {
    return { workload: name, side: undefined }
  }
  const side = SIDES.find((side) => name.endsWith(`-${side}`))
  const workload = side === undefined ? "" : name.slice(0, -side.length - 1)
  return isWorkload(workload) ? { workload, side } : undefined
}

export const usage = (): string =>
  `npm run bench -- [workload …] [options]

Measures ours and the raw client by turns, each time in a process of its own, on a server of its own. Without a name: those
with a star, in under 90 seconds. With -inline or -thread behind a name, only that side beside the raw client: read-thread.

${ALL.map((name) => `  ${kindOf(name).isLong === true ? " " : "*"} ${name.padEnd(14)}${kindOf(name).what}`).join("\n")}

  --messages N    of each workload              --size BYTES    of each message
  --in-flight N   unanswered at once            --rounds N      default 3, with --write 5
  --server V      2.10, latest, …; default the first that the machine offers
  --json          for machines                  --chart         an SVG instead of the table
  --write         all of them, for the documentation: bench/figures.json, docs/performance.md and .svg, README.md;
                  with names, only these anew
  --render        the same texts from bench/figures.json, without measuring
`
