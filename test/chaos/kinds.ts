/** The faults, by name. Their place in this list is how journals name them: add at the end. */
export const FAULTS = [
  "kill",
  "freeze",
  "cut",
  "halfOpen",
  "halfOpenUp",
  "halfOpenDown",
  "refuse",
  "slow",
  "garble",
  "lameDuck",
  "stop",
  "block",
  "workerKill",
  "workerStop",
  "consumerStepDown",
  "streamStepDown",
  "delete",
  "hold"
] as const

export type FaultKind = typeof FAULTS[number]

/** Nothing comes through the connection that there was. */
export const BREAKS_LINE: ReadonlySet<FaultKind> = new Set<FaultKind>([
  "cut",
  "halfOpen",
  "halfOpenUp",
  "halfOpenDown",
  "refuse",
  "garble"
])

/** A server is away. */
export const BREAKS_SERVER: ReadonlySet<FaultKind> = new Set<FaultKind>(["kill", "freeze", "stop", "lameDuck"])
