/** The proxy's own process: one relay for each target, in the order it is given them. */
import { Relay, type Target } from "./relay.ts"

export type Act = "cut" | "refuse" | "blackhole" | "garble" | "shape" | "edit"

export interface Order {
  readonly id: number
  readonly relay: number
  readonly act: Act
  readonly value?: unknown
}

const relays = (JSON.parse(process.argv[2] ?? "[]") as ReadonlyArray<Target>).map((target) => new Relay(target))

process.on("message", ({ act, id, relay, value }: Order) => {
  const acts: { readonly [act in Act]: (value: never) => void | Promise<void> } = relays[relay]!
  void Promise.resolve(acts[act](value as never)).then(() => process.send!({ id }))
})

// Whoever wanted it is gone.
process.on("disconnect", () => process.exit(0))

process.send!({ ports: await Promise.all(relays.map((relay) => relay.listen())) })
