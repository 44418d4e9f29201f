/** How often to ask a broker that does not answer: at once the first time, then after pauses that grow. */
const FIRST_MS = 100
const MAX_MS = 2_000

export class Troubles {
  #count = 0
  #pauseUntil = 0

  /** One more, since something last went well. */
  happened(now: number): void {
    if (this.#count > 0) {
      this.pause(now + Math.min(MAX_MS, FIRST_MS * 2 ** (this.#count - 1)))
    }
    this.#count++
  }

  pause(until: number): void {
    this.#pauseUntil = until
  }

  isPausing(now: number): boolean {
    return now < this.#pauseUntil
  }

  /** Something came. */
  passed(): void {
    this.#count = 0
  }

  /** Somebody else is there now: no reason to wait for the end of a pause. */
  endPause(): void {
    this.#pauseUntil = 0
  }
}
