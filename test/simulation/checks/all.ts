import type { Check } from "../history.ts"
import { accounting } from "./accounting.ts"
import { ackedAfterwards } from "./ackedAfterwards.ts"
import { attempts } from "./attempts.ts"
import { bounds } from "./bounds.ts"
import { leases } from "./leases.ts"
import { liveness } from "./liveness.ts"
import { noLoss } from "./noLoss.ts"
import { nothingInvented } from "./nothingInvented.ts"
import { orderPerKey } from "./orderPerKey.ts"
import { repeatsExplained } from "./repeatsExplained.ts"

export const checks: Readonly<Record<string, Check>> = {
  accounting,
  ackedAfterwards,
  attempts,
  bounds,
  leases,
  liveness,
  noLoss,
  nothingInvented,
  orderPerKey,
  repeatsExplained
}
