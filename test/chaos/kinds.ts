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

/** What the server's state or the connection to it suffers from. */
export const BREAKS_CONNECTION: ReadonlySet<FaultKind> = new Set<FaultKind>([
  "kill",
  "freeze",
  "cut",
  "halfOpen",
  "halfOpenUp",
  "halfOpenDown",
  "refuse",
  "garble",
  "lameDuck",
  "stop"
])
