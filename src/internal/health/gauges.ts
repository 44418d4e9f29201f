/** What is true now, in Prometheus' words: also while the application cannot say anything. */
import type { Report } from "../../Health.ts"

export const gauges = ({ application, connection, readers, ready }: Report): string => {
  const of = (reader: Report["readers"][number]) =>
    `{stream=${quoted(reader.stream)},consumer=${quoted(reader.consumer)}}`
  return [
    family("sluice_ready", [["", ready ? 1 : 0]]),
    family("sluice_connected", [["", connection.state === "Connected" ? 1 : 0]]),
    family("sluice_thread_lag_seconds", [["", application.lagMs / 1_000]]),
    family("sluice_thread_blocked_seconds", [["", application.blockedMs / 1_000]]),
    family("sluice_reader_queue_held", readers.map((reader) => [of(reader), reader.held])),
    family("sluice_reader_queue_capacity", readers.map((reader) => [of(reader), reader.capacity])),
    family("sluice_reader_quiet_seconds", readers.map((reader) => [of(reader), reader.quietMs / 1_000]))
  ].join("")
}

// internals

const family = (name: string, values: ReadonlyArray<readonly [labels: string, value: number]>): string =>
  values.length === 0
    ? ""
    : `# TYPE ${name} gauge\n${values.map(([labels, value]) => `${name}${labels} ${value}\n`).join("")}`

const quoted = (text: string): string =>
  `"${text.replaceAll("\\", "\\\\").replaceAll("\"", "\\\"").replaceAll("\n", "\\n")}"`
