/** What readers have to do at the end of this turn. An immediate for each of hundreds would cost more than what it does. */
let due: Array<() => void> = []

export const atTurnsEnd = (run: () => void): void => {
  if (due.push(run) === 1) {
    setImmediate(() => {
      const all = due
      due = []
      for (const one of all) {
        one()
      }
    })
  }
}
