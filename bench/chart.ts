/** How fast each side is, as bars against the raw client's: one picture for light pages and for dark ones. */
import type { Side } from "./order.ts"
import { type Row, thousands } from "./report.ts"
import { kindOf, type Workload } from "./workloads.ts"

interface Measured {
  readonly workload: Workload
  readonly rows: ReadonlyArray<Row>
}

/** What is shown, and how it is called there. The others are not about messages per second, or are variants. */
const SHOWN: Partial<Record<Workload, string>> = {
  read: "read, ack each, 500 in flight",
  "read-5000": "read, ack each, 5,000 in flight",
  "read-4k": "read, ack each, 4 KB messages",
  orders: "handler, schema, 1,000 keys",
  work: `handlers that wait 2 ms`,
  upTo: "read, ack a prefix",
  publish: "publish, 256 in flight",
  "publish-1024": "publish, 1,024 in flight",
  single: "publish, one after the other"
}

const NAMES: Record<Side, string> = { raw: "raw client", inline: "Sluice", thread: "Sluice, I/O thread" }

const WIDTH = 820
const LEFT = 220
const RIGHT = 130
const TOP = 64
const BAR = 13
const GAP = 2
const BETWEEN = 16
const BOTTOM = 30

export const chart = (measured: ReadonlyArray<Measured>): string => {
  const order = Object.keys(SHOWN)
  const shown = measured.filter(({ workload }) => order.includes(workload))
    .toSorted((a, b) => order.indexOf(a.workload) - order.indexOf(b.workload))
  const most = Math.max(1, ...shown.flatMap(({ rows }) => rows.map(({ ratio }) => ratio)))
  const x = (ratio: number) => LEFT + (WIDTH - LEFT - RIGHT) * ratio / most
  let y = TOP
  const groups = shown.map(({ rows, workload }) => {
    const top = y
    y += rows.length * (BAR + GAP) + BETWEEN
    return group(SHOWN[workload]!, rows, top, x)
  })
  const height = y - BETWEEN + BOTTOM
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="t d">
<title id="t">Messages per second, of the raw client's</title>
<desc id="d">${shown.map(spoken).join("; ")}</desc>
<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 } .faint { fill: #59636e } .line { stroke: #d1d9e0 }
.one { stroke: #59636e; stroke-dasharray: 3 3 }
.raw { fill: #9aa4ae } .inline { fill: #2f6fde } .thread { fill: #12876b }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .faint { fill: #9198a1 } .line { stroke: #3d444d } .one { stroke: #9198a1 }
.raw { fill: #656c76 } .inline { fill: #5b94f0 } .thread { fill: #35b390 }
}
</style>
<text class="title" x="12" y="24">Messages per second, of the raw client's in the same run</text>
${legend()}
${axis(most, height, x)}
${groups.join("\n")}
</svg>
`
}

// internals

const group = (name: string, rows: ReadonlyArray<Row>, top: number, x: (ratio: number) => number): string => {
  const middle = top + rows.length * (BAR + GAP) / 2
  const bars = rows.map(({ msgs, ratio, side }, i) => {
    // What is said of a bar stands behind the raw client's line, not across it.
    const y = top + i * (BAR + GAP)
    const width = (x(ratio) - LEFT).toFixed(1)
    const label = side === "raw" ? `${thousands(msgs)}/s` : `${ratio.toFixed(2)}×, ${thousands(msgs)}/s`
    return `<rect class="${side}" x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="2"/>
<text class="faint" x="${(x(Math.max(1, ratio)) + 6).toFixed(1)}" y="${y + BAR - 2.5}">${label}</text>`
  })
  return `<text x="${LEFT - 12}" y="${middle + 3}" text-anchor="end">${name}</text>
${bars.join("\n")}`
}

const legend = (): string => {
  let at = 12
  return (["raw", "inline", "thread"] as const).map((side) => {
    const x = at
    at += 40 + NAMES[side].length * 7
    return `<rect class="${side}" x="${x}" y="36" width="12" height="12" rx="2"/><text x="${x + 18}" y="46">${
      NAMES[side]
    }</text>`
  }).join("\n")
}

/** A line for each whole number, or for each second or fifth where there are many; the raw client's is dashed. */
const axis = (most: number, height: number, x: (ratio: number) => number): string => {
  const step = most > 20 ? 5 : most > 8 ? 2 : 1
  const marks = [...new Set([0, 1, ...Array.from({ length: Math.floor(most / step) }, (_, i) => (i + 1) * step)])]
  return marks.map((mark) => {
    const at = x(mark).toFixed(1)
    return `<line class="${mark === 1 ? "one" : "line"}" x1="${at}" x2="${at}" y1="${TOP - 6}" y2="${
      height - BOTTOM + 8
    }"/>
<text class="faint" x="${at}" y="${height - 8}" text-anchor="middle">${mark}×</text>`
  }).join("\n")
}

const spoken = ({ rows, workload }: Measured): string =>
  `${SHOWN[workload] ?? kindOf(workload).what}: ${
    rows.map(({ ratio, side }) => `${NAMES[side]} ${ratio.toFixed(2)}`).join(", ")
  }`
