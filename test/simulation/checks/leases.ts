/** I5: a handler never starts on a lease that is lost: nobody begins a delivery when a later one of it has begun. */
import { begun, type Check } from "../history.ts"

export const leases: Check = (history) => {
  const wrong: Array<string> = []
  for (const group of history.scenario.groups) {
    const latest = new Map<number, number>()
    for (const { at, delivery, replica, sequence } of begun(history, group.name)) {
      const last = latest.get(sequence) ?? 0
      if (delivery < last) {
        wrong.push(`I5: ${group.name}/${replica} began delivery ${delivery} of ${sequence} at ${at}, after ${last}`)
      }
      latest.set(sequence, Math.max(delivery, last))
    }
  }
  return wrong
}
