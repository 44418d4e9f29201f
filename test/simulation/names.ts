/** What the stream of a run is called, and what it takes. */
export const STREAM = "SIM"
export const subjects: ReadonlyArray<string> = ["sim.a", "sim.b", "sim.c"]
