/** What a nats-server of a given version can do. */
import type { Capabilities } from "../../Transport.ts"

/** `[2, 10]` is at least version 2.10. */
const atLeast = (version: string, [major, minor]: readonly [number, number]): boolean => {
  const [haveMajor = 0, haveMinor = 0] = version.split(".").map((part) => Number.parseInt(part, 10) || 0)
  return haveMajor > major || (haveMajor === major && haveMinor >= minor)
}

export const ofServer = (info: { readonly version: string; readonly maxPayload: number }): Capabilities => ({
  broker: `nats-server ${info.version}`,
  persistent: true,
  filterSubjects: atLeast(info.version, [2, 10]),
  metadata: atLeast(info.version, [2, 10]),
  promptReturn: atLeast(info.version, [2, 10]),
  unlimitedBackoff: atLeast(info.version, [2, 10]),
  purgeKeepsUnanswered: atLeast(info.version, [2, 10]),
  keepsGivenUp: atLeast(info.version, [2, 10]),
  termReason: atLeast(info.version, [2, 11]),
  maxPayload: info.maxPayload
})
