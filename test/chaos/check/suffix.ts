/** C5: what was read in order is exactly what the stream holds from there on, in order, once. */

export interface Numbered {
  readonly seq: number
  readonly n: number
}

export interface Compared {
  /** Stored, and never read. */
  readonly missing: number
  /** Read again. */
  readonly repeated: number
  /** Read behind something that was stored later. */
  readonly disordered: number
  /** Read, and not what is stored there. */
  readonly invented: number
}

export const compare = (read: ReadonlyArray<Numbered>, stored: ReadonlyArray<Numbered>): Compared => {
  const held = new Map(stored.map(({ n, seq }) => [seq, n]))
  const seen = new Set<number>()
  let [repeated, disordered, invented, highest] = [0, 0, 0, 0]
  for (const { n, seq } of read) {
    invented += held.get(seq) === n ? 0 : 1
    if (seen.has(seq)) {
      repeated++
    } else if (seq < highest) {
      disordered++
    }
    seen.add(seq)
    highest = Math.max(highest, seq)
  }
  return { missing: stored.filter(({ seq }) => !seen.has(seq)).length, repeated, disordered, invented }
}
