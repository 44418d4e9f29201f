/**
 * How often to ask a broker that does not answer: at once the first time, then after pauses that grow with the trouble, a
 * tenth of its length. An election takes seconds, and whoever waits for its end must not add as much again.
 */
const LEAST_MS = 100
const MOST_MS = 2_000

export class Troubles {
  #count = 0
  #since = 0
  #pauseUntil = 0

  /** One more, since something last went well. */
  happened(now: number): void {
    if (this.#count === 0) {
      this.#since = now
    } else {
      this.pause(now + Math.min(MOST_MS, Math.max(LEAST_MS, (now - this.#since) / 10)))
    }
    this.#count++
  }

  pause(until: number): void {
    this.#pauseUntil = until
  }

  isPausing(now: number): boolean {
    return now < this.#pauseUntil
  }

  /** Nothing has gone well since the last one. */
  get isOn(): boolean {
    return this.#count > 0
  }

  /** Something came: no reason to wait for the end of a pause. Whether there had been trouble. */
  passed(): boolean {
    const wasOn = this.#count > 0
    if (wasOn) {
      this.#count = 0
      this.#pauseUntil = 0
    }
    return wasOn
  }

  /** Somebody else is there now: no reason to wait for the end of a pause. */
  endPause(): void {
    this.#pauseUntil = 0
  }
}
