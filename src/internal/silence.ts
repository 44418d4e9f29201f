/**
 * For how long a broker has owed an answer and said nothing. Asking again changes nothing; any word from whoever leads does.
 */
export class Silence {
  #since: number | undefined

  asked(now: number): void {
    this.#since ??= now
  }

  /** A word came; `owesMore`: it is not the last one that has to come. */
  broken(now: number, owesMore: boolean): void {
    this.#since = owesMore ? now : undefined
  }

  /** Nothing is asked of anybody any more. */
  end(): void {
    this.#since = undefined
  }

  millis(now: number): number {
    return this.#since === undefined ? 0 : now - this.#since
  }
}
