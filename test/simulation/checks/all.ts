import type { Check } from "../history.ts"
import { accounting } from "./accounting.ts"
import { ackedAfterwards } from "./ackedAfterwards.ts"
import { atMostOnce } from "./atMostOnce.ts"
import { attempts } from "./attempts.ts"
import { bounds } from "./bounds.ts"
import { handedBack } from "./handedBack.ts"
import { leases } from "./leases.ts"
import { liveness } from "./liveness.ts"
import { noLoss } from "./noLoss.ts"
import { nothingInvented } from "./nothingInvented.ts"
import { orderedExactly } from "./orderedExactly.ts"
import { orderPerKey } from "./orderPerKey.ts"
import { poison } from "./poison.ts"
import { repeatsExplained } from "./repeatsExplained.ts"
import { truthfulStatus } from "./truthfulStatus.ts"

export const checks: Readonly<Record<string, Check>> = {
  accounting,
  ackedAfterwards,
  atMostOnce,
  attempts,
  bounds,
  handedBack,
  leases,
  liveness,
  noLoss,
  nothingInvented,
  orderedExactly,
  orderPerKey,
  poison,
  repeatsExplained,
  truthfulStatus
}
